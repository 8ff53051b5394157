"""SQLite: the index on a local disk, for one machine.

Writes enter through one gate per database and begin as writers, never as readers that upgrade (SQLite answers that
with ``SQLITE_BUSY_SNAPSHOT`` at once, whatever the timeout).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool

from pacs_gateway.database.backend import Fault
from pacs_gateway.database.gate import WriteGate
from pacs_gateway.domain.names import accented
from pacs_gateway.errors import ConfigurationError

_BUSY_TIMEOUT_MS = 10_000
_STEPS_BETWEEN_LOOKS = 50_000
"""Of SQLite's virtual machine: a few milliseconds."""
_JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024
_NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs"})


class SqliteBackend:
    """One SQLite file."""

    def __init__(self, url: URL, *, readers: int) -> None:
        path = Path(str(url.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_network_filesystem(path.parent)
            self._gate = WriteGate(path.with_name(path.name + ".gate"))
        except OSError as error:
            raise ConfigurationError(f"the index cannot be kept at {path}: {error.strerror}") from error
        self._writer = _engine(url, pool_size=1, begin="BEGIN IMMEDIATE", query_only=False)
        self._readers = _engine(url, pool_size=readers, begin="BEGIN", query_only=True)

    @property
    def readers(self) -> Engine:
        """Connections that cannot write; a transaction on one sees one moment."""
        return self._readers

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open the one writing transaction of this machine."""
        with self._gate.passing(), self._writer.begin() as connection:
            yield connection

    migrating = writing

    @contextmanager
    def hurried(self, connection: Connection, limit_s: float) -> Iterator[None]:
        """End the statement that is under way when the block has taken longer."""
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        deadline = monotonic() + limit_s
        raw.set_progress_handler(lambda: monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def fault(self, error: DBAPIError) -> Fault:
        """Return what an error means; SQLite's own waiting has been done by then, so that nothing is tried again."""
        if not isinstance(error, (OperationalError, InterfaceError)):
            return Fault.REFUSED
        if str(error.orig) == "interrupted":
            return Fault.LATE
        return Fault.FULL if "full" in str(error.orig) else Fault.BUSY

    def describe(self, error: DBAPIError) -> str:
        """Return SQLite's own words, which name columns and never values."""
        return str(error.orig)

    def is_intact(self, connection: Connection) -> bool:
        """Return whether SQLite's quick check finds nothing."""
        try:
            verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        except DatabaseError as error:
            if isinstance(error, OperationalError):
                raise
            return False  # too damaged to be looked through
        return bool(verdict == "ok")

    def close(self) -> None:
        """Close every connection, and the gate."""
        self._readers.dispose()
        self._writer.dispose()
        self._gate.close()


def _engine(url: URL, *, pool_size: int, begin: str, query_only: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        # A failed statement's parameters hold names and numbers of patients; they must not reach a log.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0 if not query_only else pool_size,
        # The driver must not open transactions of its own: `begin` below decides which kind.
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1000},
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
        dbapi_connection.create_function("accented", 1, accented, deterministic=True)
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _lower(text: str | int | float | bytes | None) -> str | int | float | bytes | None:
    return text.lower() if isinstance(text, str) else text


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
