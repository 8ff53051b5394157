"""Objects in this process's memory: for tests, and for an embedded gateway that keeps nothing."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pacs_gateway.errors import ConflictError, IntegrityError, NotFoundError, UnavailableError
from pacs_gateway.storage.store import ObjectReader, ObjectStat, ObjectStore, Upload, check_key, check_prefix


class _BytesReader(ObjectReader):
    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self._data = data

    def _read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class MemoryStore(ObjectStore):
    """Keeps objects in a dictionary; durable as long as the process lives."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` as the object `key`."""
        check_key(key)
        with self._lock:
            if self._objects.setdefault(key, data) != data:
                raise ConflictError(f"{key} holds other bytes")

    def put_file(self, upload: Upload) -> None:
        """Keep a copy of a complete local file as an object."""
        check_key(upload.key)
        try:
            data = upload.path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"{upload.key}: the file to put is not there") from error
        except OSError as error:
            raise UnavailableError(f"{upload.key}: the file to put cannot be read") from error
        if len(data) != upload.size_bytes:
            raise IntegrityError(f"{upload.key}: the file has {len(data)} bytes, not {upload.size_bytes}")
        if upload.sha256 is not None and hashlib.sha256(data).hexdigest() != upload.sha256:
            raise IntegrityError(f"{upload.key}: the file has another checksum than it should")
        self.put(upload.key, data)

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Open an object for ranged reads."""
        yield _BytesReader(self._get(key))

    def stat(self, key: str) -> ObjectStat:
        """Return the size of an object."""
        return ObjectStat(len(self._get(key)))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, as they are when the first is asked for."""
        check_prefix(prefix)
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
        yield from keys

    def delete(self, key: str) -> None:
        """Remove an object."""
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def probe(self) -> None:
        """Do nothing: memory is always there."""

    def _get(self, key: str) -> bytes:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise NotFoundError(f"no object {key}") from None
