"""The web process as the supervisor starts it: sockets inherited, SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx
import pytest

from pacs_gateway.config import compose, load_settings
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate
from pacs_gateway.errors import ConfigurationError
from tests.viewer_api.site import Site
from viewer_api.patient_protocol import PatientProtocol
from viewer_api.worker import run

ROOT = Path(__file__).parents[2]
SERVE = """
import socket, sys
from functools import partial
from pacs_gateway.config import load_settings
from pacs_gateway.roles.children import Role, programs
from pacs_gateway.supervisor import Supervisor
listening = socket.socket(fileno=int(sys.argv[1]))
children = programs(Role.WEB, load_settings().settings, dicom_sockets=(), web_sockets=(listening,))
Supervisor(children[:1]).run()
"""


def _until_ready(url: str) -> None:
    deadline = monotonic() + 60
    while monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.05)
    raise AssertionError("the web process does not answer")


def test_a_process_serves_an_inherited_socket_until_it_is_told_to_stop(tmp_path: Path) -> None:
    settings = load_settings(flags={"data_dir": str(tmp_path)}, environment={})
    database = Database(compose(settings.settings).database)
    migrate(database)
    database.close()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listening.fileno())],
            env={**os.environ, "PACS_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
            pass_fds=[listening.fileno()],
        )
        try:
            _until_ready(url)
            assert httpx.get(f"{url}/dicom-web/studies", timeout=30).status_code == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()


def test_a_start_without_an_index_says_what_to_do(tmp_path: Path) -> None:
    config = compose(load_settings(flags={"data_dir": str(tmp_path)}, environment={}).settings)
    with pytest.raises(ConfigurationError, match="pacs-gateway migrate"):
        run(config, threading.Event(), [])


@pytest.mark.parametrize("pieces", [[b""], [b"GET"], [b"GET / HTTP/1.1\r\n", b"A: 1\r\n", b"B: 2\r\n"]])
def test_who_dribbles_a_request_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]) -> None:
    monkeypatch.setattr(PatientProtocol, "header_deadline_s", 0.3)
    address = urlsplit(site.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        try:
            assert connection.recv(100) == b""
        except ConnectionResetError:
            return


def test_a_connection_that_is_kept_alive_serves_request_after_request(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "header_deadline_s", 0.3)
    with site.client() as client:
        deadline = monotonic() + 1.0
        while monotonic() < deadline:
            assert client.get("/healthz").status_code == 200


ENDLESS = {
    "head": b"GET / HTTP/1.1\r\nHost: a\r\nA: ",
    "address": b"GET /",
    "trailer": b"POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ",
    "chunk extension": b"POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=",
    "line ends": b"",
}


@pytest.mark.parametrize("beginning", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_cut_off_before_it_fills_the_memory(site: Site, beginning: bytes) -> None:
    address = urlsplit(site.url)
    piece = (b"x" if beginning else b"\r\n") * 65_536
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(beginning)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(piece * 1000)


def test_a_trailer_is_no_header(site: Site) -> None:
    head = b"POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    address = urlsplit(site.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head + b"0\r\nOrigin: http://a\r\nX-Request-ID: of-a-trailer\r\n\r\n")
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"of-a-trailer" not in answer
