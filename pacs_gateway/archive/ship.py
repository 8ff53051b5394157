"""Shipping: from this node's spool into the object store, and taking over what dead processes left.

Only after the store has verified an object is its row marked archived and its spool copy released (promises P2).
"""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from time import monotonic

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select, update

from pacs_gateway.archive.describe import Description, describe_file, make_record
from pacs_gateway.archive.reception_head import decode_reception
from pacs_gateway.archive.twin import head_length
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.domain.clock import Clock, to_microseconds
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.domain.part10 import MAX_META_LENGTH, decode_head
from pacs_gateway.errors import (
    CapacityError,
    ConflictError,
    GatewayError,
    InvalidInstanceError,
    InvalidUidError,
    NotFoundError,
    UnavailableError,
)
from pacs_gateway.index import frame_blob
from pacs_gateway.index.writer import IndexWriter
from pacs_gateway.storage.spool import Spool, SpoolDirectory, spool_errors
from pacs_gateway.storage.store import ObjectStore, Upload, object_key

_log = logging.getLogger(__name__)

_SHIP_AT_ONCE = 256
_BYTES_AT_ONCE = 1 << 30
"""What is shipped is marked batch by batch: large objects must not keep each other waiting for their mark."""
_SET_ASIDE_FOR = timedelta(minutes=1)
_MOST_SET_ASIDE = 10_000
_IDLE_S = 0.1
# What comes meanwhile is shipped together: a few at a time would take as long as receiving them.
_GATHER_S = 0.5
_ADOPT_EVERY_S = 1.0
_TROUBLE_S = 2.0
_SAY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    digest: str
    entry: str
    size_bytes: int


