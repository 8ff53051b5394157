"""Storage commitment as others ask it of us: the transactions, from a durable request to an acknowledged report.

Checking the instances is a job (`commitment_check.py`). The outcome is reported by whoever holds the transaction: the
association on which it was asked for, while that is open, else a worker; holding is one row changed if nobody else
holds it, for a time that runs out by itself (decision 0017).

References
----------
PS3.4 Annex J (storage commitment service class)
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from pacs_gateway.database.clock import SharedClock
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.commitment import commitment, commitment_instance
from pacs_gateway.domain.commitment import COMMITTED, CommitmentRequest, CommitmentResult, Failure, Reference
from pacs_gateway.errors import ConflictError, NotFoundError
from pacs_gateway.index.upsert import insert_ignoring
from pacs_gateway.jobs.queue import enqueue

COMMITMENT_CHECK = "commitment-check"
"""Kind of the job that checks the instances; its key is the transaction's number."""
COMMITMENT_REPORT = "commitment-report"
"""Kind of the job that reports on an association of its own; the same key."""

SECOND = 1_000_000
PATIENCE = 24 * 3600 * SECOND
"""So long instances are waited for, and so long after that a report is tried, in microseconds."""

_ROWS_AT_ONCE = 1_000
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 2.0, 600.0
_MAX_ERROR_LENGTH = 200


class CommitmentState(StrEnum):
    """Where a transaction stands."""

    CHECKING = "checking"
    DECIDED = "decided"
    """To be reported."""
    DELIVERED = "delivered"
    """The requester has acknowledged the report."""
    GIVEN_UP = "given_up"
    """It has not, for a day."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a commitment."""

    ae_title: str
    called_ae_title: str
    """The title of ours that it called; the report comes from there."""
    facility: str
    """Whose instances exist for it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be reported, and to whom."""

    requester: Requester
    result: CommitmentResult


