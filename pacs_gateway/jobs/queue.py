"""The work queue: enqueue in the caller's transaction, lease, finish, retry with back-off, dead letter.

A job is named by (kind, key): asking again for the same work coalesces. Work is at least once; a lease that runs out
hands the job to somebody else, so what a job does must be idempotent.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, case, delete, or_, select, update

from pacs_gateway.database.clock import SharedClock, database_time
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.jobs import event, job
from pacs_gateway.errors import NotFoundError
from pacs_gateway.index.upsert import insert_of

MAX_ATTEMPTS = 10
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 2.0, 3600.0
_POSTPONED_S = 30.0
_SECOND = 1_000_000


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DEAD = "dead"
    """Tried `MAX_ATTEMPTS` times; a person looks and retries."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work."""

    id: int
    kind: str
    key: str
    state: JobState
    generation: int
    attempts: int
    run_at: int
    """UTC microseconds."""
    error: str


def enqueue(connection: Connection, kind: str, keys: Iterable[str], *, run_at: int) -> None:
    """Ask for work in the caller's transaction.

    A job that waits runs at the earlier of both times (after a failure it keeps its back-off), one that runs will run
    again at the new time, a dead one gets another chance.
    """
    rows = [{"kind": kind, "key": key, "run_at": run_at, "created_at": run_at} for key in sorted(set(keys))]
    if not rows:
        return
    connection.execute(_enqueueing(connection.dialect.name), rows)


@cache
def _enqueueing(dialect: str) -> Any:
    """Return the statement of ``enqueue``; it runs with every batch of instances, so it is built once."""
    statement = insert_of(dialect)(job)
    was_dead = job.c.state == JobState.DEAD
    is_ahead = or_(
        was_dead, job.c.state == JobState.RUNNING, and_(job.c.error.is_(None), job.c.run_at > statement.excluded.run_at)
    )
    return statement.on_conflict_do_update(
        index_elements=[job.c.kind, job.c.key],
        set_={
            "generation": job.c.generation + 1,
            "state": case((was_dead, JobState.WAITING.value), else_=job.c.state),
            "attempts": case((was_dead, 0), else_=job.c.attempts),
            "run_at": case((is_ahead, statement.excluded.run_at), else_=job.c.run_at),
        },
    )


def announce(connection: Connection, kind: str, subjects: Iterable[str], *, at: int) -> None:
    """Write events to the outbox in the caller's transaction."""
    rows = [{"kind": kind, "subject": subject, "created_at": at} for subject in sorted(set(subjects))]
    if rows:
        connection.execute(_ANNOUNCING, rows)


_ANNOUNCING = event.insert()


