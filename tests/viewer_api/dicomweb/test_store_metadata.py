"""STOW-RS of metadata and bulk data: what was taken apart is put together again; wrong and hostile ones are refused."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from pacs_gateway.dicomweb import dicom_xml
from tests.support.metadata_store import DICOM_JSON, SentPart, metadata, post, taken_apart
from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.config import WebConfig
from viewer_api.dicomweb.store_metadata import MAX_METADATA_BYTES

LIMIT = 40 << 20
PART10 = {"Accept": "application/dicom; transfer-syntax=*"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("store"), config=WebConfig(max_upload_bytes=LIMIT)) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.client() as opened:
        yield opened


def read(file: bytes) -> FileDataset:
    return dcmread(BytesIO(file))


def ct(study: int, instance: int = 1) -> dict[str, Any]:
    """Return the metadata of a CT image, its pixels inline."""
    return read(studies.ct(study, 1, instance)).to_json_dict()


def answered(response: httpx.Response) -> tuple[int, Dataset]:
    assert response.headers["content-type"] == DICOM_JSON, response.text
    return response.status_code, Dataset.from_json(response.text)


def reasons(response: httpx.Response) -> list[int]:
    """Return the failure reasons of a store of which nothing was kept."""
    status, answer = answered(response)
    assert (status, "ReferencedSOPSequence" in answer) == (409, False)
    failed = [*answer.get("FailedSOPSequence", []), *answer.get("OtherFailuresSequence", [])]
    return [one.FailureReason for one in failed]


def retrieved(client: httpx.Client, answer: Dataset) -> FileDataset:
    back = client.get(answer.ReferencedSOPSequence[0].RetrieveURL, headers=PART10)
    assert back.status_code == 200
    return read(back.content)


@pytest.mark.parametrize("make", [studies.ct, studies.rle, studies.us, studies.pdf, studies.report])
def test_what_was_taken_apart_is_the_same_when_it_is_put_together(client: httpx.Client, make: Any) -> None:
    sent = read(make(10))
    described, parts = taken_apart(sent)
    status, answer = answered(post(client, [metadata(described), *parts]))
    assert status == 200
    assert_same(retrieved(client, answer), sent)


def assert_same(back: FileDataset, sent: FileDataset) -> None:
    assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    if "PixelData" in sent:
        assert np.array_equal(back.pixel_array, sent.pixel_array)
        del back.PixelData, sent.PixelData
    assert back == sent


@pytest.mark.parametrize("make", [studies.ct, studies.rle, studies.pdf, studies.report])
def test_xml_says_the_same(client: httpx.Client, make: Any) -> None:
    sent = read(make(26))
    described, parts = taken_apart(sent)
    document = SentPart(dicom_xml.MEDIA_TYPE, dicom_xml.encode(described))
    status, answer = answered(post(client, [document, *parts], kind=dicom_xml.MEDIA_TYPE))
    assert status == 200
    assert_same(retrieved(client, answer), sent)


@pytest.mark.parametrize("document", [b"", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"[]"])
def test_spoilt_xml_is_refused(client: httpx.Client, document: bytes) -> None:
    parts = [SentPart(dicom_xml.MEDIA_TYPE, document)]
    assert reasons(post(client, parts, kind=dicom_xml.MEDIA_TYPE)) == [0xC000]


def test_an_object_of_ours_comes_back_under_new_uids(site: Site, client: httpx.Client) -> None:
    site.put(studies.us(11))
    at = f"/dicom-web/studies/{uid(11)}/series/{uid(11, 3)}/instances/{uid(11, 3, 1)}"
    (described,) = client.get(f"{at}/metadata").json()
    for tag, number in (("0020000D", 12), ("0020000E", 13), ("00080018", 14)):
        described[tag]["Value"] = [uid(number)]
    frames = read(client.get(at, headers=PART10).content)
    described["7FE00010"] = {"vr": "OW", "BulkDataURI": f"{at}/bulkdata/7FE00010"}
    parts = [SentPart("application/octet-stream", frames.PixelData, f"{at}/bulkdata/7FE00010")]
    status, answer = answered(post(client, [*parts, metadata(described)], path=f"/dicom-web/studies/{uid(12)}"))
    assert status == 200
    back = retrieved(client, answer)
    assert [back.StudyInstanceUID, back.SeriesInstanceUID, back.SOPInstanceUID] == [uid(12), uid(13), uid(14)]
    assert str(back.PatientName) == studies.NAME
    assert np.array_equal(back.pixel_array, frames.pixel_array)


def test_several_instances_in_one_part_share_its_bulk_data(client: httpx.Client) -> None:
    datasets = [ct(15, n) for n in range(1, 4)]
    pixels = b64decode(datasets[0]["7FE00010"]["InlineBinary"])
    for dataset in datasets:
        dataset["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    bulk = SentPart("application/octet-stream", pixels, "pixels")
    status, answer = answered(post(client, [metadata(*datasets), bulk]))
    assert (status, len(answer.ReferencedSOPSequence)) == (200, 3)


def test_frames_may_be_told_apart_by_their_locations(client: httpx.Client) -> None:
    sent = read(studies.rle(16))
    described, parts = taken_apart(sent)
    numbered = [SentPart(p.content_type, p.content, f"{p.location}/frames/{n}") for n, p in enumerate(parts, 1)]
    status, answer = answered(post(client, [metadata(described), *reversed(numbered)]))
    assert status == 200
    assert np.array_equal(retrieved(client, answer).pixel_array, sent.pixel_array)


def test_one_part_of_metadata_may_be_the_body_by_itself(client: httpx.Client) -> None:
    response = client.post(
        "/dicom-web/studies", content=json.dumps([ct(17)]), headers={"Content-Type": f"{DICOM_JSON}; charset=utf-8"}
    )
    assert answered(response)[0] == 200


def test_text_is_kept_in_utf_8_whatever_it_was_called(client: httpx.Client) -> None:
    dataset = ct(18)
    dataset["00080005"] = {"vr": "CS", "Value": ["ISO_IR 100"]}
    _, answer = answered(post(client, [metadata(dataset)]))
    back = retrieved(client, answer)
    assert (back.SpecificCharacterSet, str(back.PatientName)) == ("ISO_IR 192", studies.NAME)


def test_one_bad_instance_does_not_stop_the_others(client: httpx.Client) -> None:
    lacking = ct(19, 2)
    del lacking["0020000D"]
    spoilt = SentPart(DICOM_JSON, b'[{"00080018"')
    status, answer = answered(post(client, [metadata(ct(19), lacking, ct(19, 3)), spoilt]))
    assert (status, len(answer.ReferencedSOPSequence)) == (202, 2)
    (named,) = answer.FailedSOPSequence
    assert (named.ReferencedSOPInstanceUID, named.FailureReason) == (uid(19, 1, 2), 0xC000)
    assert [one.FailureReason for one in answer.OtherFailuresSequence] == [0xC000]


@pytest.mark.parametrize(
    ("tag", "attribute"),
    [
        ("00100010", {"vr": "PN", "Value": ["no groups"]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "A", "Other": "B"}]}),
        ("00100020", {"vr": "LO", "Value": ["a\\b"]}),
        ("00100020", {"vr": "LO", "Value": [5]}),
        ("00100020", {"vr": "LO", "Value": "text"}),
        ("00100020", {"vr": "LO", "Value": ["a"], "InlineBinary": "QQ=="}),
        ("00100020", {"Value": ["a"]}),
        ("00100020", {"vr": "XX", "Value": ["a"]}),
        ("00100020", "text"),
        ("00104000", {"vr": "LT", "Value": ["a", "b"]}),
        ("00280010", {"vr": "US", "Value": [70000]}),
        ("00280010", {"vr": "US", "Value": [-1]}),
        ("00280010", {"vr": "US", "Value": [1.5]}),
        ("00280010", {"vr": "US", "Value": [True]}),
        ("00280030", {"vr": "DS", "Value": [{}]}),
        ("00280009", {"vr": "AT", "Value": ["0018"]}),
        ("00189087", {"vr": "FD", "Value": [1e400]}),
        ("00082112", {"vr": "SQ", "Value": ["item"]}),
        ("00082112", {"vr": "SQ", "BulkDataURI": "x"}),
        ("00420011", {"vr": "OB", "Value": ["AA"]}),
        ("00420011", {"vr": "OB", "InlineBinary": "not base 64"}),
        ("00420011", {"vr": "OB", "InlineBinary": 7}),
        ("00420011", {"vr": "OB", "BulkDataURI": "nowhere"}),
        ("00420011", {"vr": "OB", "BulkDataURI": 7}),
        ("00281201", {"vr": "OW", "InlineBinary": "QUFB"}),
        ("0000", {"vr": "US"}),
        ("PatientID", {"vr": "LO"}),
        ("00000002", {"vr": "UI"}),
    ],
)
def test_what_breaks_the_model_is_refused(client: httpx.Client, tag: str, attribute: Any) -> None:
    body = json.dumps([ct(20) | {tag: attribute}]).replace("Infinity", "1e400")
    assert reasons(post(client, [SentPart(DICOM_JSON, body.encode())])) == [0xC000]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/x", "file:///etc/passwd", "/etc/passwd", "../../secret"])
def test_a_uri_that_leads_out_of_the_body_is_followed_nowhere(client: httpx.Client, uri: str) -> None:
    dataset = ct(20) | {"7FE00010": {"vr": "OW", "BulkDataURI": uri}}
    assert reasons(post(client, [metadata(dataset)])) == [0xC000]


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("application/octet-stream", 0xA900),
        ("image/jpeg; transfer-syntax=1.2.3", 0xC122),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.2", 0xC122),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2", 0xA900),
    ],
)
def test_pixels_that_cannot_be_what_is_said_are_refused(client: httpx.Client, content_type: str, reason: int) -> None:
    dataset = ct(20) | {"7FE00010": {"vr": "OW", "BulkDataURI": "x"}}
    part = SentPart(content_type, b"\xff\xd8\xff\xd9", "x")
    assert reasons(post(client, [metadata(dataset), part])) == [reason]


@pytest.mark.parametrize("dataset", [[], 7, None, {}, [[]], {"00080018": {"vr": "UI", "Value": ["../../x"]}}])
def test_what_is_no_object_is_refused(client: httpx.Client, dataset: Any) -> None:
    response = post(client, [SentPart(DICOM_JSON, json.dumps([dataset]).encode())])
    assert reasons(response) == [0xC000]


def test_deep_nesting_is_refused(client: httpx.Client) -> None:
    nested: dict[str, Any] = {}
    for _ in range(70):
        nested = {"00082112": {"vr": "SQ", "Value": [nested]}}
    assert reasons(post(client, [metadata(ct(20) | nested)])) == [0xC000]
    bottomless = b"[" * 100_000
    assert reasons(post(client, [SentPart(DICOM_JSON, bottomless)])) == [0xC000]


def test_an_instance_of_another_study_than_the_paths_is_refused(client: httpx.Client) -> None:
    assert reasons(post(client, [metadata(ct(20))], path=f"/dicom-web/studies/{uid(21)}")) == [0xA900]


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([SentPart(DICOM_JSON, b"[]")], 400),
        ([SentPart("application/octet-stream", b"x", "x")], 400),
        ([SentPart("application/octet-stream", b"x")], 400),
        ([SentPart("application/dicom", b"x")], 415),
        ([SentPart(f"{DICOM_JSON}\r\nContent-Encoding: gzip", b"x")], 415),
        ([SentPart(f"{DICOM_JSON}\r\nContent-Transfer-Encoding: base64", b"x")], 415),
        ([SentPart("not a type", b"x")], 400),
        ([SentPart(DICOM_JSON, b" " * (MAX_METADATA_BYTES + 1))], 413),
    ],
)
def test_bodies_that_cannot_be_taken_are_told_why(client: httpx.Client, parts: list[SentPart], status: int) -> None:
    response = post(client, parts)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_a_body_that_ends_early_keeps_nothing(client: httpx.Client) -> None:
    part = metadata(ct(22)).encoded("b")
    headers = {"Content-Type": f'multipart/related; type="{DICOM_JSON}"; boundary=b'}
    assert client.post("/dicom-web/studies", content=part, headers=headers).status_code == 400
    assert client.get(f"/dicom-web/studies?StudyInstanceUID={uid(22)}").json() == []


def test_nothing_is_left_in_the_spool(site: Site, client: httpx.Client) -> None:
    post(client, [SentPart("application/octet-stream", bytes(3 << 20), "x"), metadata({})])
    directory = site.gateway.archive.ingest.directory
    assert {path.suffix for path in directory.path.iterdir()} <= {"", ".dcm"}


def test_a_full_spool_is_told_as_such(site: Site, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(site.gateway.spool), "accepts", lambda _spool: False)
    assert post(client, [metadata(ct(23))]).status_code == 503


@pytest.mark.parametrize(
    ("frame", "syntax"),
    [
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x04ab\xff\xd9", "1.2.840.10008.1.2.4.50"),
        (b"\xff\xd8\xff\xff\xc1\x00\x04ab\xff\xd9", "1.2.840.10008.1.2.4.51"),
        (b"\xff\xd8\xff\xc3\x00\x04ab\xff\xda\x00\x06a\x01\x00\x00\xff\xd9", "1.2.840.10008.1.2.4.70"),
        (b"\xff\xd8\xff\xc3\x00\x04ab\xff\xda\x00\x06a\x04\x00\x00\xff\xd9", "1.2.840.10008.1.2.4.57"),
    ],
)
def test_a_jpeg_image_says_itself_what_it_is(client: httpx.Client, frame: bytes, syntax: str) -> None:
    dataset = ct(24, int(syntax.rpartition(".")[2])) | {"7FE00010": {"vr": "OB", "BulkDataURI": "x"}}
    status, answer = answered(post(client, [metadata(dataset), SentPart("image/jpeg", frame, "x")]))
    assert status == 200
    back = retrieved(client, answer)
    assert back.file_meta.TransferSyntaxUID == syntax
    assert back.PixelData.endswith(frame + bytes(len(frame) % 2))


def test_values_of_every_kind_are_encoded(client: httpx.Client) -> None:
    values = {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00080201": {"vr": "SH"},
        "00189087": {"vr": "FD", "Value": [0.1]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00280030": {"vr": "DS", "Value": [0.3333333333333333, "0.50", 1]},
        "00281050": {"vr": "DS", "Value": [1e-30]},
        "00200013": {"vr": "IS", "Value": ["7"]},
        "00720082": {"vr": "SV", "Value": ["-9007199254740993"]},
        "00720083": {"vr": "UV", "Value": [18446744073709551615]},
        "0072006E": {"vr": "UC", "Value": ["a", "b"]},
        "00281201": {"vr": "OW", "InlineBinary": b64encode(bytes(600)).decode()},
        "00091001": {"vr": "UN", "InlineBinary": "QUJD"},
    }
    _, answer = answered(post(client, [metadata(ct(25) | values)]))
    back = retrieved(client, answer)
    assert list(back.ImageType) == ["ORIGINAL", "", "AXIAL"]
    assert [str(one) for one in back.PixelSpacing] == ["0.33333333333333", "0.50", "1"]
    assert (back.DiffusionBValue, back.FrameIncrementPointer) == (0.1, 0x00181063)
    assert (back.InstanceNumber, back.WindowCenter) == (7, 1e-30)
    assert (back[0x00720082].value, back[0x00720083].value) == (-9007199254740993, 2**64 - 1)
    assert (list(back[0x0072006E].value), back[0x00091001].value) == (["a", "b"], b"ABC\0")
