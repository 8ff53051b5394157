"""STOW-RS over real sockets: honest uploads, wrong ones, hostile ones."""

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_gateway import errors
from pacs_gateway.dicomweb import dicom_xml_reader, multipart
from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.config import WebConfig
from viewer_api.dicomweb.store_result import failure_reason

BOUNDARY = "the boundary=1"
HEADERS = {"Content-Type": f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'}
LIMIT = 4 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("store"), config=WebConfig(max_upload_bytes=LIMIT)) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.client() as opened:
        yield opened


def body(*files: bytes, content_type: str = "application/dicom") -> bytes:
    opened = [multipart.part_header(BOUNDARY, {"Content-Type": content_type}) + file for file in files]
    return b"".join([*opened, multipart.closing(BOUNDARY)])


def send(client: httpx.Client, *files: bytes, path: str = "/dicom-web/studies") -> tuple[int, Dataset]:
    response = client.post(path, content=body(*files), headers=HEADERS)
    assert response.headers["content-type"] == "application/dicom+json", response.text
    return response.status_code, Dataset.from_json(response.text)


def test_what_is_stored_is_found_at_once_and_comes_back_the_same(client: httpx.Client) -> None:
    file = studies.ct(10)
    status, answer = send(client, file)
    (stored,) = answer.ReferencedSOPSequence
    assert (status, stored.ReferencedSOPInstanceUID) == (200, uid(10, 1, 1))
    assert len(client.get(f"/dicom-web/studies?StudyInstanceUID={uid(10)}").json()) == 1
    back = client.get(stored.RetrieveURL, headers={"Accept": "application/dicom"}).content
    sent, found = dcmread(BytesIO(file)), dcmread(BytesIO(back))
    assert list(sent) == list(found)


def test_every_kind_of_object_is_taken_in_one_request(client: httpx.Client) -> None:
    files = [studies.rle(11), studies.us(11), studies.odd_fragments(11), studies.pdf(11), studies.report(11)]
    status, answer = send(client, *files, path=f"/dicom-web/studies/{uid(11)}")
    assert (status, len(answer.ReferencedSOPSequence)) == (200, 5)
    assert answer.RetrieveURL.endswith(f"/dicom-web/studies/{uid(11)}")


def test_the_same_again_is_no_failure(client: httpx.Client) -> None:
    assert [send(client, studies.ct(12))[0] for _ in range(3)] == [200, 200, 200]
    found = client.get(f"/dicom-web/studies?StudyInstanceUID={uid(12)}").json()
    assert found[0]["00201208"]["Value"] == [1]


