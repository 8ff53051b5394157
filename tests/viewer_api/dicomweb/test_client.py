"""The widespread DICOMweb client against our site: what it asks for and how, we have not written."""

from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid


def connect(site: Site) -> DICOMwebClient:
    headers = {"Authorization": f"Bearer {site.tokens['boss']}"}
    return DICOMwebClient(url=f"{site.url}/dicom-web", headers=headers)


@pytest.fixture
def program(site: Site) -> DICOMwebClient:
    return connect(site)


def test_it_searches_every_level(program: DICOMwebClient) -> None:
    found = program.search_for_studies(search_filters={"PatientID": "BN0001"}, fields=["StudyDescription"], limit=10)
    assert [one["0020000D"]["Value"] for one in found] == [[uid(1)]]
    assert len(program.search_for_series(uid(1))) == 6
    assert len(program.search_for_instances(uid(1), uid(1, 1))) == 3
    assert program.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_it_retrieves_objects_metadata_and_frames(program: DICOMwebClient) -> None:
    any_syntax = (("application/dicom", "*"),)
    assert len(program.retrieve_study(uid(1), media_types=any_syntax)) == 8
    assert len(program.retrieve_series(uid(1), uid(1, 1))) == 3
    ds = program.retrieve_instance(uid(2), uid(2, 1), uid(2, 1, 3))
    assert ds.PixelData == studies.values(3).tobytes()
    assert len(program.retrieve_study_metadata(uid(1))) == 8
    frames = program.retrieve_instance_frames(uid(1), uid(1, 3), uid(1, 3, 1), frame_numbers=[2, 5])
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    assert frames == [clip[1].tobytes(), clip[4].tobytes()]


def test_it_retrieves_pictures_and_bulk_data(program: DICOMwebClient) -> None:
    picture = program.retrieve_instance_rendered(uid(1), uid(1, 1), uid(1, 1, 1), media_types=("image/png",))
    assert picture.startswith(b"\x89PNG")
    (metadata,) = program.retrieve_series_metadata(uid(1), uid(1, 6))
    uri = metadata["0040A730"]["Value"][0]["00420011"]["BulkDataURI"]
    (value,) = program.retrieve_bulkdata(program.base_url.removesuffix("/dicom-web") + uri)
    assert value == bytes(range(256)) * 8


def test_it_stores(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        program = connect(site)
        answer = program.store_instances([dcmread(BytesIO(studies.ct(1, 1, n))) for n in (1, 2)])
        assert [one.ReferencedSOPInstanceUID for one in answer.ReferencedSOPSequence] == [uid(1, 1, 1), uid(1, 1, 2)]
        assert len(program.search_for_instances(uid(1))) == 2
