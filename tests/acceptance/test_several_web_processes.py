"""Several processes serve one web: they share its connections, and whichever answers tells the figures of all."""

import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.waiting import wait_until

_N_REQUESTS = 40
_N_CONNECTIONS = 6
"""As many as a browser opens."""
_ESTABLISHED = "01"
_DEADLINE_S = 60.0
_COUNTED = re.compile(r'^pacs_http_requests_total\{method="GET",route="/dicom-web/studies",status="200"\} (\d+)', re.M)


def test_any_of_them_tells_what_all_have_counted_even_one_that_died(tmp_path: Path) -> None:
    settings = {"PACS_AUTH": "off", "PACS_WEB_WORKERS": "2", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path, settings) as gateway:
        for _ in range(_N_REQUESTS):
            with gateway.client() as client:
                assert client.get("/dicom-web/studies").is_success
        figures = [_figures(gateway) for _ in range(_N_REQUESTS)]
        gateway.kill_child("web")
        wait_until(lambda: 'process="web 1"' in _figures(gateway), _DEADLINE_S, "its successor")
        after = _figures(gateway)

    assert {_counted(text) for text in [*figures, after]} == {_N_REQUESTS}
    for name in ("web 1", "web 2", "dicom 1", "shipper", "worker"):
        assert f'pacs_process_cpu_seconds_total{{process="{name}"}}' in figures[0]


def test_the_connections_of_one_browser_are_shared_among_them(tmp_path: Path) -> None:
    settings = {"PACS_AUTH": "off", "PACS_WEB_WORKERS": "2", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path, settings) as gateway, ExitStack() as stack:
        address = urlsplit(gateway.url)
        assert address.port
        connections = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), _DEADLINE_S))
            for _ in range(_N_CONNECTIONS)
        ]
        for connection in connections:
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        for connection in connections:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        shares = [_n_connections(child.pid, address.port) for child in gateway.children("web")]

    assert sum(shares) == _N_CONNECTIONS
    assert min(shares) >= 1


def _n_connections(pid: int, port: int) -> int:
    """Return how many connections to a port of ours a process has open."""
    # local address and state are the fields 1 and 3, the inode is the field 9 (proc(5))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    inodes = {line[9] for line in lines if line[3] == _ESTABLISHED and line[1].endswith(f":{port:04X}")}
    n_open = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            n_open += str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]") in inodes
    return n_open


def _figures(gateway: RunningGateway) -> str:
    with gateway.client() as client:
        return client.get("/metrics").raise_for_status().text


def _counted(figures: str) -> int:
    found = _COUNTED.search(figures)
    assert found
    return int(found[1])