class Shipper:
    """Moves what is indexed, and waits in this node's spool, into the object store."""

    def __init__(self, database: Database, spool: Spool, store: ObjectStore, *, clock: Clock) -> None:
        self._database = database
        self._spool = spool
        self._store = store
        self._clock = clock
        self._set_aside: dict[int, datetime] = {}
        """Instances that cannot be archived, and when each is tried again: the others must not wait for them."""
        self.is_behind = False
        """Whether more waited in the last round than one round takes."""

    def ship(self) -> int:
        """Ship the oldest instances that wait; return how many.

        Raises
        ------
        UnavailableError, CapacityError
            The store or the index takes nothing now; nothing is lost.
        """
        waiting = self._waiting()
        if not waiting:
            return 0
        outcomes = self._store.put_files([self._upload(w) for w in waiting])
        shipped = [w for w, error in zip(waiting, outcomes, strict=True) if self._is_archived(w, error)]
        self._mark(shipped)
        self._spool.remove([w.entry for w in shipped])
        for error in outcomes:
            if isinstance(error, UnavailableError | CapacityError):
                raise error
        return len(shipped)

    def backlog(self) -> tuple[int, timedelta]:
        """Return how many instances of this node the store has not got yet, and for how long the oldest waits."""
        mine = (instance.c.archived_at.is_(None), instance.c.spool_node == self._spool.node)
        statement = select(func.count(), func.min(instance.c.received_at)).select_from(instance).where(*mine)
        with self._database.read() as connection:
            n_waiting, oldest = connection.execute(statement).one()
        age = to_microseconds(self._clock()) - oldest if n_waiting else 0
        return n_waiting, timedelta(microseconds=max(0, age))

    def _waiting(self) -> list[_Waiting]:
        now = self._clock()
        self._set_aside = {key: until for key, until in self._set_aside.items() if until > now}
        statement = (
            select(instance.c.id, instance.c.digest, instance.c.spool_entry, instance.c.size_bytes)
            .where(instance.c.archived_at.is_(None), instance.c.spool_node == self._spool.node)
            .where(instance.c.id.not_in(sorted(self._set_aside)[:_MOST_SET_ASIDE]))
            .order_by(instance.c.id)
            .limit(_SHIP_AT_ONCE)
        )
        with self._database.read() as connection:
            waiting = [_Waiting(*row) for row in connection.execute(statement)]
        n_bytes = accumulate(w.size_bytes for w in waiting)
        chosen = [w for w, total in zip(waiting, n_bytes, strict=True) if total <= _BYTES_AT_ONCE] or waiting[:1]
        self.is_behind = len(chosen) < len(waiting) or len(waiting) == _SHIP_AT_ONCE
        return chosen

    def _is_archived(self, waiting: _Waiting, error: GatewayError | None) -> bool:
        """Return whether an instance is in the store; a culprit is said and set aside, it stays where it is."""
        if error is None:
            return True
        if isinstance(error, UnavailableError | CapacityError):
            return False
        if isinstance(error, NotFoundError):
            # Shipped by a process that died before it could say so?
            if self._store.exists(object_key(waiting.digest)):
                return True
            _log.critical("instance %d is neither in the spool nor in the store", waiting.id)
        elif isinstance(error, ConflictError) and self._take_twin(waiting):
            return True
        else:
            _log.error("instance %d cannot be archived: %s", waiting.id, error)
        self._set_aside[waiting.id] = self._clock() + _SET_ASIDE_FOR
        return False

    def _take_twin(self, waiting: _Waiting) -> bool:
        """Have the row tell of the object that holds its data set already; return False if there is none."""
        length = head_length(self._store, waiting.digest)
        if length is None:
            return False
        mine = (instance.c.id == waiting.id, instance.c.spool_entry == waiting.entry)
        columns = (instance.c.size_bytes, instance.c.dataset_offset, instance.c.pixels_offset, instance.c.frames)

        def work(connection: Connection) -> None:
            row = connection.execute(select(*columns).where(*mine).with_for_update()).first()
            if row is None:
                return  # another node has taken it over
            by = length - row.dataset_offset
            values = {
                "size_bytes": row.size_bytes + by,
                "dataset_offset": length,
                "pixels_offset": row.pixels_offset + by,
                "frames": frame_blob.pack(frame_blob.unpack(row.frames).shifted(by)) if row.frames else None,
            }
            connection.execute(update(instance).where(*mine).values(values | self._archived()))

        self._database.transact(work)
        return True

    def _upload(self, waiting: _Waiting) -> Upload:
        return Upload(object_key(waiting.digest), self._spool.path(waiting.entry), waiting.size_bytes)

    def _mark(self, shipped: Sequence[_Waiting]) -> None:
        if not shipped:
            return
        # A row that names another entry by now has other offsets: it is marked when that entry is shipped.
        is_mine = (instance.c.id == bindparam("key"), instance.c.spool_entry == bindparam("entry"))
        statement = update(instance).where(*is_mine).values(self._archived())
        rows = [{"key": w.id, "entry": w.entry} for w in sorted(shipped, key=lambda w: w.id)]
        self._database.transact(lambda connection: connection.execute(statement, rows))

    def _archived(self) -> dict[str, int | None]:
        return {"archived_at": to_microseconds(self._clock()), "spool_entry": None, "spool_node": None}


