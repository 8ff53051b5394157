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
    ingest: MemoryIngest = field(default_factory=MemoryIngest)
    devices: MemoryDevices = field(default_factory=MemoryDevices)


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers with other limits; all are stopped at the end."""
    started: list[tuple[Running, socket.socket]] = []

    def start(**limits: object) -> Running:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        ingest, devices = MemoryIngest(), MemoryDevices()
        server = DicomServer(replace(CONFIG, **limits), ingest, devices, [listener])  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        running = Running(server, listener.getsockname()[1], thread, ingest, devices)
        started.append((running, listener))
        return running

    yield start
    for running, listener in started:
        running.server.stop(grace_s=0)
        running.thread.join(10)
        listener.close()
        assert not running.thread.is_alive()


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve()
