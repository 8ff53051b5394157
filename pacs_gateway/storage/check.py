"""What ``pacs-gateway storage check`` does: one object written, read back in every way, and removed again."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from pacs_gateway.errors import ConflictError, GatewayError, IntegrityError
from pacs_gateway.storage.store import CHUNK_SIZE, ObjectStore

CHECK_PREFIX = "checks/"
"""Objects under it are leftovers of a check whose store would not delete them."""


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One thing that was tried, and how it went."""

    name: str
    duration_s: float
    error: str | None = None
    """Why it failed; None if it did not."""

    @property
    def passed(self) -> bool:
        """Whether the store did what it should."""
        return self.error is None


def check_store(store: ObjectStore) -> list[CheckStep]:
    """Try everything the gateway needs of `store` with an object of random bytes, and say how each step went.

    Steps after a failed one are tried all the same, except when nothing could be written. The object is removed at
    the end whatever happened.
    """
    probe = _Check(store)
    steps: list[CheckStep] = []
    try:
        steps.append(_timed("write", probe.write))
        if steps[0].passed:
            steps += [_timed(name, step) for name, step in probe.steps]
    finally:
        with suppress(GatewayError):
            store.delete(probe.key)
    return steps


def _timed(name: str, step: Callable[[], None]) -> CheckStep:
    start = time.perf_counter()
    error: str | None = None
    try:
        step()
    except GatewayError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return CheckStep(name, time.perf_counter() - start, error)


class _Check:
    """The steps, over one key and its bytes."""

    def __init__(self, store: ObjectStore) -> None:
        self.key = f"{CHECK_PREFIX}{secrets.token_hex(16)}"
        # Larger than one piece of a stream, and not a multiple of it.
        self._data = secrets.token_bytes(CHUNK_SIZE + 4097)
        self._store = store
        self.steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("read back", self._read_back),
            ("list", self._list),
            ("range", self._range),
            ("checksum", self._checksum),
            ("never overwrite", self._never_overwrite),
            ("delete", self._delete),
        )

    def write(self) -> None:
        self._store.put(self.key, self._data)

    def _read_back(self) -> None:
        _expect(self._store.read(self.key) == self._data, "other bytes came back than were written")

    def _list(self) -> None:
        _expect(list(self._store.list(self.key)) == [self.key], "the object is not listed")

    def _range(self) -> None:
        size = len(self._data)
        with self._store.open(self.key) as reader:
            for offset, length in ((0, 1), (size - 1, 1), (CHUNK_SIZE - 1, 2), (4096, CHUNK_SIZE), (size, 0)):
                piece = reader.read(offset, length)
                _expect(piece == self._data[offset : offset + length], f"bytes {offset}+{length} are wrong")

    def _checksum(self) -> None:
        expected = sha256(self._data).hexdigest()
        _expect(self._store.stat(self.key).size_bytes == len(self._data), "the size is wrong")
        _expect(self._store.stat(self.key).sha256 in (None, expected), "the store's own checksum is wrong")
        _expect(self._store.checksum(self.key) == expected, "the checksum is wrong")

    def _never_overwrite(self) -> None:
        with suppress(ConflictError):
            self._store.put(self.key, self._data[::-1])
            raise IntegrityError("other bytes under the same key were accepted")
        self._read_back()

    def _delete(self) -> None:
        self._store.delete(self.key)
        _expect(not self._store.exists(self.key), "the object is still there")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise IntegrityError(otherwise)
