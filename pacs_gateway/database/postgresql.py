"""PostgreSQL: the index on a server, for several machines.

Readers are read-only and see one moment (``REPEATABLE READ``); writers are ``READ COMMITTED`` and hold row locks where
they decide by what they have read. Text columns carry ``COLLATE "C"`` (docs/decisions/0010), so that both databases
order alike.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from pacs_gateway.database.backend import Fault
from pacs_gateway.errors import ConfigurationError

_log = logging.getLogger(__name__)

_WRITERS = 4
# Compiling a plan takes longer than any of our statements; plans are made for the values at hand, for what a search
# looks through is told by them.
_PLANNING = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
_LIMITS = {"statement_timeout": "5s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "30s"}
_NO_LIMITS = dict.fromkeys(_LIMITS, "0")
_MIGRATION_LOCK = 0x70616373_67617465  # "pacsgate": advisory locks are numbers, shared by the whole database

# Errors by SQLSTATE (PostgreSQL, appendix A), the longest beginning that is listed; what is not listed is REFUSED.
_FAULTS: Mapping[str, Fault] = {
    "40001": Fault.COLLISION,  # serialization_failure
    "40P01": Fault.COLLISION,  # deadlock_detected
    # "It may also be advisable to retry" these (PostgreSQL 13.5): the check before the insert saw an older moment.
    "23505": Fault.RACE,  # unique_violation
    "23503": Fault.RACE,  # foreign_key_violation
    "08": Fault.LOST,  # connection exceptions
    "57P": Fault.LOST,  # shutdown, crash, starting up
    "25P03": Fault.LOST,  # idle_in_transaction_session_timeout
    "53300": Fault.LOST,  # too_many_connections
    "53100": Fault.FULL,  # disk_full
    "53": Fault.BUSY,  # insufficient resources
    "57014": Fault.LATE,  # query_canceled: the statement's time is up
    "55P03": Fault.BUSY,  # lock_not_available
    "25006": Fault.BUSY,  # read_only_sql_transaction: a standby answers
    "58": Fault.BUSY,  # the server's own system fails
}


class PostgresqlBackend:
    """One database of a PostgreSQL server."""

    def __init__(self, url: URL, *, readers: int) -> None:
        self._warned = False
        _check_parameters(url)
        self._readers = self._engine(url, pool_size=readers, is_reader=True)
        self._writers = self._engine(url, pool_size=_WRITERS, is_reader=False)
        self._migrator = create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args=_connect_args(url, _NO_LIMITS)
        )

    @property
    def readers(self) -> Engine:
        """Connections that cannot write; a transaction on one sees one moment."""
        return self._readers

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction; others write beside it."""
        with self._writers.begin() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Open a transaction without time limits that no other migration of this database overlaps."""
        with self._migrator.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield connection

    @contextmanager
    def hurried(self, connection: Connection, limit_s: float) -> Iterator[None]:
        """End statements of the transaction that take longer; their tables are gone through as they are written."""
        # How many names have what somebody types is beyond statistics: the planner would begin with the patients.
        limit = text(
            "SELECT set_config('statement_timeout', :limit, true), set_config('join_collapse_limit', '1', true)"
        )
        connection.execute(limit, {"limit": f"{round(limit_s * 1000)}ms"})
        yield

    def fault(self, error: DBAPIError) -> Fault:
        """Return what an error means, by its SQLSTATE; one without comes from a connection that is none."""
        state = _sqlstate(error)
        if error.connection_invalidated:
            return Fault.LOST
        if state is None:
            is_about_connection = isinstance(error.orig, (psycopg.OperationalError, psycopg.InterfaceError))
            return Fault.LOST if is_about_connection else Fault.REFUSED
        known = (_FAULTS[state[:length]] for length in (5, 3, 2) if state[:length] in _FAULTS)
        return next(known, Fault.REFUSED)

    def describe(self, error: DBAPIError) -> str:
        """Return an error's name and what it is about: the server's own words quote values."""
        if self.fault(error) is Fault.LOST:
            return " ".join(str(error.orig).split())[:300]
        if not isinstance(error.orig, psycopg.Error):
            return type(error.orig).__name__
        about = error.orig.diag.constraint_name or error.orig.diag.table_name or "no table named"
        return f"{type(error.orig).__name__} ({error.orig.sqlstate}), {about}"

    def is_intact(self, connection: Connection) -> bool:
        """Return True: the server checks its pages (where checksums are on) as it reads them."""
        connection.execute(text("SELECT count(*) FROM alembic_version"))
        return True

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writers.dispose()
        self._migrator.dispose()

    def _engine(self, url: URL, *, pool_size: int, is_reader: bool) -> Engine:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            # A failed statement's parameters hold names and numbers of patients; they must not reach a log.
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            # A restart of the server leaves dead connections behind.
            pool_pre_ping=True,
            use_native_hstore=False,
            connect_args=_connect_args(url, {**_LIMITS, **(_PLANNING if is_reader else {})}),
        )

        @event.listens_for(engine, "connect")
        def configure(dbapi_connection: psycopg.Connection, _record: object) -> None:
            dbapi_connection.isolation_level = (
                psycopg.IsolationLevel.REPEATABLE_READ if is_reader else psycopg.IsolationLevel.READ_COMMITTED
            )
            dbapi_connection.read_only = is_reader
            try:
                self._check(dbapi_connection)
            except BaseException:
                dbapi_connection.close()
                raise

        return engine

    def _check(self, connection: psycopg.Connection) -> None:
        """Refuse a server that loses what it has committed; warn of one that may."""
        names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "server_encoding")
        has_icu = "SELECT count(*)::text FROM pg_collation WHERE collname = 'und-x-icu'"
        shown = [f"current_setting('{name}')" for name in names]
        row = connection.execute(f"SELECT {', '.join(shown)}, ({has_icu})").fetchone()
        connection.rollback()
        settings = dict(zip((*names, "icu"), row or (), strict=True))
        for name in ("fsync", "full_page_writes"):
            if settings[name] != "on":
                raise ConfigurationError(f"PostgreSQL runs with {name}={settings[name]} and would lose data: set it on")
        if settings["server_encoding"] != "UTF8":
            raise ConfigurationError("the PostgreSQL database must have the encoding UTF8")
        if settings["icu"] == "0":
            raise ConfigurationError("this PostgreSQL was built without ICU and cannot tell upper from lower case")
        if self._warned:
            return
        self._warned = True
        if settings["synchronous_commit"] not in ("on", "remote_apply"):
            _log.warning("PostgreSQL runs with synchronous_commit=%s: set it on", settings["synchronous_commit"])
        if settings["data_checksums"] != "on":
            _log.warning("PostgreSQL keeps no data checksums and cannot notice damaged pages: see pg_checksums")


def _check_parameters(url: URL) -> None:
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    if unknown := set(url.query) - known:
        raise ConfigurationError(f"the database URL has a parameter that PostgreSQL does not know: {min(unknown)}")


def _connect_args(url: URL, limits: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of libpq: time limits for statements, and for a server that has vanished."""
    given = url.query.get("options", "")
    options = [given if isinstance(given, str) else " ".join(given)]
    options += [f"-c {name}={value}" for name, value in limits.items()]
    return {
        "options": " ".join(options).strip(),
        "client_encoding": "utf8",
        "application_name": "pacs-gateway",
        "connect_timeout": 3,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def _sqlstate(error: DBAPIError) -> str | None:
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None
