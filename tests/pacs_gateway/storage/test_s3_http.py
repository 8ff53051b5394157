"""What servers in trouble answer, or others: tried again, or said at once, and never passed on in their words."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pacs_gateway.errors import CapacityError, GatewayError, NotFoundError, RefusedError, UnavailableError
from pacs_gateway.storage.s3_config import S3Config
from pacs_gateway.storage.s3_store import S3Store

Answer = tuple[int, str, str]
"""Status, content type and body."""
_ERROR = "<Error><Code>{}</Code><Message>a secret of the server's</Message></Error>"
_XML = "application/xml"


class ScriptedServer(ThreadingHTTPServer):
    """Answers every GET with the next of its answers, the last one again and again; there is a bucket."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.n_asked = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.n_asked += 1
        answers = self.server.answers
        status, content_type, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[S3Store, ScriptedServer]]:
    with ScriptedServer(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        config = S3Config(f"127.0.0.1:{server.server_port}", "objects", "key", "a-secret-key", secure=False)
        try:
            with S3Store(config) as store:
                yield store, server
        finally:
            server.shutdown()
            thread.join(20)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_is_tried_again(status: int) -> None:
    trouble = (status, _XML, _ERROR.format("SlowDown"))
    with serving(trouble, trouble, (200, "application/octet-stream", "bytes")) as (store, server):
        assert store.read("a/b") == b"bytes"
        assert server.n_asked == 3


def test_trouble_that_lasts_is_said_after_five_tries() -> None:
    with serving((503, _XML, _ERROR.format("SlowDown"))) as (store, server):
        with pytest.raises(UnavailableError, match="SlowDown"):
            store.read("a/b")
        assert server.n_asked == 5


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ((404, _XML, _ERROR.format("NoSuchKey")), NotFoundError),
        ((404, _XML, _ERROR.format("NoSuchBucket")), UnavailableError),
        ((403, _XML, _ERROR.format("AccessDenied")), UnavailableError),
        ((403, _XML, _ERROR.format("RequestTimeTooSkewed")), UnavailableError),
        ((400, _XML, _ERROR.format("EntityTooLarge")), RefusedError),
        ((507, _XML, _ERROR.format("XMinioStorageFull")), CapacityError),
        ((301, _XML, _ERROR.format("PermanentRedirect")), UnavailableError),
        ((307, _XML, _ERROR.format("TemporaryRedirect")), UnavailableError),
        ((400, _XML, _ERROR.format("a secret of the server's")), UnavailableError),
        ((403, "text/html", "<p>a secret of the server's</p>"), UnavailableError),
        ((400, _XML, "a secret of the server's"), UnavailableError),
        ((400, _XML, "<Error>a secret"), UnavailableError),
        ((302, "text/html", ""), UnavailableError),
    ],
)
def test_what_is_said_once_is_not_asked_again_nor_elsewhere(answer: Answer, meaning: type[GatewayError]) -> None:
    with serving(answer) as (store, server):
        with pytest.raises(GatewayError) as caught:
            store.read("a/b")
        assert type(caught.value) is meaning
        assert "secret" not in str(caught.value)
        assert server.n_asked == 1