class Recovery:
    """Takes over the spool directories of processes that are gone: indexes what the index does not know."""

    def __init__(self, database: Database, spool: Spool, writer: IndexWriter, *, facility: str) -> None:
        self._database = database
        self._spool = spool
        self._writer = writer
        self._facility = facility
        self._adopted: list[SpoolDirectory] = []
        self.damaged: list[str] = []
        """Entries that cannot be described any more: kept, and alarmed."""

    def adopt(self) -> int:
        """Adopt what is orphaned, give back what is empty; return how many instances were handed to the index."""
        n_indexed = 0
        for directory in self._spool.orphans():
            try:
                entries = directory.entries()
                if entries:
                    _log.warning("taking over %d spool entries of a process that is gone", len(entries))
                n_indexed += self._index(entries)
            except BaseException:
                directory.close()  # an orphan again: the next round begins anew
                raise
            self._adopted.append(directory)
        for directory in [d for d in self._adopted if not d.entries()]:
            self._adopted.remove(directory)
            directory.close(remove=True)
        return n_indexed

    def close(self) -> None:
        """Give every adopted directory back."""
        for directory in self._adopted:
            directory.close(remove=True)
        self._adopted.clear()

    def _index(self, entries: Sequence[str]) -> int:
        known = self._known(entries)
        self._claim(entries)
        submitted = []
        for entry in entries:
            if entry in known:
                continue
            try:
                record = describe_entry(self._spool.path(entry), facility=self._facility)
            except NotFoundError:
                continue  # shipped and released meanwhile, by another process of this node
            except (InvalidInstanceError, InvalidUidError) as error:
                _log.error("spool entry %s cannot be read back: %s", entry, error)
                self.damaged.append(entry)
                continue
            submitted.append(self._writer.submit(record, entry))
        for future in submitted:
            future.exception()  # an entry the index refuses stays in the spool, where the writer alarms it
        return len(submitted)

    def _known(self, entries: Sequence[str]) -> set[str]:
        """Return the entries of one directory that the index has rows for."""
        if not entries:
            return set()
        with self._database.read() as connection:
            rows = connection.execute(select(instance.c.spool_entry).where(*_in_directory_of(entries)))
            return {entry for (entry,) in rows if entry is not None}

    def _claim(self, entries: Sequence[str]) -> None:
        """Make the rows of a directory this node's: they are older than nodes, or its disk was another's."""
        if not entries:
            return
        node = self._spool.node
        is_foreign = or_(instance.c.spool_node.is_(None), instance.c.spool_node != node)
        statement = update(instance).where(*_in_directory_of(entries), is_foreign).values(spool_node=node)
        self._database.transact(lambda connection: connection.execute(statement))


def _in_directory_of(entries: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for rows whose entries are in the directory of `entries`."""
    process = entries[0].partition("/")[0]
    return instance.c.archived_at.is_(None), instance.c.spool_entry.startswith(f"{process}/", autoescape=True)


def describe_entry(path: Path, *, facility: str) -> InstanceRecord:
    """Describe a spool entry (or stored object) again from its file alone.

    Raises
    ------
    NotFoundError
        It is not, or no longer, there.
    InvalidInstanceError, InvalidUidError
        It cannot be read back.
    """
    with spool_errors("reading the spool"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        beginning = os.pread(fd, MAX_META_LENGTH, 0)
        decoded = decode_head(beginning)
        if decoded is None:
            raise InvalidInstanceError("the file ends before its data set")
        meta, offset = decoded
        origin, received_at = decode_reception(meta.private, facility)
        description: Description = describe_file(
            fd, offset, meta.transfer_syntax_uid, scratch=path.parent, beginning=beginning, charset=origin.charset
        )
        return make_record(
            description,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            digest=path.stem.rpartition("-")[2],
            dataset_offset=offset,
            size_bytes=os.fstat(fd).st_size,
            reception=(origin, received_at),
        )
    finally:
        os.close(fd)


def run_shipper(shipper: Shipper, recovery: Recovery, stop: threading.Event) -> None:
    """Ship and adopt until `stop` is set, then ship what is left and can be shipped."""
    since_adoption = _ADOPT_EVERY_S
    said_at = -_SAY_EVERY_S
    while not stop.is_set():
        pause = _IDLE_S
        try:
            if since_adoption >= _ADOPT_EVERY_S:
                since_adoption = 0.0
                recovery.adopt()
            if shipper.ship():
                pause = 0.0 if shipper.is_behind else _GATHER_S
        except GatewayError as error:
            if monotonic() - said_at >= _SAY_EVERY_S:
                said_at = monotonic()
                _log.warning("shipping waits%s: %s", _backlog(shipper), error)
            pause = _TROUBLE_S
        since_adoption += max(pause, 0.01)
        stop.wait(pause)
    try:
        while shipper.ship():
            pass
    except (UnavailableError, CapacityError) as error:
        _log.warning("the store is away; what waits is shipped at the next start: %s", error)


def _backlog(shipper: Shipper) -> str:
    try:
        n_waiting, age = shipper.backlog()
    except GatewayError:
        return ""  # the index is away, too
    return f" with {n_waiting} instances, the oldest of them for {age.total_seconds():.0f} s"
