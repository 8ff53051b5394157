"""WADO-RS over real sockets, on objects of every native syntax and some others."""

import json
from email import message_from_bytes, policy
from io import BytesIO

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from tests.viewer_api import studies
from tests.viewer_api.studies import uid

ROOT = f"/dicom-web/studies/{uid(1)}"
CT = f"{ROOT}/series/{uid(1, 1)}/instances/{uid(1, 1, 1)}"
RLE = f"{ROOT}/series/{uid(1, 2)}/instances/{uid(1, 2, 1)}"
US = f"{ROOT}/series/{uid(1, 3)}/instances/{uid(1, 3, 1)}"
VIDEO = f"{ROOT}/series/{uid(1, 4)}/instances/{uid(1, 4, 1)}"
SR = f"{ROOT}/series/{uid(1, 6)}/instances/{uid(1, 6, 1)}"
ANY_OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
ANY_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'


def parts(response: httpx.Response) -> list[tuple[str, bytes]]:
    """Return (content type, content) of each part, read by the standard library."""
    assert response.status_code == 200, response.text
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + response.content, policy=policy.HTTP)
    found = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(part["content-type"]).replace('"', ""), content))
    return found


def objects(response: httpx.Response) -> list[Dataset]:
    """Return the data sets of a multipart answer."""
    return [dcmread(BytesIO(content)) for _, content in parts(response)]


def test_a_study_comes_whole_as_stored(client: httpx.Client) -> None:
    response = client.get(ROOT, headers={"Accept": ANY_OBJECT})
    found = objects(response)
    assert [ds.SOPInstanceUID for ds in found] == [
        uid(1, 1, 1), uid(1, 1, 2), uid(1, 1, 3), uid(1, 2, 1), uid(1, 3, 1), uid(1, 4, 1), uid(1, 5, 1), uid(1, 6, 1),
    ]  # fmt: skip
    assert found[3].file_meta.TransferSyntaxUID == RLELossless
    assert "transfer-syntax=1.2.840.10008.1.2.5" in parts(response)[3][0]


@pytest.mark.parametrize("path", [ROOT, RLE, SR])
def test_an_answer_of_stored_objects_says_how_long_it_is(client: httpx.Client, path: str) -> None:
    response = client.get(path, headers={"Accept": ANY_OBJECT})
    assert int(response.headers["content-length"]) == len(response.content)


def test_a_small_answer_that_is_made_as_it_leaves_says_how_long_it_is(client: httpx.Client) -> None:
    response = client.get(f"/dicom-web/studies/{uid(2)}", headers={"Accept": ANY_OBJECT})
    assert int(response.headers["content-length"]) == len(response.content)
    assert len(objects(response)) == 4


def test_a_study_with_something_that_cannot_be_decoded_is_refused_before_it_begins(client: httpx.Client) -> None:
    response = client.get(ROOT)
    assert response.status_code == 406
    assert "transfer-syntax=*" in response.json()["detail"]


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("accept", [ANY_OBJECT, "*/*"])
def test_native_objects_leave_in_explicit_little_endian_with_their_values(
    client: httpx.Client, number: int, accept: str
) -> None:
    path = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, number)}"
    (found,) = objects(client.get(path, headers={"Accept": accept}))
    is_deflated = number == 4 and accept == ANY_OBJECT
    assert (found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian) is not is_deflated
    assert found.PatientName == studies.NAME
    assert found.PixelData == studies.values(number).tobytes()
    assert (found.WindowWidth, found.Rows, found.InstanceNumber) == (400, 12, number)


def test_compressed_objects_are_decompressed_unless_asked_otherwise(client: httpx.Client) -> None:
    (found,) = objects(client.get(RLE))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.PixelData == studies.values(1).tobytes()


def test_one_instance_comes_as_a_plain_file_when_asked_for(client: httpx.Client) -> None:
    response = client.get(CT, headers={"Accept": "application/dicom"})
    assert response.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["content-disposition"] == "attachment"
    assert dcmread(BytesIO(response.content)).SOPInstanceUID == uid(1, 1, 1)
    assert response.content[:132] == bytes(128) + b"DICM"
    assert b"facility" not in response.content


