"""An HTTP proxy before an S3 server that does to requests and answers what bad networks and bad servers do."""

import hashlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_UPSTREAM_TIMEOUT_S = 30.0
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>made up</Message></Error>"


class Fault(StrEnum):
    """What goes wrong with one request."""

    SERVER_ERROR = "500"
    BUSY = "503"
    RESET = "reset"
    STALL = "stall"
    CUT = "cut body"
    WRONG_ETAG = "wrong ETag"
    ALTERED = "altered body"
    NOTHING_STORED = "200 with nothing stored"


_WHOLE_REQUEST = frozenset({Fault.SERVER_ERROR, Fault.BUSY, Fault.RESET, Fault.STALL})


class Interrupted(Exception):  # noqa: N818 - not an error, an instruction
    """The connection to the client is given up here."""


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on; each fault befalls a request with the probability `rate`.

    A fault that makes no sense for a request lets it pass. Where a fault can come before or after the server has done
    what it was asked for, it is one or the other by chance.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, *, rate: float, faults: Sequence[Fault] = tuple(Fault), seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.injected: Counter[Fault] = Counter()
        self._rate = rate
        self._faults = faults
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def throw(self, n: float) -> bool:
        """Return True with probability `n`."""
        with self._lock:
            return self._random.random() < n

    def altered(self, data: bytes) -> bytes:
        """Return the bytes with one of them changed, if there are any."""
        if not data:
            return data
        with self._lock:
            at, change = self._random.randrange(len(data)), self._random.randrange(1, 256)
        return data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]

    def choose(self, method: str) -> Fault | None:
        """Return what befalls the next request, if anything."""
        with self._lock:
            number = int(self._random.random() / self._rate)
        if number >= len(self._faults) or not _is_sensible(self._faults[number], method):
            return None
        with self._lock:
            self.injected[self._faults[number]] += 1
        return self._faults[number]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up on purpose here."""


@contextmanager
def fault_proxy(
    upstream: str, *, rate: float, faults: Sequence[Fault] = tuple(Fault), seed: int = 0
) -> Iterator[FaultProxy]:
    """Run a proxy for the block."""
    with FaultProxy(upstream, rate=rate, faults=faults, seed=seed) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), name="fault proxy")
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def _is_sensible(fault: Fault, method: str) -> bool:
    match fault:
        case Fault.CUT | Fault.ALTERED:
            return method in ("GET", "PUT")
        case Fault.WRONG_ETAG:
            return method in ("GET", "HEAD", "PUT")
        case Fault.NOTHING_STORED:
            return method == "PUT"
    return True


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with a connection of its own to the server."""

    protocol_version = "HTTP/1.1"
    server: FaultProxy
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._upstream = HTTPConnection(self.server.upstream, timeout=_UPSTREAM_TIMEOUT_S)

    def finish(self) -> None:
        self._upstream.close()
        with suppress(OSError):
            super().finish()

    def do(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._befall(self.server.choose(self.command), body)
        except (Interrupted, HTTPException, OSError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do  # noqa: N815 - the names the base class calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _befall(self, fault: Fault | None, body: bytes) -> None:
        if fault in _WHOLE_REQUEST:
            if self.server.throw(0.5):
                self._forward(body)  # it is done, and the client does not learn of it
            self._fail(fault)
        elif fault in (Fault.CUT, Fault.ALTERED):
            self._spoil(fault, body)
        elif fault is Fault.NOTHING_STORED:
            self._answer(200, [("ETag", _quoted_md5(body))], b"")
        else:
            status, headers, answer = self._forward(body)
            if fault is Fault.WRONG_ETAG:
                wrong = _quoted_md5(b"wrong")
                headers = [(name, wrong if name.lower() == "etag" else value) for name, value in headers]
            self._answer(status, headers, answer)

    def _fail(self, fault: Fault | None) -> None:
        if fault is Fault.STALL:
            self.connection.recv(1)  # until the client has had enough
            raise Interrupted
        if fault is Fault.RESET:
            self._reset()
        status, code = (500, "InternalError") if fault is Fault.SERVER_ERROR else (503, "SlowDown")
        self._answer(status, [("Content-Type", "application/xml")], _ERROR.format(code).encode())

    def _spoil(self, fault: Fault, body: bytes) -> None:
        """Spoil what is sent, or what is answered when nothing is."""
        if fault is Fault.ALTERED:
            status, headers, answer = self._forward(self.server.altered(body))
            self._answer(status, headers, answer if body else self.server.altered(answer))
        elif body:
            self._begin(len(body))
            self._upstream.send(body[: len(body) // 2])
            self._upstream.close()
            self._reset()
        else:
            status, headers, answer = self._forward(body)
            self._answer(status, headers, answer, n_sent=len(answer) // 2)
            raise Interrupted

    def _begin(self, length: int) -> None:
        self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "content-length":
                self._upstream.putheader(name, value)
        if length or self.command in ("PUT", "POST"):
            self._upstream.putheader("Content-Length", str(length))
        self._upstream.endheaders()

    def _forward(self, body: bytes) -> tuple[int, Sequence[tuple[str, str]], bytes]:
        self._begin(len(body))
        if body:
            self._upstream.send(body)
        response = self._upstream.getresponse()
        return response.status, response.getheaders(), response.read()

    def _answer(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes, *, n_sent: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length", "0")
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:n_sent])

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        raise Interrupted


def _quoted_md5(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
