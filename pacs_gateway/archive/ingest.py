"""Receiving: from the bytes of one object to a durable spool entry on its way into the index.

C-STORE, STOW-RS and import all pass here; they differ only in how they decode their wire and report errors. When
``finish`` returns, the bytes and their digest are on disk: a C-STORE may be answered.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import orjson

from pacs_gateway.archive.describe import Description, describe, is_deflated
from pacs_gateway.archive.digest import BackgroundDigest
from pacs_gateway.archive.object_first import ObjectFirst
from pacs_gateway.archive.scan import FileSource, Source
from pacs_gateway.domain.instance import InstanceRecord, Method, Origin
from pacs_gateway.domain.part10 import MAX_META_LENGTH, FileMeta, decode_head, encode_head
from pacs_gateway.domain.uids import check_uid, is_uid
from pacs_gateway.errors import CapacityError, InvalidInstanceError, MismatchError, UnavailableError
from pacs_gateway.index.writer import IndexWriter, Stored
from pacs_gateway.storage.spool import Spool, SpoolDirectory, spool_errors

# A deflated data set is looked into, under limits, and kept as received (promises B8).
_MAX_INFLATED_BYTES = 1 << 30
_MAX_INFLATION = 100
_INFLATE_FLOOR_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_N_HASHING = 2
# Up to here an object is gathered in memory and written at once: one system call instead of several.
_SMALL_BYTES = 128 * 1024
# So much of a larger one is kept to describe it from: nearly every header is shorter, the rest is read back.
_BEGINNING_BYTES = 32 * 1024
# How long somebody who waits for the index waits for it.
_INDEX_DEADLINE_S = 30.0

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says about an object before its bytes come; empty texts where it says nothing."""

    transfer_syntax_uid: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    is_binding: bool = False
    """A C-STORE command binds (PS3.7 9.1.1.1); a file's meta information is only a hint."""


class Ingest:
    """Takes objects into one process's directory of the spool; safe to use from many threads."""

    def __init__(
        self,
        spool: Spool,
        directory: SpoolDirectory,
        writer: IndexWriter,
        *,
        clock: Clock = now,
        object_first: ObjectFirst | None = None,
    ) -> None:
        self.spool = spool
        self.object_first = object_first
        self.directory = directory
        self.writer = writer
        self.clock = clock
        self._sequence = count()
        self._hashing = ThreadPoolExecutor(_N_HASHING, thread_name_prefix="hashing")

    def receive(
        self, *, transfer_syntax_uid: str, origin: Origin, sop_class_uid: str, sop_instance_uid: str
    ) -> "Reception":
        """Begin to receive the data set that a C-STORE request announces.

        Raises
        ------
        CapacityError, UnavailableError
            The spool is below its low-water mark, or cannot be measured; or the object store is away and must not be.
        InvalidUidError
            The command's UIDs are not UIDs.
        """
        check_uid(sop_class_uid, "AffectedSOPClassUID")
        check_uid(sop_instance_uid, "AffectedSOPInstanceUID")
        self._check_room()
        return Reception(self, Announced(transfer_syntax_uid, sop_class_uid, sop_instance_uid, True), origin)

    def receive_part10(self, origin: Origin) -> "Part10Reception":
        """Begin to receive a Part 10 file, in pieces of any size.

        Raises
        ------
        CapacityError, UnavailableError
            The spool is below its low-water mark, or cannot be measured; or the object store is away and must not be.
        """
        self._check_room()
        return Part10Reception(self, origin)

    def accepts_storage(self) -> bool:
        """Return whether more can be kept (promises P9)."""
        try:
            self._check_room()
        except (CapacityError, UnavailableError):
            return False
        return True

    def hand_over(self, record: InstanceRecord, entry: str, *, wait_for_index: bool) -> Stored:
        """Pass a spool entry on to the index; with ``PACS_ACK=object`` to the object store before that.

        Then the index is waited for, too: an object that no row names would be found by nobody, should the node be
        gone a moment later.
        """
        if self.object_first is None:
            submitted = self.writer.submit(record, entry, urgent=wait_for_index)
            if not wait_for_index:
                return Stored(record, None)
        else:
            record = self.object_first.put(record, entry) or record
            submitted = self.writer.submit(record, entry, urgent=True, archived_at=microseconds(self.clock()))
        try:
            return Stored(record, submitted.result(timeout=_INDEX_DEADLINE_S))
        except TimeoutError as error:
            raise UnavailableError("the object is safe but not indexed yet") from error

    def new_digest(self) -> BackgroundDigest:
        """Return a digest that is computed beside receiving."""
        return BackgroundDigest(self._hashing)

    def close(self) -> None:
        """Commit what waits for the index."""
        self._hashing.shutdown()
        self.writer.close()

    def entry_name(self, received_at: datetime, digest: str) -> str:
        """Return a name that sorts by time of reception and tells the digest."""
        return f"{microseconds(received_at):016x}-{next(self._sequence) & 0xFFFF:04x}-{digest}"

    def _check_room(self) -> None:
        if not self.spool.accepts():
            raise CapacityError("the spool is below its low-water mark")
        if self.object_first is not None:
            self.object_first.check()


