"""Who was turned away, and why: for the technician who stands at the modality that "does not send".

Whoever can reach the port can make rejections, so they cost little: counted in memory, written at most once a
second by a thread of its own, bounded per address and in all.
"""

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, text

from pacs_gateway.access.audit import Audit, Event, Outcome, Seldom, printable
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import rejected_caller
from pacs_gateway.domain.clock import Clock, from_microseconds, to_microseconds
from pacs_gateway.errors import CapacityError, UnavailableError

FLUSH_S = 1.0
MAX_CALLERS = 1000
MAX_PER_ADDRESS = 20
_MAX_TITLE = 16

_COUNT = text(
    "INSERT INTO rejected_caller "
    "(calling_ae_title, called_ae_title, address, reason, n_rejected, first_at, last_at) "
    "VALUES (:calling, :called, :address, :reason, :n_rejected, :first_at, :last_at) "
    "ON CONFLICT (calling_ae_title, called_ae_title, address) DO UPDATE SET reason = excluded.reason, "
    "n_rejected = rejected_caller.n_rejected + excluded.n_rejected, last_at = excluded.last_at"
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A caller that was turned away, as often as it came."""

    calling: str
    called: str
    address: str
    reason: str
    n_rejected: int
    first_at: datetime
    last_at: datetime


class Rejections:
    """Counts callers that were turned away.

    Notes
    -----
    Thread-safe; recording never waits for the database.
    """

    def __init__(self, database: Database, audit: Audit, *, clock: Clock, flush_s: float = FLUSH_S) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._flush_s = flush_s
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._pending: dict[tuple[str, str, str], Rejected] = {}
        self._n_by_address: Counter[str] = Counter()
        self._timer: threading.Timer | None = None
        self._is_closed = False
        self._seldom = Seldom(clock=clock)

    def record(self, *, calling: str, called: str, address: str, reason: str) -> None:
        """Count one; written within a second or two."""
        now = self._clock()
        caller = Rejected(
            printable(calling[:_MAX_TITLE]), printable(called[:_MAX_TITLE]), address, printable(reason), 1, now, now
        )
        with self._mutex:
            self._merge(caller)
            if self._timer is None and not self._is_closed:
                self._timer = threading.Timer(self._flush_s, self._on_timer)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what is counted.

        Raises
        ------
        UnavailableError, CapacityError
            The database is away or full; the counts are kept for the next time.
        """
        with self._writing:  # so that closing waits for a write that is on its way
            callers = self._take()
            if not callers:
                return
            recorded = tuple(caller for caller in callers if self._seldom.is_due(caller.address))

            def write(connection: Connection) -> None:
                for caller in sorted(callers, key=lambda one: (one.calling, one.called, one.address)):
                    _write(connection, caller)
                _drop_oldest(connection)
                self._record(connection, recorded)

            try:
                self._database.transact(write)
            except (UnavailableError, CapacityError):
                with self._mutex:
                    for caller in callers:
                        self._merge(caller)
                raise

    def list(self) -> tuple[Rejected, ...]:
        """Return every caller that was turned away, the latest first."""
        newest = rejected_caller.c.last_at.desc()
        with self._database.read() as connection:
            rows = connection.execute(select(rejected_caller).order_by(newest, rejected_caller.c.address))
            return tuple(
                Rejected(
                    calling=row.calling_ae_title,
                    called=row.called_ae_title,
                    address=row.address,
                    reason=row.reason,
                    n_rejected=row.n_rejected,
                    first_at=from_microseconds(row.first_at),
                    last_at=from_microseconds(row.last_at),
                )
                for row in rows
            )

    def close(self) -> None:
        """Write what is counted, if the database lets us, and count no more."""
        with self._mutex:
            self._is_closed = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()
        with contextlib.suppress(UnavailableError, CapacityError):
            self.flush()

    def _on_timer(self) -> None:
        with self._mutex:
            self._timer = None  # the next rejection starts the next one
        with contextlib.suppress(UnavailableError, CapacityError):
            self.flush()

    def _take(self) -> tuple[Rejected, ...]:
        with self._mutex:
            callers = tuple(self._pending.values())
            self._pending.clear()
            self._n_by_address.clear()
        return callers

    def _merge(self, caller: Rejected) -> None:
        """Add to the counts in memory; strangers beyond the bounds are not kept."""
        key = (caller.calling, caller.called, caller.address)
        known = self._pending.get(key)
        if known is not None:
            self._pending[key] = replace(
                known,
                reason=caller.reason,
                n_rejected=known.n_rejected + caller.n_rejected,
                first_at=min(known.first_at, caller.first_at),
                last_at=max(known.last_at, caller.last_at),
            )
        elif len(self._pending) < MAX_CALLERS and self._n_by_address[caller.address] < MAX_PER_ADDRESS:
            self._n_by_address[caller.address] += 1
            self._pending[key] = caller

    def _record(self, connection: Connection, callers: tuple[Rejected, ...]) -> None:
        for caller in callers:
            self._audit.record(
                connection,
                actor=caller.calling,
                address=caller.address,
                action=Event.DEVICE_REJECTED,
                subject=f"{caller.called}: {caller.reason}",
                outcome=Outcome.FAILURE,
            )


def forget_rejected(connection: Connection, *, calling: str, address: str) -> None:
    """Take a caller off the list, in the transaction that lets it in."""
    same = (rejected_caller.c.calling_ae_title == calling) & (rejected_caller.c.address == address)
    connection.execute(delete(rejected_caller).where(same))


def _write(connection: Connection, caller: Rejected) -> None:
    connection.execute(
        _COUNT,
        {
            "calling": caller.calling,
            "called": caller.called,
            "address": caller.address,
            "reason": caller.reason,
            "n_rejected": caller.n_rejected,
            "first_at": to_microseconds(caller.first_at),
            "last_at": to_microseconds(caller.last_at),
        },
    )


def _drop_oldest(connection: Connection) -> None:
    """Keep the newest callers: of one address, so that it cannot push the others out, and in all."""
    columns = (rejected_caller.c.calling_ae_title, rejected_caller.c.called_ae_title, rejected_caller.c.address)
    newest = (rejected_caller.c.last_at.desc(), *columns)
    ranked = select(
        *columns,
        func.row_number().over(partition_by=rejected_caller.c.address, order_by=newest).label("of_address"),
        func.row_number().over(order_by=newest).label("in_all"),
    ).subquery()
    surplus = select(*(ranked.c[column.name] for column in columns)).where(
        (ranked.c.of_address > MAX_PER_ADDRESS) | (ranked.c.in_all > MAX_CALLERS)
    )
    for calling, called, address in connection.execute(surplus).all():
        connection.execute(
            delete(rejected_caller).where(columns[0] == calling, columns[1] == called, columns[2] == address)
        )