@pytest.mark.parametrize("accept", ["application/dicom+xml", 'multipart/related; type="image/png"', "text/html"])
def test_forms_that_are_not_offered_are_refused(client: httpx.Client, accept: str) -> None:
    assert client.get(CT, headers={"Accept": accept}).status_code == 406


def test_what_is_not_there_is_not_found(client: httpx.Client) -> None:
    for path in (f"/dicom-web/studies/{uid(99)}", f"{ROOT}/series/{uid(2, 1)}", f"{CT}.9"):
        response = client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


def test_what_is_no_uid_is_a_bad_request_that_is_not_repeated(client: httpx.Client) -> None:
    response = client.get("/dicom-web/studies/<script>")
    assert response.status_code == 400
    assert "script" not in response.text


def test_a_viewer_gets_stored_frames_with_their_syntax(client: httpx.Client) -> None:
    response = client.get(f"{RLE}/frames/1", headers={"Accept": ANY_FRAME})
    ((content_type, frame),) = parts(response)
    assert content_type == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5"
    assert "transfer-syntax=1.2.840.10008.1.2.5" in response.headers["content-type"]
    assert len(frame) > 64
    assert frame[:4] == (2).to_bytes(4, "little")  # an RLE frame begins with its number of segments (PS3.5 G.5)


def test_frames_are_decompressed_when_no_syntax_is_asked_for(client: httpx.Client) -> None:
    ((content_type, frame),) = parts(client.get(f"{RLE}/frames/1"))
    assert content_type.endswith("transfer-syntax=1.2.840.10008.1.2.1")
    assert frame == studies.values(1).tobytes()


def test_several_frames_come_in_the_order_asked_for(client: httpx.Client) -> None:
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    frames = [content for _, content in parts(client.get(f"{US}/frames/4,1"))]
    assert frames == [clip[3].tobytes(), clip[0].tobytes()]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_frames_of_every_byte_order_are_little_endian(client: httpx.Client, number: int) -> None:
    path = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, number)}/frames/1"
    response = client.get(path, headers={"Accept": "application/octet-stream"})
    assert np.array_equal(np.frombuffer(response.content, "<i2").reshape(1, 12, 10), studies.values(number))


@pytest.mark.parametrize(
    ("frames", "status"), [("0", 400), ("1,", 400), ("x", 400), ("-1", 400), ("2", 404), ("1,9", 404), ("٣", 400)]
)
def test_frames_that_are_not_there_are_told(client: httpx.Client, frames: str, status: int) -> None:
    assert client.get(f"{CT}/frames/{frames}").status_code == status


def test_video_frames_leave_only_as_they_are(client: httpx.Client) -> None:
    for accept, status in (
        ("*/*", 406),
        ('multipart/related; type="application/octet-stream"', 406),
        (ANY_FRAME, 200),
        ('multipart/related; type="video/mpeg"', 200),
        ('multipart/related; type="video/mp4"', 406),
    ):
        assert client.get(f"{VIDEO}/frames/1", headers={"Accept": accept}).status_code == status


def test_bulk_data_are_found_where_the_metadata_say(client: httpx.Client) -> None:
    (metadata,) = client.get(f"{SR}/metadata").json()
    uri = metadata["0040A730"]["Value"][0]["00420011"]["BulkDataURI"]
    assert uri.startswith("/dicom-web/")
    assert client.get(uri).content == bytes(range(256)) * 8
    wrapped = client.get(uri, headers={"Accept": 'multipart/related; type="application/octet-stream"'})
    assert parts(wrapped)[0][1] == bytes(range(256)) * 8


@pytest.mark.parametrize("path", ["00420011", "0040A730/7/00420011", "0040A730", "00100010"])
def test_bulk_data_that_are_not_there_are_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(f"{SR}/bulkdata/{path}").status_code == 404


def test_no_answer_invites_a_browser_to_run_it(client: httpx.Client) -> None:
    response = client.get(CT)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    json.dumps(dict(response.headers))
