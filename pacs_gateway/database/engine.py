"""Engine and transactions.

Reads are short and cannot write; writes enter through one gate per database and begin as writers, never as readers
that upgrade (SQLite answers that with ``SQLITE_BUSY_SNAPSHOT`` at once, whatever the timeout).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from pacs_gateway.database.gate import WriteGate
from pacs_gateway.errors import CapacityError, ConfigurationError, UnavailableError

_BUSY_TIMEOUT_MS = 10_000
_JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024
_NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs"})


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where the index is."""

    url: str
    """SQLAlchemy URL: ``sqlite:////path/index.db``."""
    readers: int = 8
    """Connections kept open for reading, per process."""


class Database:
    """The index's database, shared by all threads of a process."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.url = _checked_url(config.url)
        path = Path(str(self.url.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_network_filesystem(path.parent)
            self._gate = WriteGate(path.with_name(path.name + ".gate"))
        except OSError as error:
            raise ConfigurationError(f"the index cannot be kept at {path}: {error.strerror}") from error
        self._writer = self._engine(pool_size=1, begin="BEGIN IMMEDIATE", query_only=False)
        self._readers = self._engine(pool_size=config.readers, begin="BEGIN", query_only=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only view of one moment; keep it short.

        Raises
        ------
        UnavailableError
            The database cannot be reached now.
        """
        with _translated(), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits, durably, at the end of the block and rolls back on any exception.

        Raises
        ------
        UnavailableError
            The database cannot be reached now.
        CapacityError
            Its disk is full.
        """
        with _translated(), self._gate.passing(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def exclusively(self) -> Iterator[Engine]:
        """Hold the write gate and hand out the writing engine: for migrations, which open their own transactions."""
        with _translated(), self._gate.passing():
            yield self._writer

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writer.dispose()
        self._gate.close()

    def _engine(self, *, pool_size: int, begin: str, query_only: bool) -> Engine:
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            # A failed statement's parameters hold names and numbers of patients; they must not reach a log.
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=0 if not query_only else pool_size,
            # The driver must not open transactions of its own: `begin` below decides which kind.
            connect_args={
                "isolation_level": None,
                "check_same_thread": False,
                "timeout": _BUSY_TIMEOUT_MS / 1000,
            },
        )

        @event.listens_for(engine, "connect")
        def configure(dbapi_connection: sqlite3.Connection, _record: object) -> None:
            cursor = dbapi_connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")  # WAL with NORMAL loses commits at power loss
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
            cursor.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT_BYTES}")
            cursor.execute("PRAGMA cache_size=-32768")
            cursor.execute("PRAGMA mmap_size=268435456")
            # LIKE as in PostgreSQL and as PS3.4 C.2.2.2 wants it; who wants it loose lowers both sides, in all scripts.
            cursor.execute("PRAGMA case_sensitive_like=ON")
            dbapi_connection.create_function("lower", 1, _lower, deterministic=True)
            if query_only:
                cursor.execute("PRAGMA query_only=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine


def _checked_url(text: str) -> URL:
    """Return the URL of an SQLite file; a refused one may hold a password and is not repeated."""
    try:
        url = make_url(text)
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    except (ArgumentError, ValueError):
        is_file = False
    if not is_file:
        raise ConfigurationError("the database URL must name an SQLite file: sqlite:////path/index.db")
    return url


def _lower(text: str | int | float | bytes | None) -> str | int | float | bytes | None:
    return text.lower() if isinstance(text, str) else text


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; the driver's own stays in ``__cause__``."""
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError("all connections to the index are in use") from error
    except (OperationalError, InterfaceError) as error:
        if "full" in str(error.orig):
            raise CapacityError("the index has no space left") from error
        raise UnavailableError("the index cannot be reached") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise UnavailableError("the connection to the index was lost") from error
        raise


def _refuse_network_filesystem(directory: Path) -> None:
    """Refuse a directory on a network file system: SQLite's locks are not kept there."""
    where = directory.resolve()
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, mount_point, kind, *_ = line.split(" ")
        mount_point = mount_point.replace("\\040", " ")  # proc(5)
        if where.is_relative_to(mount_point) and len(mount_point) >= len(best[0]):
            best = (mount_point, kind)
    if best[1] in _NETWORK_FILESYSTEMS:
        raise ConfigurationError(f"the index cannot live on a {best[1]} file system; use a local disk or PostgreSQL")
