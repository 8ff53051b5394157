"""Stored instances and where their bytes are: in the object store, or still in this node's spool."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.domain.instance import FrameTable
from pacs_gateway.errors import NotFoundError, UnavailableError
from pacs_gateway.index import frame_blob
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import ObjectReader, ObjectStore, object_key

_READ_AHEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A kept instance: identity, encoding, and where things lie in its stored file (offsets in bytes)."""

    id: int
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    facility: str
    """Owner of the study."""
    size_bytes: int
    dataset_offset: int
    pixels_offset: int
    digest: str
    frames: FrameTable | None
    spool_entry: str | None
    """Set until the object store has the bytes."""


COLUMNS = (
    instance.c.id,
    study.c.study_uid,
    series.c.series_uid,
    instance.c.sop_uid,
    instance.c.sop_class_uid,
    instance.c.transfer_syntax_uid,
    series.c.modality,
    study.c.facility,
    instance.c.size_bytes,
    instance.c.dataset_offset,
    instance.c.pixels_offset,
    instance.c.digest,
    instance.c.frames,
    instance.c.spool_entry,
)
_FRAMES = COLUMNS.index(instance.c.frames)
SOURCE = instance.join(series, series.c.id == instance.c.series_key).join(study, study.c.id == series.c.study_key)


def stored_instance(row: Sequence[Any]) -> StoredInstance:
    """Return the instance of a row of `COLUMNS`."""
    facts = list(row)
    facts[_FRAMES] = frame_blob.unpack(facts[_FRAMES]) if facts[_FRAMES] else None
    return StoredInstance(*facts)


class Holdings:
    """The bytes of stored instances, wherever they are now."""

    def __init__(self, database: Database, store: ObjectStore, spool: Spool) -> None:
        self._database = database
        self._store = store
        self._spool = spool

    @contextmanager
    def open(self, stored: StoredInstance) -> Iterator[ObjectReader]:
        """Open the stored file for ranged reads.

        Raises
        ------
        UnavailableError
            The bytes are known but cannot be reached now.
        """
        if stored.spool_entry is not None:
            try:
                opened = self._spool.open(stored.spool_entry)
                reader = opened.__enter__()
            except NotFoundError:
                pass  # shipped since the row was read
            else:
                try:
                    yield reader
                finally:
                    opened.__exit__(None, None, None)
                return
        try:
            source = self._store.open(object_key(stored.digest))
            reader = source.__enter__()
        except NotFoundError as error:
            raise UnavailableError("the object's bytes cannot be reached") from error
        try:
            yield reader
        finally:
            source.__exit__(None, None, None)

    def read(self, stored: StoredInstance, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes of the stored file."""
        with self.open(stored) as reader:
            return reader.read(offset, length)

    def by_id(self, instance_id: int) -> StoredInstance:
        """Return one kept instance, current or not.

        Raises
        ------
        NotFoundError
            There is none.
        """
        with self._database.read() as connection:
            row = connection.execute(select(*COLUMNS).select_from(SOURCE).where(instance.c.id == instance_id)).first()
        if row is None:
            raise NotFoundError("no such instance")
        return stored_instance(row)


class ReaderFile(io.RawIOBase):
    """An open object as a file, for libraries that read files."""

    name = "stored object"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # any writable buffer
        """Read the next bytes into `buffer`."""
        length = max(0, min(len(buffer), self._reader.size_bytes - self._position))
        buffer[:length] = self._reader.read(self._position, length)
        self._position += length
        return length


def as_file(reader: ObjectReader) -> io.BufferedReader:
    """Return an open object as a buffered file."""
    return io.BufferedReader(ReaderFile(reader), _READ_AHEAD_BYTES)
