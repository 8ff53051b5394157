"""Stores that dribble or fall silent: answered 408 and cut off, nothing of them is kept; slow lines are waited for."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

import pytest

from pacs_gateway.dicomweb import multipart
from tests.support.waiting import wait_until
from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.config import WebConfig

_BOUNDARY = "slow"
_DEADLINE_S = 30.0
_KINDS = ("application/dicom", "application/dicom+json")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    config = WebConfig(upload_piece_bytes=1024, upload_piece_s=3.0)
    with open_site(tmp_path_factory.mktemp("slow"), config=config) as opened:
        yield opened


def scratch_files(site: Site) -> int:
    """Return how many nameless files of the spool are open; the site runs in this process."""
    n_open = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(link)
            n_open += target.startswith(str(site.gateway.spool.root)) and target.endswith(" (deleted)")
    return n_open


def head(site: Site, kind: str, length: int) -> bytes:
    lines = (
        "POST /dicom-web/studies HTTP/1.1",
        f"Host: {urlsplit(site.url).netloc}",
        f"Authorization: Bearer {site.tokens['boss']}",
        f'Content-Type: multipart/related; type="{kind}"; boundary={_BOUNDARY}',
        f"Content-Length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def connect(site: Site) -> socket.socket:
    address = urlsplit(site.url)
    return socket.create_connection((address.hostname, address.port), timeout=_DEADLINE_S)


def answer_to(connection: socket.socket, pieces: Iterator[bytes], *, every_s: float) -> bytes:
    """Send pieces one by one until the other side says something; return all it says until it closes."""
    connection.settimeout(every_s)
    answer = b""
    while not answer:
        with suppress(TimeoutError):
            answer = connection.recv(65536)
            break
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(next(pieces, b""))
    connection.settimeout(_DEADLINE_S)
    with suppress(ConnectionResetError):
        while more := connection.recv(65536):
            answer += more
    return answer


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("dribble", [b"x", b""], ids=["a byte at a time", "silence"])
def test_a_body_that_comes_too_slowly_is_given_up(site: Site, kind: str, dribble: bytes) -> None:
    before = scratch_files(site)
    part = (
        {"Content-Type": "application/octet-stream", "Content-Location": "x"}
        if kind.endswith("json")
        else {"Content-Type": kind}
    )
    with connect(site) as connection:
        connection.sendall(head(site, kind, 1 << 30) + multipart.part_header(_BOUNDARY, part))
        connection.sendall(studies.ct(60) + bytes(2 << 20))
        wait_until(lambda: scratch_files(site) > before, _DEADLINE_S, "the body to be taken in")
        answer = answer_to(connection, repeat(dribble), every_s=0.02)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"too slowly" in answer
    wait_until(lambda: scratch_files(site) == before, _DEADLINE_S, "the scratch space to be given back")
    with site.client() as client:
        assert client.get(f"/dicom-web/studies?StudyInstanceUID={uid(60)}").json() == []


def test_a_poor_line_with_pauses_is_waited_for(site: Site) -> None:
    """Its pauses together are longer than one piece may take, and none of them is."""
    large = studies.encode(studies.pixels(studies.base(61), studies.values(shape=(1, 64, 64))))
    content = multipart.part_header(_BOUNDARY, {"Content-Type": _KINDS[0]}) + large
    content += multipart.closing(_BOUNDARY)
    step = len(content) // 8 + 1
    assert step > 1024
    with connect(site) as connection:
        connection.sendall(head(site, _KINDS[0], len(content)))
        for at in range(0, len(content), step):
            sleep(0.5)
            connection.sendall(content[at : at + step])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