def test_the_answer_may_be_xml(client: httpx.Client) -> None:
    headers = HEADERS | {"Accept": "application/dicom+xml"}
    response = client.post("/dicom-web/studies", content=body(studies.ct(24), b"nothing"), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (202, "application/dicom+xml")
    answer = dicom_xml_reader.decode(response.content)
    assert [answer[tag]["vr"] for tag in ("00081199", "0008119A")] == ["SQ", "SQ"]


def test_one_bad_instance_does_not_stop_the_others(client: httpx.Client) -> None:
    truncated = studies.ct(13)[:-7]
    status, answer = send(client, studies.ct(13, 1, 2), b"not DICOM" * 50, truncated, studies.ct(13, 1, 3), b"")
    assert status == 202
    assert [one.ReferencedSOPInstanceUID for one in answer.ReferencedSOPSequence] == [uid(13, 1, 2), uid(13, 1, 3)]
    (named,) = answer.FailedSOPSequence
    assert (named.ReferencedSOPInstanceUID, named.FailureReason) == (uid(13, 1, 1), 0xC000)
    assert [one.FailureReason for one in answer.OtherFailuresSequence] == [0xC000, 0xC000]


def test_nothing_stored_is_a_conflict(client: httpx.Client) -> None:
    status, answer = send(client, b"nothing")
    assert (status, "ReferencedSOPSequence" in answer) == (409, False)


@pytest.mark.parametrize("syntax", studies.NATIVE)
def test_an_instance_of_another_study_than_the_paths_is_refused(client: httpx.Client, syntax: str) -> None:
    status, answer = send(client, studies.ct(14, syntax=syntax), path=f"/dicom-web/studies/{uid(15)}")
    assert (status, answer.FailedSOPSequence[0].FailureReason) == (409, 0xA900)
    assert client.get(f"/dicom-web/studies?StudyInstanceUID={uid(14)}").json() == []


@pytest.mark.parametrize("preamble", [b"MZ\x90\x00", b"\x7fELF\x02\x01", b"<html><script>", b"%PDF-1.7", b"II*\0"])
def test_a_preamble_that_is_another_kind_of_file_does_not_survive(client: httpx.Client, preamble: bytes) -> None:
    file = studies.ct(16)
    _, answer = send(client, preamble.ljust(128, b"A") + file[128:])
    back = client.get(answer.ReferencedSOPSequence[0].RetrieveURL, headers={"Accept": "application/dicom"})
    assert back.content[:132] == bytes(128) + b"DICM"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/pdf"}, 415),
        ({"Content-Type": f'multipart/related; type="application/pdf"; boundary="{BOUNDARY}"'}, 415),
        ({"Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"'}, 415),
        ({"Content-Type": ""}, 415),
        (HEADERS | {"Content-Encoding": "gzip"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content-Type": f'multipart/related; type="application/dicom"; boundary="{"x" * 71}"'}, 400),
        ({"Content-Type": 'multipart/related; type="application/dicom"; boundary="other"'}, 400),
        (HEADERS | {"Accept": "application/pdf"}, 406),
    ],
)
def test_bodies_that_cannot_be_taken_are_told_why(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    response = client.post("/dicom-web/studies", content=body(studies.ct(17)), headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_a_body_that_says_it_is_too_large_is_not_read(site: Site) -> None:
    address = urlsplit(site.url)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {HEADERS['Content-Type']}\r\n"
        f"Authorization: Bearer {site.tokens['boss']}\r\nContent-Length: {LIMIT + 1}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_metadata_between_files_is_not_taken(client: httpx.Client) -> None:
    content = body(b"[]", content_type="application/dicom+json")
    assert client.post("/dicom-web/studies", content=content, headers=HEADERS).status_code == 415


def test_one_file_may_be_the_body_by_itself(client: httpx.Client) -> None:
    response = client.post("/dicom-web/studies", content=studies.ct(23), headers={"Content-Type": "application/dicom"})
    (stored,) = Dataset.from_json(response.text).ReferencedSOPSequence
    assert (response.status_code, stored.ReferencedSOPInstanceUID) == (200, uid(23, 1, 1))


def test_a_body_that_ends_early_keeps_only_what_was_whole(client: httpx.Client) -> None:
    content = body(studies.ct(18), studies.ct(18, 1, 2))[:-400]
    assert client.post("/dicom-web/studies", content=content, headers=HEADERS).status_code == 400
    found = client.get(f"/dicom-web/studies/{uid(18)}/instances").json()
    assert [one["00080018"]["Value"] for one in found] == [[uid(18, 1, 1)]]


def test_a_body_that_grows_beyond_the_limit_is_cut_off(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield multipart.part_header(BOUNDARY, {})
        for _ in range(100):
            yield bytes(1 << 20)

    try:
        status = client.post("/dicom-web/studies", content=endless(), headers=HEADERS).status_code
    except (httpx.WriteError, httpx.RemoteProtocolError):
        return  # the server has closed its end while we were still sending
    assert status == 413


def test_a_sender_that_hangs_up_leaves_nothing_behind(site: Site, client: httpx.Client) -> None:
    address = urlsplit(site.url)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {HEADERS['Content-Type']}\r\n"
        f"Authorization: Bearer {site.tokens['boss']}\r\nContent-Length: 100000\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + body(studies.ct(19))[:500])
    assert send(client, studies.ct(20))[0] == 200
    assert client.get(f"/dicom-web/studies?StudyInstanceUID={uid(19)}").json() == []


def test_a_reader_may_not_store(site: Site) -> None:
    with site.client("reader") as reader:
        response = reader.post("/dicom-web/studies", content=body(studies.ct(21)), headers=HEADERS)
    assert response.status_code == 403


def test_every_refusal_has_its_reason() -> None:
    assert failure_reason(errors.InvalidUidError()) == 0xC000
    assert failure_reason(errors.MismatchError()) == 0xA900
    assert failure_reason(errors.CapacityError()) == 0xA700
    assert failure_reason(errors.UnauthenticatedError()) == 0x0124
    assert failure_reason(errors.UnavailableError()) == 0x0110
    assert failure_reason(errors.UnsupportedSyntaxError()) == 0xC122


def test_a_full_spool_is_told_as_such(site: Site, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(site.gateway.spool), "accepts", lambda _spool: False)
    response = client.post("/dicom-web/studies", content=body(studies.ct(22)), headers=HEADERS)
    assert (response.status_code, int(response.headers["retry-after"]) > 0) == (503, True)
    assert Dataset.from_json(response.text).FailedSOPSequence[0].FailureReason == 0xA700


def test_pydicoms_own_files_go_in_and_come_out_or_are_refused_never_a_fault(client: httpx.Client) -> None:
    from pydicom.data import data_manager

    anything = {"Accept": "*/*; transfer-syntax=*"}
    folder = Path(data_manager.__file__).parent / "test_files"
    n_taken = 0
    for path in sorted(folder.glob("*.dcm")):
        if path.stat().st_size > LIMIT - 1000:
            continue
        response = client.post("/dicom-web/studies", content=body(path.read_bytes()), headers=HEADERS)
        assert response.status_code in (200, 409), path.name
        if response.status_code == 409:
            continue
        n_taken += 1
        at = Dataset.from_json(response.text).ReferencedSOPSequence[0].RetrieveURL
        assert client.get(at, headers=anything).status_code == 200, path.name
        assert client.get(f"{at}/metadata").status_code == 200, path.name
        for form in ("", "/frames/1", "/rendered", "/thumbnail", "/frames/1/rendered", "/frames/1/thumbnail"):
            for headers in (anything, {}):
                status = client.get(at + form, headers=headers).status_code
                assert status in (200, 404, 406, 422), (path.name, form, status)
    assert n_taken > 50