class Reception:
    """One data set on its way into the spool."""

    def __init__(self, ingest: Ingest, announced: Announced, origin: Origin) -> None:
        self._ingest = ingest
        self._announced = announced
        self._origin = origin
        self._received_at = ingest.clock()
        self._digest = ingest.new_digest()
        self._head = _encode_head(announced, origin, self._received_at)
        self._small: bytearray | None = bytearray()
        self._beginning = b""
        self._fd = -1

    def write(self, data: bytes | memoryview) -> None:
        """Append the next bytes of the data set.

        Raises
        ------
        CapacityError
            The disk is full.
        UnavailableError
            The disk does not take it.
        """
        self._digest.update(data)
        if self._small is None:
            _write_all(self._fd, [data])
        elif len(self._small) + len(data) <= _SMALL_BYTES:
            self._small += data
        else:
            self._fd = self._ingest.directory.create_file()
            _write_all(self._fd, [self._head, self._small, data])
            self._beginning = self._head + (self._small + data[:_BEGINNING_BYTES])[:_BEGINNING_BYTES]
            self._small = None

    def finish(self, *, wait_for_index: bool = False) -> Stored:
        """Check, describe and publish what was written; on return it is durable.

        Parameters
        ----------
        wait_for_index
            Return only when queries see the instance.

        Raises
        ------
        InvalidInstanceError, InvalidUidError, MismatchError
            It cannot be kept; nothing is left of it.
        CapacityError, UnavailableError
            It could not be made durable, or (when waiting) not be indexed for now.
        """
        try:
            record, entry = self._publish()
        finally:
            self.discard()
        return self._ingest.hand_over(record, entry, wait_for_index=wait_for_index)

    def discard(self) -> None:
        """Drop what was not published. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _publish(self) -> tuple[InstanceRecord, str]:
        directory = self._ingest.directory
        # Hash, disk and description go side by side: each takes as long as the others.
        self._digest.hand_over()
        if self._small is None:
            directory.begin_sync(self._fd)
        description = self._described()
        if self._small is not None:
            self._fd = directory.create_file()
            _write_all(self._fd, [self._head, self._small])
        directory.sync(self._fd)
        record = make_record(
            description,
            transfer_syntax_uid=self._announced.transfer_syntax_uid,
            digest=self._digest.hexdigest(),
            dataset_offset=len(self._head),
            size_bytes=os.fstat(self._fd).st_size,
            reception=(self._origin, self._received_at),
        )
        return record, directory.publish(self._fd, self._ingest.entry_name(self._received_at, record.digest))

    def _described(self) -> Description:
        start, syntax = len(self._head), self._announced.transfer_syntax_uid
        if self._small is None:
            description = describe_file(
                self._fd, start, syntax, scratch=self._ingest.directory.path, beginning=self._beginning
            )
        else:
            description = _describe_bytes(bytes(self._head + self._small), start, syntax)
        told = description.attributes["SOPClassUID"], description.attributes["SOPInstanceUID"]
        if told == (self._announced.sop_class_uid, self._announced.sop_instance_uid):
            return description
        if self._announced.is_binding:
            raise MismatchError("the command names another object than the data set")
        return self._with_head_of(Announced(syntax, *told))

    def _with_head_of(self, announced: Announced) -> Description:
        """Rewrite the file with a head that agrees with its data set: a file's own meta information did not."""
        head = _encode_head(announced, self._origin, self._received_at)
        if self._small is not None:
            self._head, self._announced = head, announced
            return self._described()
        fd = self._ingest.directory.create_file()
        try:
            _write_all(fd, [head])
            position = len(self._head)
            while chunk := os.pread(self._fd, _CHUNK_BYTES, position):
                _write_all(fd, [chunk])
                position += len(chunk)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self._beginning = head + self._beginning[len(self._head) :]
        self._head, self._announced = head, announced
        return self._described()


