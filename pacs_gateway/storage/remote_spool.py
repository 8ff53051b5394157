"""Another node's spool: its entries over HTTP, by ranges, for as long as the object store does not have them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pacs_gateway.errors import NotFoundError, UnavailableError
from pacs_gateway.storage.seal import SEAL_HEADER, TIME_HEADER, NodeRequest, seal
from pacs_gateway.storage.store import ObjectReader

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

SPOOL_PATH = "/internal/spool/"
_CONNECT_S, _READ_S = 3.0, 15.0
_KEPT_CONNECTIONS = 8
# A node that did not answer is not asked again for so long: every reader would wait for the time-outs.
_LEFT_ALONE_S = 5.0
# Comes with the first answer: most readers begin with the header.
_FIRST_BYTES = 64 * 1024
_PARTIAL, _NOT_FOUND = 206, 404


class RemoteSpool:
    """Reads entries from other nodes' spools; safe to use from many threads.

    Raises
    ------
    NotFoundError
        From every read: the entry is archived by now, or was never there.
    UnavailableError
        From every read: the node does not answer, or not as it should.
    """

    def __init__(self, secret: str, *, clock: Callable[[], datetime]) -> None:
        self._secret = secret
        self._clock = clock
        self._lock = threading.Lock()
        self._silent: dict[str, float] = {}
        """When each host that did not answer is asked again."""
        self._pool: tuple[int, PoolManager] | None = None

    @contextmanager
    def open(self, url: str, entry: str) -> Iterator[ObjectReader]:
        """Open an entry of the node at `url` for ranged reads."""
        if not self._secret:
            raise UnavailableError("the bytes are on another node, and PACS_NODE_SECRET is not set here")
        if not url:
            raise UnavailableError("the bytes are on another node, and that has no PACS_NODE_URL")
        first, total = self._fetch(url, entry, 0, _FIRST_BYTES)
        yield _RemoteReader(self, (url, entry), first, total)

    def read(self, url: str, entry: str, *, offset: int, length: int) -> bytes:
        """Return `length` bytes of an entry from `offset`."""
        return self._fetch(url, entry, offset, length)[0]

    def _fetch(self, url: str, entry: str, offset: int, length: int) -> tuple[bytes, int]:
        """Return at most `length` bytes from `offset`, and the size of the whole entry."""
        import urllib3  # most installations have one node, and loading it takes 50 ms

        host = urlsplit(url).netloc
        if self._silent.get(host, 0.0) > monotonic():
            raise UnavailableError(f"node {host} did not answer a moment ago")
        path = SPOOL_PATH + entry
        wanted = NodeRequest("GET", path, f"bytes={offset}-{offset + length - 1}", str(int(self._clock().timestamp())))
        headers = {"Range": wanted.range, TIME_HEADER: wanted.time, SEAL_HEADER: seal(self._secret, wanted)}
        try:
            response = self._connections().request(
                "GET", url.rstrip("/") + path, headers=headers, preload_content=False, decode_content=False
            )
            try:
                body = _body(response, host, offset, length)
            except BaseException:
                response.close()  # what was not read of it must not be taken for the next answer
                raise
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            self._silent[host] = monotonic() + _LEFT_ALONE_S
            raise UnavailableError(f"node {host} cannot be reached: {type(error).__name__}") from error
        return body

    def _connections(self) -> "PoolManager":
        """Return this process's connections; those of the process it was forked from are not its own."""
        import urllib3

        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                # Once more, because a kept connection may have been closed meanwhile.
                retries = urllib3.Retry(total=1, redirect=0, status=0, other=0)
                timeout = urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
                pool = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS, retries=retries, timeout=timeout)
                self._pool = os.getpid(), pool
            return self._pool[1]


class _RemoteReader(ObjectReader):
    __slots__ = ("_first", "_spool", "_where")

    def __init__(self, spool: RemoteSpool, where: tuple[str, str], first: bytes, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._spool = spool
        self._where = where
        self._first = first

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length <= len(self._first):
            return self._first[offset : offset + length]
        return self._spool.read(*self._where, offset=offset, length=length)


def _body(response: "BaseHTTPResponse", host: str, offset: int, length: int) -> tuple[bytes, int]:
    """Return the bytes of an answer and the size of the whole; whatever is not as asked for counts as unavailable."""
    if response.status == _NOT_FOUND:
        raise NotFoundError("the node has shipped it, or never had it")
    if response.status != _PARTIAL:
        raise UnavailableError(f"node {host} answers {response.status}")
    unit, _, where = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = where.partition("/")
    first, _, last = span.partition("-")
    if unit != "bytes" or not all(text.isascii() and text.isdigit() for text in (first, last, total)):
        raise UnavailableError(f"node {host} answers without a range")
    n_bytes = int(last) + 1 - offset
    data = response.read(length + 1) if int(first) == offset and 0 < n_bytes <= length else b""
    if not data or len(data) != n_bytes or int(last) >= int(total):
        raise UnavailableError(f"node {host} answers with another range")
    return data, int(total)
