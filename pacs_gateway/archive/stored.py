"""Stored instances and where their bytes are: in the object store, or still in the spool of a node."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import select

from pacs_gateway.archive.companion import companion_key, find_companion, make_companion
from pacs_gateway.archive.describe import is_deflated
from pacs_gateway.archive.nodes import Nodes
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.domain.instance import FrameTable
from pacs_gateway.errors import GatewayError, InvalidInstanceError, NotFoundError, UnavailableError
from pacs_gateway.imaging.header import PIXEL_HEAD_BYTES
from pacs_gateway.index import frame_blob
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import ObjectReader, ObjectStore, object_key

_READ_AHEAD_BYTES = 64 * 1024
# The functional groups of 100,000 frames take less.
_MAX_HEADER_BYTES = 128 * 2**20


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
    spool_node: str | None
    """The node that has them until then."""
    is_companion: bool = False
    """Whether the file meant is the inflated companion of a deflated object."""


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
    instance.c.spool_node,
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

    def __init__(self, database: Database, store: ObjectStore, spool: Spool, nodes: Nodes) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._nodes = nodes

    @contextmanager
    def open(self, stored: StoredInstance) -> Iterator[ObjectReader]:
        """Open the stored file for ranged reads.

        Raises
        ------
        UnavailableError
            The bytes are known but cannot be reached now.
        """
        with ExitStack() as stack:
            yield self._find(stack, stored)

    def _find(self, stack: ExitStack, stored: StoredInstance) -> ObjectReader:
        """Open the bytes where they are likeliest, then where they may be; look at the row anew before giving up."""
        problem: GatewayError | None = None
        for source in self._sources(stored, stack):
            try:
                reader = stack.enter_context(source)
            except (NotFoundError, UnavailableError) as error:
                # What is said about a place that may be reached later counts more than that it is not elsewhere.
                problem = error if problem is None or isinstance(problem, NotFoundError) else problem
                continue
            # With another reception's head in front the offsets that the caller holds are wrong.
            if reader.size_bytes == stored.size_bytes:
                return reader
        if isinstance(problem, UnavailableError):
            raise problem
        raise UnavailableError("the object's bytes cannot be reached") from problem

    def plain(self, stored: StoredInstance) -> StoredInstance:
        """Return what ranges can be read of: the instance itself, or the inflated companion of a deflated one.

        Raises
        ------
        InvalidInstanceError
            It is deflated and cannot be inflated within its limits.
        CapacityError, UnavailableError
            Its companion cannot be made now.
        """
        if not is_deflated(stored.transfer_syntax_uid) or stored.is_companion:
            return stored
        companion = find_companion(self._store, stored.digest)
        if companion is None:
            with self.open(stored) as reader:
                companion = make_companion(
                    self._store, reader, start=stored.dataset_offset, digest=stored.digest, scratch=self._spool.root
                )
        return replace(
            stored,
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            size_bytes=companion.size_bytes,
            dataset_offset=companion.dataset_offset,
            pixels_offset=companion.pixels_offset,
            frames=companion.frames,
            is_companion=True,
        )

    def _sources(self, stored: StoredInstance, stack: ExitStack) -> Iterator[AbstractContextManager[ObjectReader]]:
        if stored.is_companion:
            yield self._store.open(companion_key(stored.digest))
            return
        yield from self._places(stored, stack)
        yield from self._places(self.by_id(stored.id), stack)

    def _places(self, stored: StoredInstance, stack: ExitStack) -> Iterator[AbstractContextManager[ObjectReader]]:
        entry, node = stored.spool_entry, stored.spool_node
        if entry is not None and node in (None, self._nodes.id):
            yield self._spool.open(entry)
        elif entry is not None and node is not None:
            yield self._follow(stored, self._nodes.open_there(node, entry), stack)
        yield self._store.open(object_key(stored.digest))

    @contextmanager
    def _follow(
        self, stored: StoredInstance, there: AbstractContextManager[ObjectReader], stack: ExitStack
    ) -> Iterator[ObjectReader]:
        """Open another node's entry, and the object when the entry goes away while it is read."""
        with there as reader:
            yield _FollowingReader(reader, lambda: stack.enter_context(self._store.open(object_key(stored.digest))))

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


class _FollowingReader(ObjectReader):
    """Reads another node's entry until that is shipped, or the node gone, and the object from then on."""

    __slots__ = ("_archived", "_lock", "_reader")

    def __init__(self, reader: ObjectReader, archived: Callable[[], ObjectReader]) -> None:
        super().__init__(reader.size_bytes)
        self._reader = reader
        self._archived = archived
        self._lock = threading.Lock()

    def _read(self, offset: int, length: int) -> bytes:
        reader = self._reader
        try:
            return reader.read(offset, length)
        except (NotFoundError, UnavailableError) as error:
            return self._moved(reader, error).read(offset, length)

    def _moved(self, before: ObjectReader, problem: GatewayError) -> ObjectReader:
        with self._lock:
            if self._reader is not before:
                return self._reader
            try:
                reader = self._archived()
            except NotFoundError:
                raise UnavailableError("the node that has the object's bytes is gone") from problem
            if reader.size_bytes != self.size_bytes:
                raise UnavailableError("the object's bytes have moved; ask again") from problem
            self._reader = reader
            return reader


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
        if self._position > self._reader.size_bytes:
            # A length in a header leads there, which is no fault of the store's; pydicom takes an EOFError for an end.
            raise InvalidInstanceError("an element lies behind the end of the object")
        length = min(len(buffer), self._reader.size_bytes - self._position)
        buffer[:length] = self._reader.read(self._position, length)
        self._position += length
        return length


def read_encoded_header(reader: ObjectReader, stored: StoredInstance) -> bytes:
    """Return the data set up to its pixel data and the head of that, as ``imaging.header.parse_header`` takes it.

    Raises
    ------
    InvalidInstanceError
        It is too long to work on.
    """
    length = min(stored.pixels_offset + PIXEL_HEAD_BYTES, stored.size_bytes) - stored.dataset_offset
    if length > _MAX_HEADER_BYTES:
        raise InvalidInstanceError("the header is too long")
    return reader.read(stored.dataset_offset, length)


def as_file(reader: ObjectReader) -> io.BufferedReader:
    """Return an open object as a buffered file."""
    return io.BufferedReader(ReaderFile(reader), _READ_AHEAD_BYTES)
