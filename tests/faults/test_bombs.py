"""A few bytes that stand for very many, and lengths that lie: refused, and no process grows (promises B8)."""

import gzip
import os
import socket
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian

from tests.support import dicomweb
from tests.support.builders import Identity, encode, image, part10
from tests.support.memory import FLAT_MIB, flat_memory, peak_mib
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway

pytestmark = pytest.mark.xdist_group("bombs")

_BLOCK_BYTES = 16 << 20
_TEN_GIB = 10 << 30
_REFUSED = (0xC000, 0xA700)
_DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that has taken one good object by every way, and shown it."""
    settings = {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path_factory.mktemp("bombs"), settings) as gateway, gateway.client() as client:
        good = image(Identity(study=50))
        assert dicomweb.store(client, [part10(good, DeflatedExplicitVRLittleEndian)]).status_code == 200
        other = image(Identity(study=51))
        assert _c_store(gateway, other.SOPInstanceUID, encode(other, DeflatedExplicitVRLittleEndian)) == 0
        client.get(f"/dicom-web/studies/{good.StudyInstanceUID}/rendered")
        yield gateway


def _c_store(gateway: RunningGateway, sop_uid: str, data_set: bytes) -> int:
    with RawSender(
        gateway.dicom_port, sop_class_uid=CTImageStorage, transfer_syntax_uid=DeflatedExplicitVRLittleEndian
    ) as sender:
        return sender.store(sop_uid, data_set).status


def _bomb(number: int, n_bytes: int) -> tuple[str, bytes]:
    """Return a deflated data set whose pixels are so many zeros; every block of them is the same bytes."""
    ds = image(Identity(study=60, instance=number))
    del ds.PixelData
    head = encode(ds) + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, min(n_bytes, 0xFFFFFFFE))
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    opening = deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = block.compress(bytes(_BLOCK_BYTES)) + block.flush(zlib.Z_FULL_FLUSH)
    return ds.SOPInstanceUID, opening + zeros * (n_bytes // _BLOCK_BYTES) + zlib.compressobj(
        9, wbits=-zlib.MAX_WBITS
    ).flush()


@pytest.mark.parametrize("n_bytes", [2 * _BLOCK_BYTES, 1 << 30, _TEN_GIB], ids=["32 MiB", "1 GiB", "10 GiB"])
def test_deflated_data_sets_that_grow_beyond_reason_are_refused(gateway: RunningGateway, n_bytes: int) -> None:
    sop_uid, data_set = _bomb(n_bytes >> 24, n_bytes)
    assert len(data_set) < n_bytes / 500
    file = part10(image(Identity(study=60, instance=n_bytes >> 24)), DeflatedExplicitVRLittleEndian, encoded=data_set)
    with gateway.client() as client, flat_memory(gateway):
        assert _c_store(gateway, sop_uid, data_set) in _REFUSED
        answer = dicomweb.store(client, [file])
        assert answer.status_code == httpx.codes.CONFLICT
        (failed,) = answer.json()["00081198"]["Value"]
        assert dicomweb.value(failed, "00081197") in _REFUSED
        assert dicomweb.search(client, "/instances", SOPInstanceUID=sop_uid) == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x-gzip"])
def test_encoded_bodies_are_not_unpacked(gateway: RunningGateway, encoding: str) -> None:
    body = gzip.compress(bytes(_BLOCK_BYTES))
    with gateway.client() as client, flat_memory(gateway):
        for path, kind in {
            "/dicom-web/studies": 'multipart/related; type="application/dicom"; boundary=b',
            "/login": "application/x-www-form-urlencoded",
        }.items():
            headers = {"Content-Type": kind, "Content-Encoding": encoding, "Origin": gateway.url}
            answer = client.post(path, content=body, headers=headers)
            assert answer.status_code in (400, 415), path


def _raw(gateway: RunningGateway, request: bytes, *, then_close: bool = False) -> bytes:
    """Send bytes as they are; return what is answered until the connection ends or nothing more comes."""
    with socket.create_connection(("127.0.0.1", gateway.web_port), 30) as sock:
        try:
            sock.sendall(request)
            if then_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was answered before all was sent
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer:
                    break
        except OSError:
            pass
        return answer


def _post(headers: bytes, body: bytes = b"") -> bytes:
    kind = b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'
    return b"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n" + kind + headers + b"\r\n" + body


_PART = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + b"x" * 1000 + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (_post(b"Content-Length: 99999999999999999999\r\n", _PART), {b"400", b"413"}),
        (_post(b"Content-Length: 68719476737\r\n", _PART), {b"413"}),
        (_post(b"Content-Length: -1\r\n", _PART), {b"400"}),
        (_post(b"Content-Length: 0x10\r\n", _PART), {b"400"}),
        (_post("Content-Length: \u0661\u0660\r\n".encode(), _PART), {b"400"}),
        (_post(b"Content-Length: 10\r\nContent-Length: 11\r\n", _PART), {b"400"}),
        (_post(b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), {b"400"}),
        (_post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), {b"400", b"501"}),
        (_post(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffffff\r\n" + _PART), {b"400", b""}),
        (_post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + _PART), {b"400", b""}),
        (_post(b"Transfer-Encoding: chunked\r\n", b"5;" + b"x" * 100_000), {b"400", b""}),
        (_post(b"Content-Length: 5\r\n", _PART), {b"400"}),
        (_post(b"Content-Length: 50000\r\n", _PART), {b"", b"409"}),
        (_post(b"Content-Length: 1073741824\r\n", _PART[:-10]), {b""}),
    ],
    ids=range(14),
)
def test_lengths_that_lie_are_told_or_cut_off(
    gateway: RunningGateway, request_bytes: bytes, statuses: set[bytes]
) -> None:
    with flat_memory(gateway):
        answer = _raw(gateway, request_bytes, then_close=b"" in statuses)
        assert answer[9:12] in statuses, answer[:200]
        assert httpx.get(f"{gateway.url}/healthz").status_code == httpx.codes.OK


def _lying(name: str, n_bytes: int) -> bytes:
    """Return a ZIP archive of zeros; what its entry says of their number is 1,000 bytes."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(name, bytes(n_bytes))
    return file.getvalue().replace(struct.pack("<L", n_bytes), struct.pack("<L", 1000))


