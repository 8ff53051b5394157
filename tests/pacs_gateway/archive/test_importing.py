"""Importing: files, folders and archives, and what an archive may cost."""

import zipfile
from pathlib import Path
from unittest import mock

import pytest

from pacs_gateway.archive import importing
from pacs_gateway.archive.importing import Imported, import_paths
from pacs_gateway.gateway import Gateway
from tests.support.builders import Identity, image, part10
from tests.support.gateways import ORIGIN


def _archive(path: Path, n_images: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(n_images):
            archive.writestr(f"folder/{number}.dcm", part10(image(Identity(instance=number))))
        archive.writestr("folder/note.txt", "no image")
        archive.writestr("DICOMDIR", "a list of the others")
    return path


def _import(gateway: Gateway, path: Path) -> list[Imported]:
    return list(import_paths(gateway.archive.ingest, [path], ORIGIN))


def test_every_image_of_an_archive_is_taken_and_what_is_none_is_named(gateway: Gateway, tmp_path: Path) -> None:
    done = _import(gateway, _archive(tmp_path / "images.zip", 40))
    assert len([one for one in done if one.outcome]) == 40
    assert [Path(one.name).name for one in done if one.error] == ["note.txt"]


def test_the_directory_of_an_archive_is_not_read_for_every_entry(gateway: Gateway, tmp_path: Path) -> None:
    path = _archive(tmp_path / "images.zip", 40)
    with mock.patch.object(zipfile, "ZipFile", wraps=zipfile.ZipFile) as opening:
        _import(gateway, path)
    assert opening.call_count <= 2


def test_an_archive_cut_short_is_named(gateway: Gateway, tmp_path: Path) -> None:
    path = _archive(tmp_path / "images.zip", 3)
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)  # within the first image
    path.write_bytes(content)
    done = _import(gateway, path)
    assert len([one for one in done if one.outcome]) == 2
    assert len([one for one in done if one.error]) == 2


@pytest.mark.parametrize(("limit", "value"), [("_MAX_ENTRIES", 41), ("_MAX_DIRECTORY_BYTES", 1000)])
def test_an_archive_of_too_many_entries_is_refused_as_one(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    path = _archive(tmp_path / "images.zip", 40)
    monkeypatch.setattr(importing, limit, value)
    (refused,) = _import(gateway, path)
    assert (refused.name, refused.outcome) == (str(path), None)
    assert "the archive" in refused.error