class JobQueue:
    """Leases and finishes jobs for one worker process."""

    def __init__(
        self, database: Database, *, owner: str, clock: SharedClock = database_time, lease_s: float = 60.0
    ) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._lease = round(lease_s * _SECOND)

    def lease(self, kinds: Sequence[str], *, overdue_s: float = 0.0) -> Job | None:
        """Take the job that has been due longest, for `lease_s` seconds; None when none has been due for `overdue_s`.

        A job whose last lease ran out, too, has taken its worker along `MAX_ATTEMPTS` times: it is put aside.
        """
        overdue = round(overdue_s * _SECOND)
        with self._database.read() as connection:
            if connection.execute(_due(kinds, self._clock(connection) - overdue).limit(1)).first() is None:
                return None
        return self._database.transact(lambda connection: self._take(connection, kinds))

    def finish(self, done: Job, *, again_at: int | None = None) -> None:
        """Drop a job that is done; with `again_at`, or when it was asked for anew meanwhile, let it run again."""
        self._database.transact(lambda connection: self._put_down(connection, done, again_at))

    def fail(self, failed: Job, error: str) -> None:
        """Put a job back with growing, jittered delay, or aside when it failed too often."""
        state = JobState.DEAD if failed.attempts >= MAX_ATTEMPTS else JobState.WAITING
        backoff = min(_BACKOFF_FIRST_S * 2 ** (failed.attempts - 1), _BACKOFF_LAST_S)
        self._put_back(failed, error, state, backoff_s=backoff, attempts=failed.attempts)

    def postpone(self, postponed: Job, error: str) -> None:
        """Put a job back that could not be done because something it needs is away: that is no attempt."""
        self._put_back(
            postponed, error, JobState.WAITING, backoff_s=_POSTPONED_S, attempts=max(0, postponed.attempts - 1)
        )

    def _put_back(self, held: Job, error: str, state: JobState, *, backoff_s: float, attempts: int) -> None:
        delay_s = backoff_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret

        def put_back(connection: Connection) -> None:
            connection.execute(
                update(job)
                .where(job.c.id == held.id, job.c.lease_owner == self._owner)
                .values(
                    state=state,
                    attempts=attempts,
                    run_at=self._clock(connection) + round(delay_s * _SECOND),
                    lease_owner=None,
                    lease_until=None,
                    error=error[:500],
                )
            )

        self._database.transact(put_back)

    def _take(self, connection: Connection, kinds: Sequence[str]) -> Job | None:
        at = self._clock(connection)
        ran_out = and_(job.c.state == JobState.RUNNING, job.c.lease_until <= at, job.c.attempts >= MAX_ATTEMPTS)
        connection.execute(
            update(job)
            .where(job.c.kind.in_(kinds), ran_out)
            .values(state=JobState.DEAD, lease_owner=None, lease_until=None, error="its worker ended or hung")
        )
        # Lock first, then change what is locked: a locking subquery inside the UPDATE may be run more than once.
        oldest = _due(kinds, at).order_by(job.c.run_at, job.c.id).limit(1).with_for_update(skip_locked=True)
        chosen = connection.execute(oldest).scalar_one_or_none()
        if chosen is None:
            return None
        taken = (
            update(job)
            .where(job.c.id == chosen)
            .values(
                state=JobState.RUNNING,
                attempts=job.c.attempts + 1,
                lease_owner=self._owner,
                lease_until=at + self._lease,
            )
            .returning(job)
        )
        return _job(dict(connection.execute(taken).mappings().one()))

    def _put_down(self, connection: Connection, done: Job, again_at: int | None) -> None:
        mine = and_(job.c.id == done.id, job.c.lease_owner == self._owner)
        if again_at is None:
            gone = connection.execute(delete(job).where(mine, job.c.generation == done.generation))
            if gone.rowcount:
                return
        later = self._clock(connection) if again_at is None else again_at
        connection.execute(
            update(job)
            .where(mine)
            .values(
                state=JobState.WAITING,
                attempts=0,
                run_at=case((job.c.generation != done.generation, job.c.run_at), else_=later),
                lease_owner=None,
                lease_until=None,
                error=None,
            )
        )


def _due(kinds: Sequence[str], at: int) -> Select[int]:
    is_due = or_(
        and_(job.c.state == JobState.WAITING, job.c.run_at <= at),
        and_(job.c.state == JobState.RUNNING, job.c.lease_until <= at),
    )
    return select(job.c.id).where(job.c.kind.in_(kinds), is_due)


class JobList:
    """What people see of the queue: listing, counting and retrying."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, state: JobState | None = None, limit: int = 100) -> tuple[Job, ...]:
        """Return jobs, those due first."""
        statement = select(job).order_by(job.c.run_at, job.c.id).limit(limit)
        if state is not None:
            statement = statement.where(job.c.state == state)
        with self._database.read() as connection:
            return tuple(_job(dict(row)) for row in connection.execute(statement).mappings())

    def retry(self, job_id: int | None = None) -> int:
        """Let a dead job (all of them without `job_id`) run again now; return how many.

        Raises
        ------
        NotFoundError
            There is no dead job with this number.
        """
        statement = update(job).where(job.c.state == JobState.DEAD)
        if job_id is not None:
            statement = statement.where(job.c.id == job_id)
        revived = statement.values(state=JobState.WAITING, attempts=0, run_at=0)
        n_retried = self._database.transact(lambda connection: connection.execute(revived).rowcount)
        if job_id is not None and not n_retried:
            raise NotFoundError(f"no dead job {job_id}")
        return n_retried


def prune_events(database: Database, *, before: int) -> None:
    """Drop events older than `before` (UTC microseconds)."""
    database.transact(lambda connection: connection.execute(delete(event).where(event.c.created_at < before)))


def _job(row: dict[str, object]) -> Job:
    return Job(
        id=int(str(row["id"])),
        kind=str(row["kind"]),
        key=str(row["key"]),
        state=JobState(str(row["state"])),
        generation=int(str(row["generation"])),
        attempts=int(str(row["attempts"])),
        run_at=int(str(row["run_at"])),
        error=str(row["error"] or ""),
    )
