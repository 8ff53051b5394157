"""Whatever can be asked of an object can be asked of a deflated one."""

from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from pacs_gateway.access import Scope
from pacs_gateway.archive.companion import companion_key
from pacs_gateway.imaging.decode import decode_frame
from pacs_gateway.imaging.pixels import describe_pixels
from tests.support.gateways import work_all
from tests.support.waiting import wait_until
from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import objects, parts
from tests.viewer_api.site import open_site
from tests.viewer_api.studies import uid

DEFLATED = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, 4)}"
PLAIN = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, 1)}"


def test_its_frames_are_those_of_the_object(client: httpx.Client) -> None:
    ((content_type, frame),) = parts(client.get(f"{DEFLATED}/frames/1"))
    assert content_type == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert np.array_equal(np.frombuffer(frame, "<i2").reshape(1, 12, 10), studies.values(4))


def test_its_frames_are_compressed_when_asked_for(client: httpx.Client) -> None:
    accept = f'multipart/related; type="image/jls"; transfer-syntax={JPEGLSLossless}'
    ((_, frame),) = parts(client.get(f"{DEFLATED}/frames/1", headers={"Accept": accept}))
    header = studies.pixels(studies.base(), studies.values(4))
    del header.PixelData
    decoded = decode_frame(frame, describe_pixels(header, JPEGLSLossless))
    assert np.array_equal(decoded, studies.values(4)[0])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless, DeflatedExplicitVRLittleEndian])
def test_it_leaves_in_other_syntaxes(client: httpx.Client, syntax: str) -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
    (found,) = objects(client.get(DEFLATED, headers={"Accept": accept}))
    assert (found.file_meta.TransferSyntaxUID, found.PatientName) == (syntax, studies.NAME)
    if syntax != JPEG2000Lossless:
        assert found.PixelData == studies.values(4).tobytes()


@pytest.mark.parametrize("resource", ["rendered", "thumbnail", "frames/1/rendered"])
def test_it_is_drawn(client: httpx.Client, resource: str) -> None:
    response = client.get(f"{DEFLATED}/{resource}", headers={"Accept": "image/jpeg"})
    assert response.status_code == 200, response.text
    assert Image.open(BytesIO(response.content)).size[0] > 0


def test_its_metadata_are_those_of_the_object(client: httpx.Client) -> None:
    deflated, plain = client.get(f"{DEFLATED}/metadata").json()[0], client.get(f"{PLAIN}/metadata").json()[0]
    assert deflated["00083002"]["Value"] == [DeflatedExplicitVRLittleEndian]
    assert deflated["00100010"] == plain["00100010"]
    assert deflated.keys() == plain.keys()


def test_its_bulk_data_are_found_and_the_worker_has_made_its_companion(tmp_path: Path) -> None:
    syntax = DeflatedExplicitVRLittleEndian
    with open_site(tmp_path) as site, site.client() as client:
        site.put(studies.report(syntax=syntax), studies.ct(syntax=syntax))
        stored = site.gateway.archive.retrieve.instances(Scope(None), study_uid=uid(1))

        def has_worked() -> bool:
            work_all(site.gateway)
            kept = {path.name for path in (tmp_path / "data").rglob("*inflated*")}
            return kept == {companion_key(one.digest).rpartition("/")[2] for one in stored}

        wait_until(has_worked, 60)
        assert not list((tmp_path / "data").rglob(".inflating*"))
        path = f"/dicom-web/studies/{uid(1)}/series/{uid(1, 6)}/instances/{uid(1, 6, 1)}"
        (metadata,) = client.get(f"{path}/metadata").json()
        uri = metadata["0040A730"]["Value"][0]["00420011"]["BulkDataURI"]
        assert client.get(uri).content == bytes(range(256)) * 8
