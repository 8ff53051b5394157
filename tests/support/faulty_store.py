"""An object store that fails when told to, in front of one that works."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from pacs_gateway.errors import UnavailableError
from pacs_gateway.storage.store import ObjectReader, ObjectStat, ObjectStore, Upload


class FaultyStore(ObjectStore):
    """Passes everything on; ``before_put``, ``after_put`` and ``before_read`` may raise, and see every key."""

    def __init__(self, behind: ObjectStore) -> None:
        self._behind = behind
        self.before_put: Callable[[str], None] = _nothing
        self.after_put: Callable[[str], None] = _nothing
        self.before_read: Callable[[str], None] = _nothing

    def put(self, key: str, data: bytes) -> None:
        self.before_put(key)
        self._behind.put(key, data)
        self.after_put(key)

    def put_file(self, upload: Upload) -> None:
        self.before_put(upload.key)
        self._behind.put_file(upload)
        self.after_put(upload.key)

    def open(self, key: str) -> AbstractContextManager[ObjectReader]:
        self.before_read(key)
        return self._behind.open(key)

    def stat(self, key: str) -> ObjectStat:
        return self._behind.stat(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self._behind.list(prefix)

    def delete(self, key: str) -> None:
        self._behind.delete(key)

    def probe(self) -> None:
        self._behind.probe()


def away(_key: str) -> None:
    """Fail as a store does that cannot be reached."""
    raise UnavailableError("the store is away")


def _nothing(_key: str) -> None:
    return
