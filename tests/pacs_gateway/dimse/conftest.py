"""A DICOM server in this process, on a free loopback port, with the archive and the register replaced."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

import pytest

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.server import DicomServer
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest

CONFIG = DimseConfig(ae_titles=("PACSGW", "SECOND"))


def wait_until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    deadline = monotonic() + deadline_s
    while not condition():
        assert monotonic() < deadline, "condition not met in time"
        sleep(0.005)


@dataclass
class Running:
    """A server and what stands behind it."""

    server: DicomServer
    port: int
    thread: threading.Thread
    tls_port: int = 0
    ingest: MemoryIngest = field(default_factory=MemoryIngest)
    devices: MemoryDevices = field(default_factory=MemoryDevices)


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers with other limits; all are stopped at the end."""
    started: list[Running] = []
    sockets: list[socket.socket] = []

    def start(*, send_buffer: int = 0, **limits: object) -> Running:
        plain, tls = (socket.create_server(("127.0.0.1", 0), backlog=256) for _ in range(2))
        sockets.extend((plain, tls))
        if send_buffer:
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        ingest, devices = MemoryIngest(), MemoryDevices()
        server = DicomServer(replace(CONFIG, **limits), ingest, devices, [plain], tls_sockets=[tls])  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        ports = (sock.getsockname()[1] for sock in (plain, tls))
        running = Running(server, next(ports), thread, next(ports), ingest, devices)
        started.append(running)
        return running

    yield start
    for running in started:
        running.server.stop(grace_s=0)
        running.thread.join(10)
        assert not running.thread.is_alive()
    for sock in sockets:
        sock.close()


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve()
