"""Storage commitment as we ask it of others: what was asked of whom, and what became of each instance.

A transaction is durable before the other archive is asked; its report may come on the association of the request, or
later on one that the archive opens, to any process of any node.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from pacs_gateway.database.clock import SharedClock
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.commitment import asked_commitment, asked_commitment_instance
from pacs_gateway.domain.clock import from_microseconds
from pacs_gateway.domain.commitment import COMMITTED, CommitmentRequest, CommitmentResult, Failure, Reference
from pacs_gateway.errors import NotFoundError

_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class AskedCommitment:
    """A transaction that another archive was asked for."""

    transaction_uid: str
    ae_title: str
    """The archive."""
    asked_at: datetime
    answered_at: datetime | None
    """None as long as it has not reported."""
    committed: Sequence[Reference]
    failed: Sequence[Failure]
    unanswered: Sequence[Reference]
    """All before the report; after it, those that it leaves out."""


class AskedCommitments:
    """What other archives were asked for; safe to use from many threads and processes."""

    def __init__(self, database: Database, *, clock: SharedClock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, ae_title: str, references: Sequence[Reference]) -> CommitmentRequest:
        """Note that an archive is about to be asked; return the request to send, with a transaction UID of its own."""
        request = CommitmentRequest(f"2.25.{uuid.uuid4().int}", references)

        def keep(connection: Connection) -> None:
            mine = asked_commitment.c.transaction_uid == request.transaction_uid
            if connection.execute(select(asked_commitment.c.id).where(mine)).first() is not None:
                return  # the commit succeeded, and only its answer was lost
            values = {"transaction_uid": request.transaction_uid, "ae_title": ae_title}
            new = insert(asked_commitment).values(**values, asked_at=self._clock(connection))
            key = connection.execute(new.returning(asked_commitment.c.id)).scalar_one()
            rows = [
                {"commitment_key": key, "position": n, "sop_class_uid": one.sop_class_uid, "sop_uid": one.sop_uid}
                for n, one in enumerate(references)
            ]
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                connection.execute(insert(asked_commitment_instance), rows[start : start + _ROWS_AT_ONCE])

        self._database.transact(keep)
        return request

    def forget(self, transaction_uid: str) -> None:
        """Drop a transaction that the archive has refused."""
        refused = delete(asked_commitment).where(asked_commitment.c.transaction_uid == transaction_uid)
        self._database.transact(lambda connection: connection.execute(refused))

    def answer(self, ae_title: str, result: CommitmentResult) -> None:
        """Keep what an archive reports; its first word counts, and saying it again is no error.

        Raises
        ------
        NotFoundError
            This archive was not asked for this transaction.
        """
        outcomes = {one.sop_uid: COMMITTED for one in result.committed}
        outcomes |= {one.reference.sop_uid: one.reason for one in result.failed}
        mine = and_(
            asked_commitment.c.transaction_uid == result.transaction_uid, asked_commitment.c.ae_title == ae_title
        )

        def keep(connection: Connection) -> None:
            row = connection.execute(select(asked_commitment).where(mine).with_for_update()).first()
            if row is None:
                raise NotFoundError("this transaction was not asked for")
            if row.answered_at is None:
                _keep_outcomes(connection, row.id, outcomes)
                connection.execute(update(asked_commitment).where(mine).values(answered_at=self._clock(connection)))

        self._database.transact(keep)

    def show(self, transaction_uid: str) -> AskedCommitment:
        """Return a transaction and what is known of it.

        Raises
        ------
        NotFoundError
            Nobody was asked for it, or that was long ago.
        """
        columns = asked_commitment_instance.c
        with self._database.read() as connection:
            mine = asked_commitment.c.transaction_uid == transaction_uid
            asked = connection.execute(select(asked_commitment).where(mine)).first()
            if asked is None:
                raise NotFoundError("no such commitment was asked for")
            instances = select(columns.sop_class_uid, columns.sop_uid, columns.outcome)
            rows = connection.execute(instances.where(columns.commitment_key == asked.id).order_by(columns.position))
            outcomes = [(Reference(sop_class, uid), outcome) for sop_class, uid, outcome in rows]
        return AskedCommitment(
            transaction_uid,
            asked.ae_title,
            from_microseconds(asked.asked_at),
            None if asked.answered_at is None else from_microseconds(asked.answered_at),
            committed=[one for one, outcome in outcomes if outcome == COMMITTED],
            failed=[Failure(one, outcome) for one, outcome in outcomes if outcome],
            unanswered=[one for one, outcome in outcomes if outcome is None],
        )

    def prune(self, *, before: int) -> None:
        """Forget what was asked before a time (UTC microseconds)."""
        old = delete(asked_commitment).where(asked_commitment.c.asked_at < before)
        self._database.transact(lambda connection: connection.execute(old))


def _keep_outcomes(connection: Connection, key: int, outcomes: dict[str, int]) -> None:
    columns = asked_commitment_instance.c
    asked = connection.execute(select(columns.position, columns.sop_uid).where(columns.commitment_key == key)).all()
    rows = [{"at": position, "result": outcomes[uid]} for position, uid in asked if uid in outcomes]
    place = and_(columns.commitment_key == key, columns.position == bindparam("at"))
    told = update(asked_commitment_instance).where(place).values(outcome=bindparam("result"))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        connection.execute(told, rows[start : start + _ROWS_AT_ONCE])
