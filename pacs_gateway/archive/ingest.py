"""Receiving: from the bytes of one object to a durable spool entry on its way into the index.

C-STORE, STOW-RS and import all pass here; they differ only in how they decode their wire and report errors. When
``finish`` returns, the bytes and their digest are on disk: a C-STORE may be answered.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count

from pacs_gateway.archive.describe import Description, describe_bytes, describe_file, make_record
from pacs_gateway.archive.digest import BackgroundDigest
from pacs_gateway.archive.object_first import ObjectFirst
from pacs_gateway.archive.reception_head import Announced, encode_reception
from pacs_gateway.archive.scratch import Scratch
from pacs_gateway.domain.clock import Clock, to_microseconds, utc_now
from pacs_gateway.domain.instance import InstanceRecord, Origin
from pacs_gateway.domain.part10 import MAX_META_LENGTH, decode_head
from pacs_gateway.domain.uids import check_uid, is_uid
from pacs_gateway.errors import CapacityError, InvalidInstanceError, MismatchError, UnavailableError
from pacs_gateway.index.writer import IndexWriter, Stored
from pacs_gateway.storage.spool import Spool, SpoolDirectory, spool_errors

_CHUNK_BYTES = 1 << 20
_N_HASHING = 2
# Up to here an object is gathered in memory and written at once: one system call instead of several.
_SMALL_BYTES = 128 * 1024
# So much of a larger one is kept to describe it from: nearly every header is shorter, the rest is read back.
_BEGINNING_BYTES = 32 * 1024
# How long somebody who waits for the index waits for it.
_INDEX_DEADLINE_S = 30.0


class Ingest:
    """Takes objects into one process's directory of the spool; safe to use from many threads."""

    def __init__(
        self,
        spool: Spool,
        directory: SpoolDirectory,
        writer: IndexWriter,
        *,
        clock: Clock = utc_now,
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

    def scratch(self) -> Scratch:
        """Return a file for what is to be put in order before it can be received; the caller closes it.

        Raises
        ------
        CapacityError, UnavailableError
            As of ``receive``.
        """
        self._check_room()
        return Scratch(self.directory.create_file())

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
            submitted = self.writer.submit(record, entry, urgent=True, archived_at=to_microseconds(self.clock()))
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
        return f"{to_microseconds(received_at):016x}-{next(self._sequence) & 0xFFFF:04x}-{digest}"

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
        self._head = encode_reception(announced, origin, self._received_at)
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
                self._fd,
                start,
                syntax,
                scratch=self._ingest.directory.path,
                beginning=self._beginning,
                charset=self._origin.charset,
            )
        else:
            description = describe_bytes(bytes(self._head + self._small), start, syntax, charset=self._origin.charset)
        told = description.attributes["SOPClassUID"], description.attributes["SOPInstanceUID"]
        if told == (self._announced.sop_class_uid, self._announced.sop_instance_uid):
            return description
        if self._announced.is_binding:
            raise MismatchError("the command names another object than the data set")
        return self._with_head_of(Announced(syntax, *told))

    def _with_head_of(self, announced: Announced) -> Description:
        """Rewrite the file with a head that agrees with its data set: a file's own meta information did not."""
        head = encode_reception(announced, self._origin, self._received_at)
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


def _write_all(fd: int, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
    with spool_errors("writing to the spool"):
        rest = sum(len(piece) for piece in pieces) - os.writev(fd, pieces)
        while rest:
            tail = memoryview(b"".join(pieces))[-rest:]
            rest -= os.write(fd, tail)
