"""A small table kept in memory: asked for changes every second, and lasting a day while the database is away."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection, select, text

from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import change_counter
from pacs_gateway.errors import UnavailableError

T = TypeVar("T")

_CHECK_S = 1.0
_KEEP_S = 24 * 3600.0

# One statement that both databases understand, and that two writers cannot race.
_COUNT = text(
    "INSERT INTO change_counter (name, value) VALUES (:name, 1) "
    "ON CONFLICT (name) DO UPDATE SET value = change_counter.value + 1"
)


def count_change(connection: Connection, name: str) -> None:
    """Tell every process, in the caller's transaction, that the table `name` has changed."""
    connection.execute(_COUNT, {"name": name})


@dataclass(frozen=True, slots=True)
class _State(Generic[T]):
    value: T
    version: int
    checked_at: float


class Snapshot(Generic[T]):
    """What `load` made of a table, at most a second old while the database answers.

    Notes
    -----
    Thread-safe. A check reads one row; the table is read again only after a change.
    """

    def __init__(
        self,
        database: Database,
        *,
        counter: str,
        load: Callable[[Connection], T],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._counter = counter
        self._load = load
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._state: _State[T] | None = None
        self._tried_at = float("-inf")

    def get(self) -> T:
        """Return the table as it is now, or as it was when the database was last there.

        Raises
        ------
        UnavailableError
            The database is away, and has been for a day or since the start.
        """
        # A database that hangs instead of failing holds one caller, not all of them.
        if self._lock.acquire(timeout=_CHECK_S):
            try:
                if self._state is None or self._monotonic() - self._tried_at >= _CHECK_S:
                    self._check()
            finally:
                self._lock.release()
        state = self._state
        if state is None or self._monotonic() - state.checked_at > _KEEP_S:
            raise UnavailableError("the index cannot be reached")
        return state.value

    def expire(self) -> None:
        """Look for changes at the next call: this process has just made one."""
        self._tried_at = float("-inf")

    def _check(self) -> None:
        self._tried_at = now = self._monotonic()
        state = self._state
        try:
            with self._database.read() as connection:
                # The counter first: rows newer than it are read again, never missed.
                version = connection.scalar(
                    select(change_counter.c.value).where(change_counter.c.name == self._counter)
                )
                version = version or 0
                value = state.value if state and state.version == version else self._load(connection)
        except UnavailableError:
            return
        self._state = _State(value, version, now)
