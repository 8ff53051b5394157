"""Studies, series and instances as ZIP archives, measured before they leave and flat in memory."""

import zipfile
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, ROOT, objects
from tests.viewer_api.site import Site
from tests.viewer_api.studies import uid

NATIVE = f"/dicom-web/studies/{uid(2)}"
ZIP = {"Accept": "application/zip"}


def opened(response: httpx.Response) -> zipfile.ZipFile:
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip"), response.text
    archive = zipfile.ZipFile(BytesIO(response.content))
    assert archive.testzip() is None
    return archive


@pytest.mark.parametrize(("path", "n_files"), [(ROOT, 8), (f"{ROOT}/series/{uid(1, 1)}", 3), (CT, 1), (NATIVE, 4)])
def test_what_is_asked_for_comes_as_an_archive_of_known_length(client: httpx.Client, path: str, n_files: int) -> None:
    response = client.get(path, headers=ZIP)
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["content-disposition"] == 'attachment; filename="dicom.zip"'
    archive = opened(response)
    assert len(archive.namelist()) == n_files
    assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_names_are_counted_and_say_nothing(client: httpx.Client) -> None:
    names = opened(client.get(ROOT, headers=ZIP)).namelist()
    assert names[:4] == [
        "ST000001/SE000001/IM000001",
        "ST000001/SE000001/IM000002",
        "ST000001/SE000001/IM000003",
        "ST000001/SE000002/IM000004",
    ]
    assert names == opened(client.get(ROOT, headers=ZIP)).namelist()


def test_objects_are_in_it_as_they_are_stored(client: httpx.Client) -> None:
    archive = opened(client.get(NATIVE, headers=ZIP))
    found = [dcmread(archive.open(name)) for name in archive.namelist()]
    assert [ds.file_meta.TransferSyntaxUID for ds in found] == list(studies.NATIVE)
    assert not any(b"facility" in archive.read(name) for name in archive.namelist())


def test_objects_are_in_it_in_the_syntax_that_is_asked_for(client: httpx.Client) -> None:
    path = f"{ROOT}/series/{uid(1, 1)}"
    response = client.get(path, headers={"Accept": f"application/zip; transfer-syntax={JPEG2000Lossless}"})
    archive = opened(response)
    found = [dcmread(archive.open(name)) for name in archive.namelist()]
    assert {ds.file_meta.TransferSyntaxUID for ds in found} == {JPEG2000Lossless}


def test_an_archive_is_asked_for_in_the_query_too(client: httpx.Client) -> None:
    assert len(opened(client.get(ROOT, params={"accept": "application/zip"})).namelist()) == 8


def test_whoever_takes_anything_gets_no_archive(client: httpx.Client) -> None:
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    assert len(objects(client.get(CT, headers={"Accept": accept}))) == 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_archive_is_not_made_in_what_web_services_must_not_ask_for(client: httpx.Client, syntax: str) -> None:
    path = f"{NATIVE}/series/{uid(2, 1)}/instances/{uid(2, 1, 1)}"
    assert client.get(path, headers={"Accept": f"application/zip; transfer-syntax={syntax}"}).status_code == 406


def test_a_dicomdir_is_in_it_when_asked_for(client: httpx.Client, tmp_path: Path) -> None:
    archive = opened(client.get(ROOT, headers=ZIP, params={"dicomdir": "true"}))
    assert archive.namelist()[-1] == "DICOMDIR"
    archive.extractall(tmp_path)
    found = FileSet(tmp_path / "DICOMDIR")
    assert len(found) == 8
    assert {Path(instance.path) for instance in found} == {tmp_path / name for name in archive.namelist()[:-1]}


def test_what_others_may_not_see_is_not_in_it(site: Site) -> None:
    with site.client("stranger") as stranger:
        assert stranger.get(ROOT, headers=ZIP).status_code == 404
