"""The web process as the supervisor starts it: sockets inherited, settings by environment, SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx
import pytest

from pacs_gateway.config import compose, load_settings
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate
from tests.viewer_api.site import Site
from viewer_api.worker import PatientProtocol

ROOT = Path(__file__).parents[2]


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
            [sys.executable, "-m", "viewer_api", "--fd", str(listening.fileno())],
            env={**os.environ, "PACS_DATA_DIR": str(tmp_path)},
            pass_fds=[listening.fileno()],
            cwd=ROOT,
        )
        try:
            _until_ready(url)
            assert httpx.get(f"{url}/dicom-web/studies", timeout=30).status_code == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()


def test_a_start_without_an_index_ends_with_a_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.run(
            [sys.executable, "-m", "viewer_api", "--fd", str(listening.fileno())],
            env={**os.environ, "PACS_DATA_DIR": str(tmp_path)},
            pass_fds=[listening.fileno()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert process.returncode == 1
    assert "pacs-gateway migrate" in process.stderr
    assert "Traceback" not in process.stderr


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
