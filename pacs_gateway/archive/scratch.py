"""A nameless file in the spool for what cannot be put in order while it comes; a crash leaves nothing of it."""

import os
from collections.abc import Iterator

from pacs_gateway.errors import UnavailableError
from pacs_gateway.storage.files import write_all
from pacs_gateway.storage.spool import spool_errors

_CHUNK_BYTES = 1 << 20


class Scratch:
    """A file to append to and to read from; used by one thread at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size_bytes = 0

    def append(self, data: bytes) -> None:
        """Write `data` behind what is there.

        Raises
        ------
        CapacityError, UnavailableError
            The disk is full, or does not take it.
        """
        with spool_errors("writing to the spool"):
            write_all(self._fd, data)
        self.size_bytes += len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`."""
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from `offset` in pieces of 1 MiB.

        Raises
        ------
        UnavailableError
            The disk does not give them back.
        """
        end = offset + length
        while offset < end:
            with spool_errors("reading the spool"):
                piece = os.pread(self._fd, min(_CHUNK_BYTES, end - offset), offset)
            if not piece:
                raise UnavailableError("reading the spool: a file has become shorter")
            yield piece
            offset += len(piece)

    def close(self) -> None:
        """Drop it."""
        os.close(self._fd)
