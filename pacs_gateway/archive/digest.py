"""SHA-256 of a large object beside receiving it, instead of before every answer.

Half a megabyte takes half a millisecond to hash; done in another thread (hashlib gives the interpreter free) it costs a
sender nothing while the disk is being waited for.
"""

import hashlib
from concurrent.futures import Executor, Future

_BLOCK_BYTES = 1 << 20
# Handing over less than this costs more than hashing it here.
_WORTH_HANDING_OVER_BYTES = 256 * 1024


class BackgroundDigest:
    """Digest of the pieces it is given, in their order; used by one thread."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._n_bytes = 0
        self._absorbing: Future[None] | None = None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next piece; it is copied, and at most two blocks of 1 MiB are held."""
        self._pieces.append(bytes(data))
        self._n_bytes += len(data)
        if self._n_bytes >= _BLOCK_BYTES:
            self.hand_over()

    def hand_over(self) -> None:
        """Have what was taken hashed beside whatever the caller does next."""
        if self._n_bytes < _WORTH_HANDING_OVER_BYTES:
            return
        self._wait()
        self._absorbing = self._executor.submit(self._absorb, self._pieces)
        self._pieces, self._n_bytes = [], 0

    def hexdigest(self) -> str:
        """Return the digest of everything given so far, as 64 hexadecimal digits."""
        self._wait()
        self._absorb(self._pieces)
        self._pieces, self._n_bytes = [], 0
        return self._hash.hexdigest()

    def _wait(self) -> None:
        if self._absorbing is not None:
            self._absorbing.result()
            self._absorbing = None

    def _absorb(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)
