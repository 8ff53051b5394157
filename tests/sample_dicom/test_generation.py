"""Making the samples: the same bytes each time, quick when done, made anew when broken, listed as committed."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from sample_dicom import generate
from sample_dicom.catalogue import SUBSET
from sample_dicom.ct import Stack
from sample_dicom.generation import HOME, build

_MANIFEST = ".set.manifest.json"
_TINY = replace(
    SUBSET,
    name="tiny",
    ct=Stack(32, (40.0, 118.0)),
    compressed=Stack(32, (40.0, 60.0)),
    enhanced=Stack(32, (40.0, 60.0)),
    mr=Stack(32, (0.0, 40.0), 240.0),
    film_pixels=32,
    cine=(48, 64, 2),
    clip=(48, 64, 2),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the tiny set and, beside it, its manifest."""
    folder = tmp_path_factory.mktemp("original")
    generate(folder / "set", edition=_TINY)
    return folder


@pytest.fixture
def made(original: Path, tmp_path: Path) -> list[Path]:
    """A copy of the tiny set that a test may break: its files in the order of making."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return [tmp_path / "set" / path for path in json.loads((tmp_path / _MANIFEST).read_text())["sizes"]]


def _state(paths: list[Path]) -> list[tuple[bytes, int]]:
    return [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]


def test_the_folder_holds_dicom_files_only_so_that_a_sender_can_take_all_of_it(
    made: list[Path], tmp_path: Path
) -> None:
    assert len(made) == 21
    assert {path for path in (tmp_path / "set").rglob("*") if path.is_file()} == set(made)
    assert all(path.read_bytes()[128:132] == b"DICM" for path in made)


def test_a_second_call_leaves_a_complete_set_alone(made: list[Path], tmp_path: Path) -> None:
    before = _state(made)
    assert generate(tmp_path / "set", edition=_TINY) == made
    assert _state(made) == before


def test_a_truncated_file_is_made_anew_with_the_same_bytes(made: list[Path], tmp_path: Path) -> None:
    whole = made[0].read_bytes()
    made[0].write_bytes(whole[:200])
    generate(tmp_path / "set", edition=_TINY)
    assert made[0].read_bytes() == whole


def test_a_run_that_broke_off_before_its_manifest_is_finished(made: list[Path], tmp_path: Path) -> None:
    whole = made[-1].read_bytes()
    (tmp_path / _MANIFEST).unlink()
    made[-1].unlink()
    generate(tmp_path / "set", edition=_TINY)
    assert made[-1].read_bytes() == whole


def test_an_unreadable_manifest_counts_as_none(made: list[Path], tmp_path: Path) -> None:
    (tmp_path / _MANIFEST).write_text("[]")
    assert generate(tmp_path / "set", edition=_TINY) == made


def test_editions_share_no_object(made: list[Path]) -> None:
    other = {dcmread(BytesIO(content)).SOPInstanceUID for _, content, _ in build(replace(_TINY, name="other"))}
    assert other.isdisjoint(dcmread(path).SOPInstanceUID for path in made)


def test_two_runs_give_the_same_bytes(made: list[Path]) -> None:
    assert [content for _, content, _ in build(_TINY)] == [path.read_bytes() for path in made]


def test_the_committed_subset_is_what_the_generator_makes(small_set: dict[str, bytes]) -> None:
    folder = HOME / "subset"
    committed = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}
    assert committed.keys() == small_set.keys()
    assert [path for path in committed if committed[path] != small_set[path]] == []
    assert sum(map(len, committed.values())) < 3_000_000


def test_the_readme_lists_the_digest_of_every_committed_file() -> None:
    listed = dict(re.findall(r"^\| `(\S+\.dcm)` .* `([0-9a-f]{64})` \|$", (HOME / "README.md").read_text(), re.M))
    folder = HOME / "subset"
    assert listed == {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.dcm")
    }