class Part10Reception:
    """One Part 10 file on its way into the spool: its head is taken off and replaced by ours."""

    def __init__(self, ingest: Ingest, origin: Origin) -> None:
        self._ingest = ingest
        self._origin = origin
        self._head = bytearray()
        self._reception: Reception | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Append the next bytes of the file.

        Raises
        ------
        InvalidInstanceError
            This is not a Part 10 file.
        CapacityError, UnavailableError
            The disk is full or away.
        """
        if self._reception is not None:
            self._reception.write(data)
            return
        self._head += data
        decoded = decode_head(bytes(self._head[: MAX_META_LENGTH + 1024]))
        if decoded is None:
            return
        meta, offset = decoded
        announced = Announced(
            meta.transfer_syntax_uid if is_uid(meta.transfer_syntax_uid) else _refuse_syntax(),
            meta.sop_class_uid if is_uid(meta.sop_class_uid) else "",
            meta.sop_instance_uid if is_uid(meta.sop_instance_uid) else "",
        )
        self._reception = Reception(self._ingest, announced, self._origin)
        self._reception.write(bytes(self._head[offset:]))
        self._head.clear()

    def finish(self, *, wait_for_index: bool = False) -> Stored:
        """Check, describe and publish the file; see ``Reception.finish``."""
        if self._reception is None:
            raise InvalidInstanceError("truncated: the file ends before its data set")
        return self._reception.finish(wait_for_index=wait_for_index)

    def discard(self) -> None:
        """Drop what was written. Idempotent."""
        if self._reception is not None:
            self._reception.discard()


def _refuse_syntax() -> str:
    raise InvalidInstanceError("the file meta information names a transfer syntax that is not a UID")


def describe_file(
    fd: int, start: int, transfer_syntax_uid: str, *, scratch: Path, beginning: bytes = b""
) -> Description:
    """Describe the Part 10 file open at `fd` whose data set begins at `start`; offsets are the file's.

    Parameters
    ----------
    scratch
        A folder for a nameless file, needed for the time of the call when the data set is deflated.
    beginning
        The first bytes of the file, where they are at hand.

    Raises
    ------
    InvalidInstanceError, InvalidUidError
        As ``describe``.
    CapacityError, UnavailableError
        There is no room for an inflated data set.
    """
    source = FileSource(fd, beginning)
    if not is_deflated(transfer_syntax_uid):
        return describe(source, start, transfer_syntax_uid)
    with spool_errors("inflating a data set"):
        inflated = os.open(scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        for piece in _inflated(source, start):
            _write_all(inflated, [piece])
        return _of_deflated(FileSource(inflated), len(source), transfer_syntax_uid)
    finally:
        os.close(inflated)


def _describe_bytes(content: bytes, start: int, transfer_syntax_uid: str) -> Description:
    if not is_deflated(transfer_syntax_uid):
        return describe(content, start, transfer_syntax_uid)
    return _of_deflated(b"".join(_inflated(content, start)), len(content), transfer_syntax_uid)


def _of_deflated(inflated: Source, size_bytes: int, transfer_syntax_uid: str) -> Description:
    description = describe(inflated, 0, transfer_syntax_uid)
    # Nothing of the inflated data set has a place in the file.
    return Description(description.attributes, description.frames, size_bytes)


def _inflated(source: Source, start: int) -> Iterator[bytes]:
    """Yield the inflated data set (PS3.5 A.5), refusing what grows beyond reason."""
    limit = min(_MAX_INFLATED_BYTES, max((len(source) - start) * _MAX_INFLATION, _INFLATE_FLOOR_BYTES))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    position, n_bytes = start, 0
    try:
        while not inflater.eof and (chunk := source[position : position + _CHUNK_BYTES]):
            position += len(chunk)
            while chunk:
                piece = inflater.decompress(chunk, _CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
                n_bytes += len(piece)
                if n_bytes > limit:
                    raise InvalidInstanceError("not decodable: the deflated data set grows beyond its limit")
                yield piece
    except zlib.error as error:
        raise InvalidInstanceError("not decodable: the data set is not deflated") from error
    if not inflater.eof:
        raise InvalidInstanceError("truncated: the deflated data set has no end")


def make_record(
    description: Description,
    *,
    transfer_syntax_uid: str,
    digest: str,
    dataset_offset: int,
    size_bytes: int,
    reception: tuple[Origin, datetime],
) -> InstanceRecord:
    """Return the record of a described object."""
    attributes = description.attributes
    origin, received_at = reception
    return InstanceRecord(
        sop_class_uid=attributes["SOPClassUID"],
        sop_instance_uid=attributes["SOPInstanceUID"],
        series_uid=attributes["SeriesInstanceUID"],
        study_uid=attributes["StudyInstanceUID"],
        transfer_syntax_uid=transfer_syntax_uid,
        attributes=attributes,
        digest=digest,
        size_bytes=size_bytes,
        dataset_offset=dataset_offset,
        pixels_offset=description.pixels_offset,
        frames=description.frames,
        origin=origin,
        received_at=received_at,
    )


def microseconds(at: datetime) -> int:
    """Return a time as the index and the spool write it."""
    return round(at.timestamp() * 1_000_000)


def _encode_head(announced: Announced, origin: Origin, received_at: datetime) -> bytes:
    private = orjson.dumps(
        {
            "facility": origin.facility,
            "method": origin.method,
            "source": origin.source,
            "address": origin.address,
            "received_at": microseconds(received_at),
        }
    )
    return encode_head(
        FileMeta(
            announced.sop_class_uid,
            announced.sop_instance_uid,
            announced.transfer_syntax_uid,
            origin.source if origin.method is Method.DIMSE else "",
            private,
        )
    )


def decode_reception(private: bytes, default_facility: str) -> tuple[Origin, datetime]:
    """Return origin and time from the private information of a stored object's head."""
    with suppress(orjson.JSONDecodeError, KeyError, ValueError, TypeError, OverflowError, OSError):
        facts = orjson.loads(private)
        origin = Origin(Method(facts["method"]), facts["facility"], facts["source"], facts["address"])
        return origin, datetime.fromtimestamp(facts["received_at"] / 1_000_000, UTC)
    return Origin(Method.IMPORT, default_facility), now()


def _write_all(fd: int, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
    with spool_errors("writing to the spool"):
        rest = sum(len(piece) for piece in pieces) - os.writev(fd, pieces)
        while rest:
            tail = memoryview(b"".join(pieces))[-rest:]
            rest -= os.write(fd, tail)
