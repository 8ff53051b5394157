"""Bodies and ranges that nobody honest sends: refused or answered, never a fault, and the others are served (B15)."""

import logging
import socket
import statistics
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from time import perf_counter

import httpx
import pytest
from pydicom.uid import EncapsulatedPDFStorage

from tests.support import dicomweb
from tests.support.builders import Identity, dataset, image, part10
from tests.support.memory import flat_memory
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.xdist_group("hostile-requests")

_OTHERS_P99_S = 5.0
"""25 times the promise: 200 ms."""
_DEADLINE_S = 120.0
_N_SLOW = 60
_MIB = 1 << 20
_HEAD = b"Content-Type: application/dicom\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path_factory.mktemp("hostile"), settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


@contextmanager
def others_are_served(gateway: RunningGateway) -> Iterator[None]:
    """Ask for studies again and again during the block; every answer is to come, and in time."""
    begun, done = threading.Event(), threading.Event()
    took: list[float] = []
    wrong: list[int] = []

    def ask() -> None:
        with gateway.client() as other:
            while not done.is_set():
                start = perf_counter()
                status = other.get("/dicom-web/studies", params={"limit": "5"}).status_code
                took.append(perf_counter() - start)
                begun.set()
                if status != httpx.codes.OK:
                    wrong.append(status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert begun.wait(_DEADLINE_S)
        yield
    finally:
        done.set()
        thread.join()
    p99 = statistics.quantiles([*took, took[-1]], n=100, method="inclusive")[98]
    _log.info("%d requests of others, p99 %.0f ms", len(took), p99 * 1000)
    assert wrong == []
    assert p99 < _OTHERS_P99_S


def _parts(*parts: bytes, boundary: bytes = b"b", end: bytes = b"--\r\n") -> bytes:
    """Return parts (headers, empty line, content) as a body."""
    return b"".join(b"\r\n--" + boundary + b"\r\n" + part for part in parts) + b"\r\n--" + boundary + end


def _part(headers: bytes = _HEAD, content: bytes = b"x" * 200) -> bytes:
    return headers + b"\r\n" + content


_KIND = 'multipart/related; type="application/dicom"; boundary='
BODIES: Mapping[str, tuple[str, bytes]] = {
    "no boundary": ('multipart/related; type="application/dicom"', _parts(_part())),
    "empty boundary": (_KIND + '""', _parts(_part(), boundary=b"")),
    "boundary of 71": (_KIND + "b" * 71, _parts(_part(), boundary=b"b" * 71)),
    "boundary of 60,000": (_KIND + "b" * 60_000, b""),
    "boundary that ends with a space": (_KIND + '"b "', _parts(_part(), boundary=b"b ")),
    "boundary with controls": (_KIND + '"b\t\\b"', _parts(_part())),
    "boundary not closed": (_KIND + '"b', _parts(_part())),
    "two boundaries": (_KIND + "b; boundary=c", _parts(_part())),
    "boundary of regular expression": (_KIND + '"(((((((((((+)"', _parts(_part(), boundary=b"(((((((((((+)")),
    "ten thousand parameters": (_KIND + "b" + ";a=b" * 10_000, _parts(_part())),
    "other inner type": ('multipart/related; type="text/html"; boundary=b', _parts(_part())),
    "form data": ("multipart/form-data; boundary=b", _parts(_part())),
    "mixed": ("multipart/mixed; boundary=b", _parts(_part())),
    "no type at all": ("", _parts(_part())),
    "empty body": (_KIND + "b", b""),
    "no delimiter": (_KIND + "b", b"x" * 5000),
    "endless preamble": (_KIND + "b", b"x" * (32 * _MIB)),
    "endless preamble of delimiters that are none": (_KIND + "b", b"\r\n--bx" * (4 * _MIB // 6)),
    "endless preamble of line ends": (_KIND + "b", b"\r\n-" * (4 * _MIB // 3)),
    "closing delimiter alone": (_KIND + "b", b"--b--\r\n"),
    "no closing delimiter": (_KIND + "b", _parts(_part(), end=b"")),
    "half a closing delimiter": (_KIND + "b", _parts(_part(), end=b"-")),
    "ends in the headers": (_KIND + "b", b"--b\r\nContent-Type: appl"),
    "33 headers": (_KIND + "b", _parts(_part(b"".join(b"X-%d: y\r\n" % n for n in range(33))))),
    "a header over 8 KiB": (_KIND + "b", _parts(_part(b"X: " + b"y" * 8192 + b"\r\n"))),
    "headers without end": (_KIND + "b", b"--b\r\n" + b"X: y\r\n" * (_MIB // 6)),
    "a header without end": (_KIND + "b", b"--b\r\nX:" + b"y" * (8 * _MIB)),
    "header without colon": (_KIND + "b", _parts(_part(b"Content-Type\r\n"))),
    "header with NUL": (_KIND + "b", _parts(_part(b"Content-Type: a\0b\r\n"))),
    "header given twice": (_KIND + "b", _parts(_part(_HEAD + b"content-TYPE: text/html\r\n"))),
    "folded header": (_KIND + "b", _parts(_part(b"Content-Type:\r\n application/dicom\r\n"))),
    "bare line feeds": (_KIND + "b", b"--b\nContent-Type: application/dicom\n\nx\n--b--\n"),
    "bare carriage returns": (_KIND + "b", b"--b\rContent-Type: application/dicom\r\rx\r--b--\r"),
    "part of another type": (_KIND + "b", _parts(_part(b"Content-Type: text/html\r\n", b"<script>"))),
    "part of no type that can be read": (_KIND + "b", _parts(_part(b"Content-Type: ;;;/\r\n"))),
    "part encoded": (_KIND + "b", _parts(_part(_HEAD + b"Content-Encoding: gzip\r\n"))),
    "part in another": (
        _KIND + "b",
        _parts(_part(b"Content-Type: multipart/related; boundary=c\r\n", _parts(_part(), boundary=b"c"))),
    ),
    "parts in one another": (
        _KIND + "b",
        b"".join(b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" for _ in range(5000)) + b"--b--",
    ),
    "10,001 parts": (_KIND + "b", _parts(*[_part(content=b"")] * 10_001)),
    "content of delimiters that are none": (_KIND + "b", _parts(_part(content=b"\r\n--bx" * (8 * _MIB // 6)))),
    "content of delimiters with padding": (_KIND + "b", _parts(_part(content=(b"\r\n--b" + b" " * 66) * 50_000))),
    "content of carriage returns": (_KIND + "b", _parts(_part(content=b"\r" * (8 * _MIB)))),
    "a preamble alone": (_KIND + "b", _parts(_part(content=bytes(128) + b"DICM"))),
    "meta information without end": (
        _KIND + "b",
        _parts(_part(content=bytes(128) + b"DICM" + b"\2\0\1\0UI\4\0" * _MIB)),
    ),
    "meta information of 4 GiB": (
        _KIND + "b",
        _parts(_part(content=bytes(128) + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\xff" + bytes(1000))),
    ),
    "a value of 4 GiB in the meta information": (
        _KIND + "b",
        _parts(_part(content=bytes(128) + b"DICM\2\0\1\0OB\0\0\xfe\xff\xff\xff" + bytes(1000))),
    ),
}


def test_no_body_is_a_fault_and_none_is_kept(gateway: RunningGateway, client: httpx.Client) -> None:
    dicomweb.store(client, [part10(image(Identity(study=80)))])
    with flat_memory(gateway), others_are_served(gateway):
        before = dicomweb.search(client, "/instances")
        answers = {
            name: client.post("/dicom-web/studies", content=body, headers={"Content-Type": kind}).status_code
            for name, (kind, body) in BODIES.items()
        }
        assert {name: status for name, status in answers.items() if not 400 <= status < 500} == {}
        assert dicomweb.search(client, "/instances") == before
    wait_until(lambda: _unpublished(gateway) == [], _DEADLINE_S, "nothing of them to be left")


def _unpublished(gateway: RunningGateway) -> list[str]:
    return [path.name for path in (gateway.data_dir / "spool").glob("*/*") if path.suffix not in (".dcm", ".lock", "")]


def test_a_body_in_pieces_of_one_byte_is_read_as_any_other(gateway: RunningGateway, client: httpx.Client) -> None:
    content = part10(image(Identity(study=81)))
    body = _parts(_part(content=content), boundary=b"one-byte")
    with others_are_served(gateway):
        pieces = (body[at : at + 1] for at in range(len(body)))
        answer = client.post("/dicom-web/studies", content=pieces, headers={"Content-Type": _KIND + "one-byte"})
    assert answer.status_code == httpx.codes.OK


def test_bodies_that_hardly_come_keep_nobody_waiting(gateway: RunningGateway, client: httpx.Client) -> None:
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {_KIND}b\r\n".encode()
    said = head + b"Content-Length: 100000\r\n\r\n" + b"--b\r\n" + _HEAD + b"\r\n" + bytes(128) + b"DICM"
    with flat_memory(gateway), ExitStack() as stack:
        address = ("127.0.0.1", gateway.web_port)
        slow = [stack.enter_context(socket.create_connection(address, 30)) for _ in range(_N_SLOW)]
        for sock in slow:
            sock.sendall(said)
        with others_are_served(gateway):
            for _ in range(20):
                for sock in slow:
                    sock.sendall(b"\0")
            answer = dicomweb.store(client, [part10(image(Identity(study=82, instance=n))) for n in range(20)])
            assert answer.status_code == httpx.codes.OK
    assert client.get("/healthz").status_code == httpx.codes.OK


RANGES = (
    "bytes=0-",
    "bytes=0-0",
    "bytes=-1",
    "bytes=-0",
    "bytes=5-4",
    "bytes=4-5, 4-5",
    "bytes=0-9,5-14,10-19",
    "bytes=" + ",".join(["0-"] * 10_000),
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 8000, 2)),
    "bytes=" + ",".join(["0-0"] * 12_000),
    "bytes=" + "," * 50_000,
    "bytes=0-" + "9" * 5000,
    "bytes=" + "9" * 5000 + "-",
    "bytes=-" + "9" * 5000,
    "bytes=18446744073709551615-18446744073709551616",
    "bytes=-18446744073709551616",
    "bytes=--1",
    "bytes=-1-1",
    "bytes=+1-2",
    "bytes=1_0-2_0",
    "bytes=0x0-0x9",
    "bytes=1e1-2e1",
    "bytes=\u0661-\u0669",
    "bytes=\u00b2-\u00b3",
    "bytes = 0 - 5",
    "BYTES=0-5",
    "bytes",
    "bytes=",
    "bytes:0-5",
    "=0-5",
    "items=0-5",
    "none",
    "bytes=a-b",
    "bytes=0-5;q=1",
    "bytes=0-5\tx",
    "bytes=" + " " * 30_000 + "0-5",
    "bytes=" + "0-5" + " " * 30_000 + "x",
)
_ALLOWED = frozenset({200, 206, 400, 406, 416, 431})
_OVERHEAD_BYTES = 200 * 1024
"""Above the whole resource: the frame around its parts."""


def test_no_range_is_a_fault_and_none_makes_an_answer_grow(gateway: RunningGateway, client: httpx.Client) -> None:
    ds = image(Identity(study=83))
    ds.EncapsulatedDocument = bytes(range(256)) * 64
    document = dataset(Identity(study=83, series=2))
    document.SOPClassUID, document.Modality = EncapsulatedPDFStorage, "DOC"
    document.EncapsulatedDocument = b"%PDF-1.4 " + bytes(5001)
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    assert dicomweb.store(client, [part10(ds), part10(document)]).status_code == httpx.codes.OK
    path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    second = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{document.SeriesInstanceUID}"
    resources = [
        f"{path}/bulkdata/00420011",
        f"{path}/frames/1",
        path,
        f"{path}/metadata",
        f"{path}/rendered",
        f"{second}/instances/{document.SOPInstanceUID}/rendered",
        "/static/portal.css",
    ]
    with flat_memory(gateway), others_are_served(gateway):
        for resource in resources:
            whole = client.get(resource)
            assert whole.status_code == httpx.codes.OK, resource
            for span in RANGES:
                answer = client.get(resource, headers=[(b"Range", span.encode())])
                assert answer.status_code in _ALLOWED, (resource, span[:80])
                assert len(answer.content) <= len(whole.content) + _OVERHEAD_BYTES, (resource, span[:80])
                if (
                    answer.status_code == httpx.codes.PARTIAL_CONTENT
                    and "multipart" not in answer.headers["content-type"]
                ):
                    assert answer.content in whole.content, (resource, span[:80])


def test_senders_that_hang_up_leave_nothing_behind(gateway: RunningGateway, client: httpx.Client) -> None:
    content = part10(image(Identity(study=84)))
    body = _parts(_part(content=content))
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {_KIND}b\r\n".encode()
    request = head + f"Content-Length: {len(body) + 1}\r\n\r\n".encode() + body
    with flat_memory(gateway), others_are_served(gateway):
        for end in range(len(head), len(request), 40):
            with suppress(OSError), socket.create_connection(("127.0.0.1", gateway.web_port), 30) as sock:
                sock.sendall(request[:end])
    wait_until(lambda: _unpublished(gateway) == [], _DEADLINE_S, "nothing of them to be left")
    assert client.get("/healthz").status_code == httpx.codes.OK
