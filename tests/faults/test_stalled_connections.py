"""Connections that say next to nothing, or lie about what comes: everybody else is served all the same."""

import logging
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import ScriptedPeer, associate_rq
from tests.support.storescu import echo
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.peer("dcmtk")

N_STALLED = 200
N_SILENT_TLS = 50
_ECHO_DEADLINE_S = 5.0
"""Five times the promise: 1 s."""
_CLOSED_DEADLINE_S = 150.0
"""Five times the promise: 30 s."""
_FLAT_BYTES = 64 << 20
_FOUR_GIB = 0xFFFFFFFF


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("stalled")
    own = Authority(folder / "pki").issue("gateway")
    settings = {"PACS_DICOM_TLS_CERT": str(own.certificate), "PACS_DICOM_TLS_KEY": str(own.key)}
    with running_gateway(folder / "gateway", settings | {"PACS_DICOM_TLS_PORT": "0"}) as gateway:
        yield gateway


def resident_bytes(gateway: RunningGateway) -> dict[int, int]:
    """Return the resident memory of each process that listens to devices."""
    return {child.pid: _resident(child.pid) for child in gateway.children("dicom")}


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) * 1024


def assert_served(gateway: RunningGateway, n_echoes: int = 5) -> None:
    """C-ECHO is answered in time, every time."""
    answers = [echo(gateway.dicom_port) for _ in range(n_echoes)]
    answers += [echo(gateway.dicom_tls_port, "+tla", "-ic") for _ in range(n_echoes)]
    _log.info("C-ECHO after %.2f s at most", max(seconds for _, seconds in answers))
    assert all(answered for answered, _ in answers)
    assert max(seconds for _, seconds in answers) < _ECHO_DEADLINE_S


def assert_flat(gateway: RunningGateway, before: dict[int, int]) -> None:
    """No listening process has grown, and none was started again."""
    after = resident_bytes(gateway)
    assert after.keys() == before.keys()
    growth = max(after[pid] - before[pid] for pid in before)
    _log.info("grown by %d bytes at most", growth)
    assert growth < _FLAT_BYTES


def test_connections_that_stall_after_three_bytes_keep_nobody_out(gateway: RunningGateway) -> None:
    assert echo(gateway.dicom_port)[0]
    before = resident_bytes(gateway)
    with ExitStack() as stack:
        for _ in range(N_STALLED):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.dicom_port), 10))
            sock.sendall(b"\x01\x00\x00")

        assert_served(gateway)
        assert_flat(gateway, before)


def test_tls_connections_without_a_hello_keep_nobody_out(gateway: RunningGateway) -> None:
    assert echo(gateway.dicom_tls_port, "+tla", "-ic")[0]
    before = resident_bytes(gateway)
    with ExitStack() as stack:
        address = ("127.0.0.1", gateway.dicom_tls_port)
        for _ in range(N_SILENT_TLS):
            stack.enter_context(socket.create_connection(address, 10))

        assert_served(gateway)
        assert_flat(gateway, before)


def test_tls_hellos_that_come_byte_by_byte_keep_nobody_out(gateway: RunningGateway) -> None:
    before = resident_bytes(gateway)
    with trickling(gateway.dicom_tls_port, _client_hello(), N_SILENT_TLS, pause_s=0.05):
        assert_served(gateway)
        assert_flat(gateway, before)


def test_requests_that_come_byte_by_byte_keep_nobody_out_and_are_closed(gateway: RunningGateway) -> None:
    before = resident_bytes(gateway)
    with trickling(gateway.dicom_port, associate_rq(), N_STALLED, pause_s=1) as slow:
        assert_served(gateway)
        assert_flat(gateway, before)

        took_s = wait_until(lambda: all(map(_is_closed, slow)), _CLOSED_DEADLINE_S, "all to be closed")
    _log.info("%d slow requests closed after %.1f s", len(slow), took_s)


@contextmanager
def trickling(port: int, said: bytes, n_connections: int, *, pause_s: float) -> Iterator[list[socket.socket]]:
    """Say the same on many connections, a byte at a time, until the end of the block."""
    done = threading.Event()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(n_connections)]

        def trickle() -> None:
            for byte in said:
                for sock in slow:
                    with suppress(OSError):  # it had to make room
                        sock.send(bytes([byte]))
                if done.wait(pause_s):
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield slow
        finally:
            done.set()
            thread.join()


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("after_association", [False, True], ids=["as the first PDU", "within an association"])
def test_a_pdu_that_claims_four_gib_is_cut_off(gateway: RunningGateway, after_association: bool) -> None:
    assert echo(gateway.dicom_port)[0]
    before = resident_bytes(gateway)
    kind = 4 if after_association else 1
    with ExitStack() as stack:
        peers = [stack.enter_context(ScriptedPeer(gateway.dicom_port)) for _ in range(8)]
        for peer in peers:
            if after_association:
                peer.associate()
            peer.send(struct.pack(">BBL", kind, 0, _FOUR_GIB), bytes(100))

        assert all(peer.is_closed() for peer in peers)
        assert_served(gateway)
        assert_flat(gateway, before)