class Commitments:
    """The transactions of all requesters; safe to use from many threads and processes.

    A `holder` is a name that nobody else has; it may call again where it does not know whether a call succeeded.
    """

    def __init__(self, database: Database, *, clock: SharedClock) -> None:
        self._database = database
        self._clock = clock

    def receive(self, request: CommitmentRequest, requester: Requester, *, holder: str, hold_s: float) -> int:
        """Keep a request, durably, and have it checked; return the transaction's number.

        Parameters
        ----------
        hold_s
            For so long nobody but `holder` reports, in seconds.

        Raises
        ------
        ConflictError
            The requester has used this transaction UID before.
        """

        def keep(connection: Connection) -> int:
            now = self._clock(connection)
            values = {
                "transaction_uid": request.transaction_uid,
                "ae_title": requester.ae_title,
                "called_ae_title": requester.called_ae_title,
                "facility": requester.facility,
                "received_at": now,
                "deadline_at": now + PATIENCE,
                "holder": holder,
                "held_until": now + round(hold_s * SECOND),
            }
            made = insert_ignoring(connection, commitment).values(values).returning(commitment.c.id)
            key = connection.execute(made).scalar_one_or_none()
            if key is not None:
                _keep_references(connection, key, request.references)
                enqueue(connection, COMMITMENT_CHECK, [str(key)], run_at=now)
                return int(key)
            same = and_(
                commitment.c.ae_title == requester.ae_title, commitment.c.transaction_uid == request.transaction_uid
            )
            row = connection.execute(select(commitment.c.id, commitment.c.holder).where(same)).one()
            if row.holder != holder:  # else the commit succeeded, and only its answer was lost
                raise ConflictError("the transaction UID has been used before")
            return int(row.id)

        return self._database.transact(keep)

    def state(self, key: int) -> CommitmentState:
        """Return where a transaction stands.

        Raises
        ------
        NotFoundError
            There is none with this number (any more).
        """
        with self._database.read() as connection:
            row = connection.execute(select(commitment.c.state).where(commitment.c.id == key)).first()
        if row is None:
            raise NotFoundError("no such commitment")
        return CommitmentState(row.state)

    def take(self, key: int, *, holder: str, hold_s: float) -> Report | None:
        """Take the reporting of a decided transaction over; None while another one holds it, or nothing is to be done.

        Who has it must call ``deliver``, ``release`` or ``put_off`` within `hold_s` seconds.
        """

        def work(connection: Connection) -> bool:
            now = self._clock(connection)
            is_free = or_(commitment.c.held_until <= now, commitment.c.holder == holder)
            taken = update(commitment).where(_decided(key), is_free)
            until = now + round(hold_s * SECOND)
            return connection.execute(taken.values(holder=holder, held_until=until)).rowcount > 0

        return self._report(key) if self._database.transact(work) else None

    def deliver(self, key: int) -> None:
        """Note that the requester has acknowledged the report."""
        delivered = {"state": CommitmentState.DELIVERED, "holder": None, "held_until": 0, "error": None}
        ended = update(commitment).where(_decided(key)).values(delivered)
        self._database.transact(lambda connection: connection.execute(ended))

    def release(self, key: int, *, holder: str) -> None:
        """Let a worker report, now or once the outcome is known."""

        def work(connection: Connection) -> None:
            mine = and_(commitment.c.id == key, commitment.c.holder == holder)
            released = update(commitment).where(mine).values(holder=None, held_until=0).returning(commitment.c.state)
            if connection.execute(released).scalar_one_or_none() == CommitmentState.DECIDED:
                enqueue(connection, COMMITMENT_REPORT, [str(key)], run_at=self._clock(connection))

        self._database.transact(work)

    def put_off(self, key: int, error: str, *, holder: str) -> int | None:
        """Note that `holder` could not deliver; return when to try again (UTC microseconds), None when never.

        The pauses grow from two seconds to ten minutes; a day after the decision nobody tries any more.
        """

        def work(connection: Connection) -> int | None:
            mine = and_(_decided(key), commitment.c.holder == holder)
            row = connection.execute(select(commitment).where(mine).with_for_update()).first()
            if row is None:
                return None
            now = self._clock(connection)
            state = CommitmentState.GIVEN_UP if now >= row.deadline_at else CommitmentState.DECIDED
            again_at = now + round(_pause_s(row.n_attempts) * SECOND)
            changes = {"state": state, "n_attempts": row.n_attempts + 1, "error": error[:_MAX_ERROR_LENGTH]}
            connection.execute(update(commitment).where(mine).values(**changes, holder=None, held_until=0))
            return again_at if state is CommitmentState.DECIDED else None

        return self._database.transact(work)

    def held_until(self, key: int) -> int | None:
        """Return until when somebody holds a transaction (UTC microseconds); None if nothing is to be reported."""
        with self._database.read() as connection:
            held = select(commitment.c.held_until).where(_decided(key))
            return connection.execute(held).scalar_one_or_none()

    def prune(self, *, before: int) -> None:
        """Forget the transactions that were received before a time (UTC microseconds)."""
        old = delete(commitment).where(commitment.c.received_at < before)
        self._database.transact(lambda connection: connection.execute(old))

    def _report(self, key: int) -> Report:
        columns = (
            commitment_instance.c.sop_class_uid,
            commitment_instance.c.sop_uid,
            commitment_instance.c.outcome,
        )
        mine = commitment_instance.c.commitment_key == key
        with self._database.read() as connection:
            asked = connection.execute(select(commitment).where(commitment.c.id == key)).one()
            rows = connection.execute(select(*columns).where(mine).order_by(commitment_instance.c.position)).all()
        committed = [Reference(sop_class, uid) for sop_class, uid, outcome in rows if outcome == COMMITTED]
        failed = [
            Failure(Reference(sop_class, uid), outcome) for sop_class, uid, outcome in rows if outcome != COMMITTED
        ]
        requester = Requester(asked.ae_title, asked.called_ae_title, asked.facility)
        return Report(requester, CommitmentResult(asked.transaction_uid, committed, failed))


def _keep_references(connection: Connection, key: int, references: Sequence[Reference]) -> None:
    for start in range(0, len(references), _ROWS_AT_ONCE):
        rows = [
            {"commitment_key": key, "position": n, "sop_class_uid": one.sop_class_uid, "sop_uid": one.sop_uid}
            for n, one in enumerate(references[start : start + _ROWS_AT_ONCE], start)
        ]
        connection.execute(insert(commitment_instance), rows)


def _decided(key: int) -> ColumnElement[bool]:
    return and_(commitment.c.id == key, commitment.c.state == CommitmentState.DECIDED)


def _pause_s(n_attempts: int) -> float:
    longest = min(_BACKOFF_FIRST_S * (1 << min(n_attempts, 16)), _BACKOFF_LAST_S)
    return longest * random.uniform(0.75, 1.0)  # noqa: S311 - jitter, not a secret
