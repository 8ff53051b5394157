"""The database of a process: short reads that cannot write, and transactions that are tried again where that helps."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep
from typing import TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pacs_gateway.database.backend import Backend, Fault
from pacs_gateway.errors import CapacityError, ConfigurationError, TooBroadError, UnavailableError

T = TypeVar("T")

_log = logging.getLogger(__name__)

_MAX_RETRIES = 5
# The first pause in seconds; each later one is twice as long, and all vary by half.
_PAUSES = {Fault.COLLISION: 0.01, Fault.RACE: 0.01, Fault.LOST: 0.1}


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where the index is."""

    url: str
    """``sqlite:////path/index.db`` or ``postgresql://user:password@host/database``."""
    readers: int = 8
    """Connections kept open for reading, per process."""


class RefusedStatementError(Exception):
    """The database refused a statement: a fault of this program; the message holds no value of it."""


class Database:
    """The index's database, shared by all threads of a process."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.url = _checked_url(config.url)
        self._backend = _backend(self.url, config.readers)
        self._is_away = False

    @contextmanager
    def read(self, *, limit_s: float | None = None) -> Iterator[Connection]:
        """Open a read-only view of one moment; keep it short.

        Parameters
        ----------
        limit_s
            How long it may take; None where nobody from outside says what is looked for.

        Raises
        ------
        TooBroadError
            It would take longer than `limit_s`.
        UnavailableError
            The database cannot be reached now.
        """
        with self._translated(), self._persistently(self._backend.readers.connect) as connection:
            if limit_s is None:
                yield connection
                return
            try:
                with self._backend.hurried(connection, limit_s):
                    yield connection
            except DBAPIError as error:
                if self._backend.fault(error) is not Fault.LATE:
                    raise
                raise TooBroadError("too much would have to be looked through: narrow the search") from None

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that is committed, durably, before this returns; an exception rolls it back.

        `work` is done again, up to five times, when another transaction came between or the connection was lost. As a
        connection can be lost while the commit's answer is on its way, `work` may meet its own rows: it must be
        idempotent or recognise them, and touch nothing but the database.

        Raises
        ------
        UnavailableError
            The database cannot be reached now.
        CapacityError
            Its disk is full.
        """

        def attempt() -> T:
            with self._backend.writing() as connection:
                return work(connection)

        with self._translated():
            return self._persistently(attempt)

    @contextmanager
    def exclusively(self) -> Iterator[Connection]:
        """Open a transaction without time limits that no other one of its kind overlaps: for migrations."""
        with self._translated(), self._backend.migrating() as connection:
            yield connection

    def is_intact(self) -> bool:
        """Return whether the database finds itself undamaged."""
        with self.read() as connection:
            return self._backend.is_intact(connection)

    def close(self) -> None:
        """Close every connection."""
        self._backend.close()

    def _persistently(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, tried again where that helps.

        A database that was away for a whole series is asked once at a time until it answers again: callers are to
        wait through a restart, not to queue up behind an outage.
        """
        for n in range(_MAX_RETRIES + 1):
            try:
                result = attempt()
            except DBAPIError as error:
                fault = self._backend.fault(error)
                is_last = n == _MAX_RETRIES or (fault is Fault.LOST and self._is_away)
                if is_last and fault is Fault.LOST and not self._is_away:
                    self._is_away = True
                    _log.warning("the index is away: %s", self._backend.describe(error))
                if is_last or fault not in _PAUSES:
                    raise
                sleep(_PAUSES[fault] * 2**n * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            else:
                self._is_away = False
                return result
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours, without the values that the driver's quote."""
        try:
            yield
        except PoolTimeoutError as error:
            raise UnavailableError("all connections to the index are in use") from error
        except DBAPIError as error:
            raise self._ours(error).with_traceback(error.__traceback__) from None

    def _ours(self, error: DBAPIError) -> Exception:
        match self._backend.fault(error):
            case Fault.FULL:
                return CapacityError("the index has no space left")
            case Fault.COLLISION:
                return UnavailableError("the index is too busy")
            case Fault.LOST:
                return UnavailableError("the index cannot be reached")
            case Fault.BUSY | Fault.LATE:
                _log.warning("the index cannot serve now: %s", self._backend.describe(error))
                return UnavailableError("the index cannot serve now")
            case _:
                return RefusedStatementError(self._backend.describe(error))


def _checked_url(text: str) -> URL:
    """Return the URL of a database; a refused one may hold a password and is not repeated."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url is not None and url.drivername in ("postgresql", "postgresql+psycopg") and url.database:
        return url.set(drivername="postgresql+psycopg")
    raise ConfigurationError(
        "the database URL must be sqlite:////path/index.db or postgresql://user:password@host/database"
    )


def _backend(url: URL, readers: int) -> Backend:
    # Only the one in use is loaded: a driver takes a tenth of a second of every process's start.
    if url.get_backend_name() == "sqlite":
        from pacs_gateway.database.sqlite import SqliteBackend

        return SqliteBackend(url, readers=readers)
    from pacs_gateway.database.postgresql import PostgresqlBackend

    return PostgresqlBackend(url, readers=readers)
