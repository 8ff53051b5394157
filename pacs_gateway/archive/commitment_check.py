"""Checking what a storage commitment is asked for: every object read back from the store and compared with its digest.

Work in slices that fit a job's lease: what has been decided stays decided, and the next slice goes on from there.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from pacs_gateway.archive.commitment import COMMITMENT_REPORT, PATIENCE, SECOND, CommitmentState
from pacs_gateway.archive.stored import SOURCE
from pacs_gateway.database.clock import SharedClock
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, study
from pacs_gateway.database.schema.commitment import commitment, commitment_instance
from pacs_gateway.domain.commitment import COMMITTED, FailureReason, Reference
from pacs_gateway.errors import IntegrityError, NotFoundError, UnavailableError
from pacs_gateway.jobs.queue import Job, enqueue
from pacs_gateway.storage.store import ObjectStore, object_key

_log = logging.getLogger(__name__)

_SLICE_S = 15.0
_INSTANCES_AT_ONCE = 256
_BYTES_AT_ONCE = 256 << 20
# With a bucket every object is a request, and one at a time would mostly wait for the network.
_THREADS = 4
# An instance is in the index a moment after its C-STORE was answered, and somewhat later on a busy node.
_INDEXED_WITHIN = 3 * SECOND
_PAUSE_FIRST, _PAUSE_LAST = SECOND // 4, 30 * SECOND
# The longer a transaction waits for a spool, the less a few seconds more matter.
_PAUSE_PER_AGE = 8


@dataclass(frozen=True, slots=True)
class _Transaction:
    key: int
    facility: str
    age: int
    """Microseconds since it was received, by the clock of the queue."""
    is_overdue: bool


@dataclass(frozen=True, slots=True)
class _Version:
    """One content that is kept under a SOP Instance UID."""

    id: int
    sop_class_uid: str
    digest: str
    dataset_offset: int
    size_bytes: int
    is_archived: bool


@dataclass(frozen=True, slots=True)
class _Undecided:
    position: int
    reference: Reference
    versions: Sequence[_Version]

    @property
    def size_bytes(self) -> int:
        return sum(version.size_bytes for version in self.versions)


class CommitmentCheck:
    """Does the jobs of kind `COMMITMENT_CHECK`."""

    def __init__(self, database: Database, store: ObjectStore, *, clock: SharedClock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def run(self, job: Job) -> int | None:
        """Check what is undecided; return when to go on (UTC microseconds), or None when all is decided.

        Raises
        ------
        UnavailableError
            The object store, or the index, is away.
        """
        transaction = self._transaction(int(job.key))
        if transaction is None:
            return None
        is_through, problem = self._walk(transaction)
        if self._decide(transaction, is_last_word=is_through and transaction.is_overdue):
            return None
        if problem is not None:
            raise problem
        pause = min(max(transaction.age // _PAUSE_PER_AGE, _PAUSE_FIRST), _PAUSE_LAST)
        with self._database.read() as connection:
            return self._clock(connection) + (pause if is_through else 0)

    def _transaction(self, key: int) -> _Transaction | None:
        columns = (commitment.c.facility, commitment.c.received_at, commitment.c.deadline_at)
        checking = and_(commitment.c.id == key, commitment.c.state == CommitmentState.CHECKING)
        with self._database.read() as connection:
            row = connection.execute(select(*columns).where(checking)).first()
            now = self._clock(connection)
        if row is None:
            return None
        return _Transaction(key, row.facility, now - row.received_at, now >= row.deadline_at)

    def _walk(self, transaction: _Transaction) -> tuple[bool, UnavailableError | None]:
        """Check what is undecided for a while; return whether all of it was looked at, and what was away."""
        stop_at, problem = monotonic() + _SLICE_S, None
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="commitment") as pool:
            for batch in self._batches(transaction):
                if monotonic() > stop_at:
                    return False, problem
                checks = {one.position: pool.submit(self._check, transaction, one) for one in batch}
                outcomes: dict[int, int] = {}
                for position, check in checks.items():
                    try:
                        outcome = check.result()
                    except UnavailableError as error:
                        problem = error
                    else:
                        outcomes |= {position: outcome} if outcome is not None else {}
                self._keep(transaction, outcomes)
        return True, problem

    def _batches(self, transaction: _Transaction) -> Iterator[list[_Undecided]]:
        position = -1
        while batch := self._next_batch(transaction, position):
            yield batch
            position = batch[-1].position

    def _next_batch(self, transaction: _Transaction, position: int) -> list[_Undecided]:
        """Return the undecided instances behind `position`, no more than are checked in a few seconds."""
        columns = (
            commitment_instance.c.position,
            commitment_instance.c.sop_class_uid,
            commitment_instance.c.sop_uid,
        )
        undecided = and_(
            commitment_instance.c.commitment_key == transaction.key,
            commitment_instance.c.position > position,
            commitment_instance.c.outcome.is_(None),
        )
        following = select(*columns).where(undecided).order_by(commitment_instance.c.position)
        with self._database.read() as connection:
            rows = connection.execute(following.limit(_INSTANCES_AT_ONCE)).all()
            versions = _versions(connection, transaction, {row.sop_uid for row in rows})
        batch: list[_Undecided] = []
        n_bytes = 0
        for row in rows:
            one = _Undecided(row.position, Reference(row.sop_class_uid, row.sop_uid), versions.get(row.sop_uid, ()))
            n_bytes += one.size_bytes
            if batch and n_bytes > _BYTES_AT_ONCE:
                break
            batch.append(one)
        return batch

    def _check(self, transaction: _Transaction, undecided: _Undecided) -> int | None:
        """Return the outcome for one instance, None when it must be waited for.

        Every content that is kept under its UID counts: which of them the requester has is not known.
        """
        if not undecided.versions:
            is_waiting = transaction.age < _INDEXED_WITHIN
            return None if is_waiting else FailureReason.NO_SUCH_INSTANCE
        versions = [one for one in undecided.versions if one.sop_class_uid == undecided.reference.sop_class_uid]
        if not versions:
            return FailureReason.CLASS_CONFLICT
        if not all(version.is_archived for version in versions):
            return None
        is_intact = [self._is_intact(version) for version in versions]
        return COMMITTED if all(is_intact) else FailureReason.PROCESSING_FAILURE

    def _is_intact(self, version: _Version) -> bool:
        """Return whether the object store has the version's bytes: all of them, read now."""
        try:
            found = self._store.checksum(object_key(version.digest), version.dataset_offset)
        except (NotFoundError, IntegrityError) as error:
            _log.error("integrity fault: the object of instance %d cannot be read: %s", version.id, error)
            return False
        if found != version.digest:
            _log.error("integrity fault: the object of instance %d is damaged", version.id)
        return found == version.digest

    def _keep(self, transaction: _Transaction, outcomes: Mapping[int, int]) -> None:
        if not outcomes:
            return
        place = and_(
            commitment_instance.c.commitment_key == transaction.key,
            commitment_instance.c.position == bindparam("at"),
        )
        decided = update(commitment_instance).where(place).values(outcome=bindparam("result"))
        rows = [{"at": position, "result": outcome} for position, outcome in sorted(outcomes.items())]
        self._database.transact(lambda connection: connection.execute(decided, rows))

    def _decide(self, transaction: _Transaction, *, is_last_word: bool) -> bool:
        """Close a transaction of which nothing is undecided and have it reported; return whether it is closed.

        With `is_last_word` what is undecided has failed.
        """
        undecided = and_(
            commitment_instance.c.commitment_key == transaction.key, commitment_instance.c.outcome.is_(None)
        )
        mine = and_(commitment.c.id == transaction.key, commitment.c.state == CommitmentState.CHECKING)

        def work(connection: Connection) -> bool:
            row = connection.execute(select(commitment.c.held_until).where(mine).with_for_update()).first()
            if row is None:  # closed already
                return True
            if is_last_word:
                failed = update(commitment_instance).where(undecided)
                connection.execute(failed.values(outcome=FailureReason.PROCESSING_FAILURE))
            elif connection.execute(select(commitment_instance.c.position).where(undecided).limit(1)).first():
                return False
            now = self._clock(connection)
            closed = update(commitment).where(mine)
            connection.execute(closed.values(state=CommitmentState.DECIDED, deadline_at=now + PATIENCE))
            enqueue(connection, COMMITMENT_REPORT, [str(transaction.key)], run_at=max(now, row.held_until))
            return True

        return self._database.transact(work)


def _versions(
    connection: Connection, transaction: _Transaction, sop_uids: Collection[str]
) -> dict[str, list[_Version]]:
    """Return what is kept under each of `sop_uids` and exists for the requester.

    That is what belongs to its facility, and what its facility sent to studies of another one. Nothing is kept under
    a UID that was removed: what came under it since waits for a person to decide.
    """
    columns = (
        instance.c.sop_uid,
        instance.c.state,
        instance.c.id,
        instance.c.sop_class_uid,
        instance.c.digest,
        instance.c.dataset_offset,
        instance.c.size_bytes,
        instance.c.archived_at.is_not(None),
    )
    exists_for_it = or_(study.c.facility == transaction.facility, instance.c.facility == transaction.facility)
    kept = select(*columns).select_from(SOURCE).where(instance.c.sop_uid.in_(sop_uids), exists_for_it)
    found: dict[str, list[_Version]] = {}
    states: dict[str, set[str]] = {}
    for sop_uid, state, *facts in connection.execute(kept):
        states.setdefault(sop_uid, set()).add(state)
        if state != "removed":
            found.setdefault(sop_uid, []).append(_Version(*facts))
    return {uid: found.get(uid, []) for uid, told in states.items() if "removed" not in told or "current" in told}
