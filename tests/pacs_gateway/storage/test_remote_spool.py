"""Reading another node's spool: what it answers is not trusted, and what cannot be had now is not called missing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pacs_gateway.errors import IntegrityError, NotFoundError, UnavailableError
from pacs_gateway.storage.remote_spool import RemoteSpool
from pacs_gateway.storage.seal import SEAL_HEADER, TIME_HEADER, NodeRequest, is_sealed

SECRET = "a secret of all the nodes"
ENTRY = "0a1b/0001-digest.dcm"
DATA = bytes(range(256)) * 1000

Answer = tuple[int, dict[str, str], bytes]


def as_asked(asked: NodeRequest) -> Answer:
    """Answer as a node does."""
    first, last = (int(text) for text in asked.range.removeprefix("bytes=").split("-"))
    body = DATA[first : last + 1]
    return 206, {"Content-Range": f"bytes {first}-{first + len(body) - 1}/{len(DATA)}"}, body


@contextmanager
def node(answer: Callable[[NodeRequest], Answer]) -> Iterator[tuple[str, list[NodeRequest]]]:
    """Serve answers on a free port; every request must be sealed."""
    asked: list[NodeRequest] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request = NodeRequest("GET", self.path, self.headers.get("Range", ""), self.headers.get(TIME_HEADER, ""))
            assert is_sealed(SECRET, request, self.headers.get(SEAL_HEADER, ""))
            asked.append(request)
            status, headers, body = answer(request)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            return  # whoever got another answer than it wants hangs up

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def spool() -> RemoteSpool:
    return RemoteSpool(SECRET, clock=lambda: datetime.now(UTC))


def test_ranges_are_exact(spool: RemoteSpool) -> None:
    with node(as_asked) as (url, _), spool.open(url, ENTRY) as reader:
        assert reader.size_bytes == len(DATA)
        for offset, length in ((0, 1), (65_535, 2), (len(DATA) - 1, 1), (0, len(DATA)), (100_000, 0)):
            assert reader.read(offset, length) == DATA[offset : offset + length]
        assert b"".join(reader.stream(chunk_size=10_000)) == DATA
        with pytest.raises(IntegrityError):
            reader.read(len(DATA), 1)


def test_the_header_comes_with_the_first_answer(spool: RemoteSpool) -> None:
    with node(as_asked) as (url, asked), spool.open(url, ENTRY) as reader:
        assert reader.read(0, 1000) + reader.read(1000, 1000) == DATA[:2000]
        assert [request.path for request in asked] == [f"/internal/spool/{ENTRY}"]


def test_what_the_node_does_not_have_is_not_found(spool: RemoteSpool) -> None:
    with node(lambda _: (404, {}, b"")) as (url, _), pytest.raises(NotFoundError), spool.open(url, ENTRY):
        pass


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, DATA),
        (206, {}, DATA[:65_536]),
        (206, {"Content-Range": f"bytes 1-65536/{len(DATA)}"}, DATA[1:65_537]),
        (206, {"Content-Range": f"bytes 0-65535/{len(DATA)}"}, DATA[:100]),
        (206, {"Content-Range": f"bytes 0-99/{len(DATA)}"}, DATA[:65_536]),
        (206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, DATA),
        (206, {"Content-Range": "bytes 0-99/50"}, DATA[:100]),
        (206, {"Content-Range": "bytes 0-99/*"}, DATA[:100]),
        (206, {"Content-Range": "bytes -1-99/100"}, DATA[:100]),
        # The rest never comes: the connection ends.
        (
            206,
            {"Content-Range": f"bytes 0-65535/{len(DATA)}", "Content-Length": "65536", "Connection": "close"},
            DATA[:9],
        ),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (403, {}, b""),
        (500, {}, b""),
        (503, {}, b""),
    ],
)
def test_any_other_answer_is_unavailable(spool: RemoteSpool, answer: Answer) -> None:
    with node(lambda _: answer) as (url, _), pytest.raises(UnavailableError), spool.open(url, ENTRY):
        pass


def test_an_answer_that_is_not_wanted_leaves_no_broken_connection_behind(
    spool: RemoteSpool, caplog: pytest.LogCaptureFixture
) -> None:
    def shipped(_asked: NodeRequest) -> Answer:
        return 404, {}, b"shipped " * 1000

    answers = iter([shipped, as_asked] * 5)
    with node(lambda request: next(answers)(request)) as (url, asked):
        for _ in range(5):
            with pytest.raises(NotFoundError):
                spool.read(url, ENTRY, offset=0, length=10)
            assert spool.read(url, ENTRY, offset=0, length=10) == DATA[:10]
    assert len(asked) == 10
    assert [record.message for record in caplog.records if record.name.startswith("urllib3")] == []


def test_a_node_that_does_not_answer_is_left_alone_for_a_while(spool: RemoteSpool) -> None:
    with node(as_asked) as (url, _):
        pass
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"cannot be reached|did not answer"), spool.open(url, ENTRY):
            pass
    with pytest.raises(UnavailableError, match="a moment ago"), spool.open(url, ENTRY):
        pass


def test_without_a_secret_or_an_address_nobody_is_asked(spool: RemoteSpool) -> None:
    with pytest.raises(UnavailableError, match="PACS_NODE_URL"), spool.open("", ENTRY):
        pass
    silent = RemoteSpool("", clock=lambda: datetime.now(UTC))
    with node(as_asked) as (url, asked):
        with pytest.raises(UnavailableError, match="PACS_NODE_SECRET"), silent.open(url, ENTRY):
            pass
        assert asked == []
