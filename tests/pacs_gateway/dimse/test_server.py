"""The life of a server: starting, sharing a socket, and ending in order."""

import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.server import DicomServer
from tests.pacs_gateway.dimse.conftest import CONFIG, Running, Serve, wait_until
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest
from tests.support.scripted_peer import ScriptedPeer, echo_rq, p_data, pdu, pdv, store_rq

CT = 3


def test_stopping_aborts_idle_associations_at_once(running: Running) -> None:
    with ScriptedPeer(running.port) as half_open, ScriptedPeer(running.port) as idle:
        half_open.send(b"\x01\x00")
        idle.associate()  # accepted after the other
        begun = monotonic()
        running.server.stop(grace_s=30)

        assert idle.receive_pdu()[:1] == b"\x07"
        assert idle.is_closed()
        assert half_open.is_closed()
    running.thread.join(10)
    assert monotonic() - begun < 5


def test_stopping_lets_a_message_in_flight_finish(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, 3, store_rq()), pdv(CT, 0, b"first half, ")))
        wait_until(lambda: running.ingest.n_begun == 1)
        running.server.stop(grace_s=30)
        running.thread.join(0.2)
        peer.send(p_data(pdv(CT, 2, b"second half")))

        assert peer.receive_status()[0] == 0
        assert peer.receive_pdu()[:1] == b"\x07"
    running.thread.join(10)
    assert [received.data for received in running.ingest.published] == [b"first half, second half"]


def test_after_the_grace_what_is_left_is_cut(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, 3, store_rq()), pdv(CT, 0, b"half")))
        wait_until(lambda: running.ingest.n_begun == 1)
        running.server.stop(grace_s=0.2)

        assert peer.is_closed()
    running.thread.join(10)
    assert not running.thread.is_alive()
    assert (running.ingest.published, running.ingest.n_discarded) == ([], 1)


def test_a_slow_store_is_waited_for(running: Running) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(10)

    running.ingest.before_finish = hold
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, 3, store_rq()), pdv(CT, 2, b"data")))
        assert entered.wait(10)
        running.server.stop(grace_s=30)
        leave.set()

        assert peer.receive_status()[0] == 0
    assert len(running.ingest.published) == 1


def test_two_servers_share_a_socket_and_one_at_its_cap_leaves_callers_to_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ingest = MemoryIngest()
        small = DicomServer(_capped(1), ingest, MemoryDevices(), [listener])
        large = DicomServer(_capped(20), ingest, MemoryDevices(), [listener])
        threads = [threading.Thread(target=server.serve, daemon=True) for server in (small, large)]
        for thread in threads:
            thread.start()
        peers: list[ScriptedPeer] = []
        try:
            for _ in range(12):
                peer = ScriptedPeer(port)
                peers.append(peer)
                peer.associate()
                peer.send(p_data(pdv(1, 3, echo_rq())))
                assert peer.receive_status()[0] == 0
            assert small.n_associations <= 1
            assert small.n_associations + large.n_associations == 12
        finally:
            for peer in peers:
                peer.sock.close()
            for server, thread in zip((small, large), threads, strict=True):
                server.stop(grace_s=1)
                thread.join(10)
        # The socket belongs to whoever bound it.
        assert listener.fileno() >= 0


def _capped(n: int) -> DimseConfig:
    return replace(CONFIG, max_associations=n)


def test_an_exhausted_process_recovers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve()
    real_start, failures = threading.Thread.start, iter([True])

    def start(thread: threading.Thread) -> None:
        if hasattr(thread, "dul") and next(failures, False):
            raise RuntimeError("can't start new thread")
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with ScriptedPeer(running.port) as unlucky:
        unlucky.send(pdu(1, bytes(68)))
        assert unlucky.is_closed()
    monkeypatch.undo()
    with ScriptedPeer(running.port) as peer:
        peer.associate()


PROGRAM = "tests.pacs_gateway.dimse.serving_process"


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def _n_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _n_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server as a process of its own, and its port."""
    started = subprocess.Popen([sys.executable, "-m", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        yield started, int(started.stdout.readline())
    finally:
        started.kill()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()


def test_a_process_stays_small_under_lies(process: tuple[subprocess.Popen[str], int]) -> None:
    pid, port = process[0].pid, process[1]
    with ScriptedPeer(port) as warm_up:
        warm_up.associate()
        before = _resident_kib(pid)
    n_descriptors, n_threads = _n_descriptors(pid), _n_threads(pid)
    for _ in range(300):
        with ScriptedPeer(port) as peer:
            peer.associate()
    for _ in range(20):
        with ScriptedPeer(port) as first, ScriptedPeer(port) as established:
            first.send(b"\x01\x00\xff\xff\xff\xff")
            _pour(first)
            established.associate()
            established.send(b"\x04\x00\xff\xff\xff\xff")
            _pour(established)
    assert _resident_kib(pid) - before < 16 * 1024
    wait_until(lambda: _n_threads(pid) <= n_threads)
    wait_until(lambda: _n_descriptors(pid) <= n_descriptors)


def test_a_process_ends_by_sigterm(process: tuple[subprocess.Popen[str], int]) -> None:
    with ScriptedPeer(process[1]) as peer:
        peer.associate()
        process[0].send_signal(signal.SIGTERM)

        assert peer.receive_pdu()[:1] == b"\x07"
        assert process[0].wait(10) == 0


def test_a_process_out_of_descriptors_recovers(process: tuple[subprocess.Popen[str], int]) -> None:
    pid, port = process[0].pid, process[1]
    limit = _n_descriptors(pid) + 10
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as peers:
        for _ in range(30):
            peers.enter_context(ScriptedPeer(port)).send(b"\x01")
        with ScriptedPeer(port) as patient:
            patient.associate()
            patient.send(p_data(pdv(1, 3, echo_rq())))
            assert patient.receive_status()[0] == 0


def _pour(peer: ScriptedPeer) -> None:
    """Send until the other side has had enough, at most 4 MiB."""
    with suppress(OSError):
        for _ in range(64):
            peer.send(bytes(65536))
    assert peer.is_closed()


def test_a_dual_stack_socket_reports_ipv4_callers_as_such() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    ingest = MemoryIngest()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        server = DicomServer(CONFIG, ingest, MemoryDevices(), [listener])
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            with ScriptedPeer(listener.getsockname()[1]) as peer:
                peer.associate()
                peer.send(p_data(pdv(CT, 3, store_rq()), pdv(CT, 2, b"data")))
                assert peer.receive_status()[0] == 0
        finally:
            server.stop(grace_s=1)
            thread.join(10)
    assert ingest.published[0].origin.address == "127.0.0.1"