def _of_zeros(folder: Path) -> Path:
    path = folder / "zeros.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("image.dcm", "w", force_zip64=True) as entry,
    ):
        entry.write(part10(image(Identity(study=70))))
        for _ in range(256):
            entry.write(bytes(1 << 20))
    return path


def _that_lies(folder: Path) -> Path:
    path = folder / "lies.zip"
    path.write_bytes(_lying("image.dcm", _BLOCK_BYTES))
    return path


def _in_one_another(folder: Path) -> Path:
    content = _of_zeros(folder).read_bytes()
    (folder / "zeros.zip").unlink()
    for depth in range(8):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for copy in range(4):
                archive.writestr(f"{depth}-{copy}.zip", content)
        content = file.getvalue()
    path = folder / "nested.zip"
    path.write_bytes(content)
    return path


def _of_many_entries(folder: Path, n_entries: int = 500_000) -> Path:
    """Return an archive whose entries are all the same few bytes, as bombs have them."""
    path, name = folder / "entries.zip", b"a"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0) + name
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    size, start = len(central) * n_entries, len(local)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n_entries, n_entries, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(local + central * n_entries + end64 + locator + end)
    return path


def test_archives_that_grow_beyond_reason_are_not_imported(gateway: RunningGateway, tmp_path: Path) -> None:
    good = tmp_path / "good.dcm"
    good.write_bytes(part10(image(Identity(study=71))))
    usual_mib, status, _ = _import(gateway, [good])
    assert status == 0
    bombs = [make(tmp_path) for make in (_in_one_another, _of_zeros, _that_lies, _of_many_entries)]

    with gateway.client() as client:
        before = dicomweb.search(client, "/instances")
        mib, status, said = _import(gateway, bombs)

        assert status == 1
        assert "Traceback" not in said
        assert [path.name for path in bombs if path.name not in said] == []
        assert mib - usual_mib < FLAT_MIB
        assert dicomweb.search(client, "/instances") == before


def _import(gateway: RunningGateway, paths: list[Path]) -> tuple[float, int, str]:
    command = [sys.executable, "-m", "pacs_gateway", "--data-dir", str(gateway.data_dir), "import", *map(str, paths)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PACS_")}
    return peak_mib(command, environment | {"PYTHONPATH": str(ROOT)}, deadline_s=_DEADLINE_S)
