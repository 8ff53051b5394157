"""DCMTK's ``storescp`` as a destination."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import wait_until

_START_S = 20.0
# DCMTK's own socket buffers of 64 KiB make it wait for acknowledgements on loopback.
_ENVIRONMENT = {"TCP_BUFFER_LENGTH": "1048576", "TCP_NODELAY": "1"}


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run ``storescp``, which writes what it receives into `folder`; yield its port."""
    port = free_port()
    command = ["storescp", "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(
        command, env=os.environ | _ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), _START_S, "storescp listens")
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
