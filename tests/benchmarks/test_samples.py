"""What the benchmarks send."""

from pathlib import Path

import pytest
from pydicom import dcmread

from benchmarks.samples import N_FOLDERS, Kind, prepare


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("n_instances", [1, 37])
def test_a_set_holds_distinct_instances_under_its_first_study(tmp_path: Path, kind: Kind, n_instances: int) -> None:
    samples = prepare(tmp_path, kind, n_instances)

    found = [dcmread(path) for path in samples.folder.rglob("*.dcm")]

    assert len({ds.SOPInstanceUID for ds in found}) == n_instances
    assert {(ds.StudyInstanceUID, ds.SeriesInstanceUID) for ds in found} == {(samples.study_uid, samples.series_uid)}


@pytest.mark.parametrize("n_parts", [1, 4, N_FOLDERS])
def test_parts_share_all_instances_evenly(tmp_path: Path, n_parts: int) -> None:
    samples = prepare(tmp_path, Kind.TINY, 40)

    sizes = [sum(len(list(folder.iterdir())) for folder in part) for part in samples.parts(n_parts)]

    assert sum(sizes) == 40
    assert max(sizes) - min(sizes) <= N_FOLDERS // n_parts


def test_a_set_is_made_once(tmp_path: Path) -> None:
    first = prepare(tmp_path, Kind.TINY, 3)
    (path, *_) = first.folder.rglob("*.dcm")
    written = path.stat().st_mtime_ns

    assert prepare(tmp_path, Kind.TINY, 3) == first
    assert path.stat().st_mtime_ns == written
