"""The bytes on their way to and from an S3 server: measured before they go, taken up again where reading broke."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import BinaryIO

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, ProtocolError

from pacs_gateway.errors import IntegrityError
from pacs_gateway.storage.store import CHUNK_SIZE

PART_SIZE = 8 << 20
"""Larger objects go in parts of so many bytes; S3's limit of 10,000 parts is then at 80 GiB."""
_RESUMES = 5


@dataclass(frozen=True, slots=True)
class Content:
    """What an object must turn out to be."""

    size_bytes: int
    sha256: str
    etag: str
    """What a server answers that computes the entity tag as S3 does: an MD5, or the MD5 of the parts' MD5s."""


def measure(stream: BinaryIO) -> Content:
    """Read `stream` to its end and return what it holds."""
    whole = hashlib.sha256()
    parts: list[bytes] = []
    size_bytes = 0
    part = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(CHUNK_SIZE):
        if size_bytes and size_bytes % PART_SIZE == 0:
            parts.append(part.digest())
            part = hashlib.md5(usedforsecurity=False)
        whole.update(chunk)
        part.update(chunk)
        size_bytes += len(chunk)
    if not parts:
        return Content(size_bytes, whole.hexdigest(), part.hexdigest())
    parts.append(part.digest())
    of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return Content(size_bytes, whole.hexdigest(), f"{of_parts}-{len(parts)}")


class Budget:
    """Bytes that all threads together may hold at a time; a claim larger than the whole waits for all of it."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = self._free_bytes = size_bytes
        self._condition = Condition()

    @contextmanager
    def claim(self, size_bytes: int) -> Iterator[None]:
        """Hold so many bytes for the block; wait until they are there."""
        claimed = min(size_bytes, self._size_bytes)
        with self._condition:
            self._condition.wait_for(lambda: self._free_bytes >= claimed)
            self._free_bytes -= claimed
        try:
            yield
        finally:
            with self._condition:
                self._free_bytes += claimed
                self._condition.notify_all()


class Body:
    """The bytes of a range, read forward; for one thread.

    Parameters
    ----------
    request
        Returns an unread response whose body are `length` bytes from an offset: ``request(offset, length)``.
    offset, length
        The range.
    response
        An unread response to it, if there is one already.
    """

    def __init__(
        self,
        request: Callable[[int, int], BaseHTTPResponse],
        offset: int,
        length: int,
        response: BaseHTTPResponse | None = None,
    ) -> None:
        self._request = request
        self._at = offset
        self._end = offset + length
        self._response = response

    def read(self, length: int) -> bytes:
        """Return the next `length` bytes; a response that breaks off is asked for again from where it broke.

        Raises
        ------
        IntegrityError
            The range ends before.
        """
        if self._at + length > self._end:
            raise IntegrityError(f"no {length} bytes more in the range")
        pieces: list[bytes] = []
        missing = length
        n_broken = 0
        while missing:
            if self._response is None:
                # It has been tried as often as makes sense when it fails.
                self._response = self._request(self._at, self._end - self._at)
            try:
                piece = _read(self._response, missing)
            except HTTPError:
                self.close()
                n_broken += 1
                if n_broken > _RESUMES:
                    raise
                continue
            pieces.append(piece)
            missing -= len(piece)
            self._at += len(piece)
        if self._at == self._end and self._response is not None:
            self._response.release_conn()
            self._response = None
        return b"".join(pieces)

    def close(self) -> None:
        """Give up what has not been read, and its connection with it. Idempotent."""
        response, self._response = self._response, None
        if response is not None:
            response.close()


def _read(response: BaseHTTPResponse, length: int) -> bytes:
    piece = response.read(length, decode_content=False)
    if not piece:
        raise ProtocolError("the body ends early")
    return piece
