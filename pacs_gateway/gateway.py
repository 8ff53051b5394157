"""The composition root: from settings to a working gateway, for one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from pacs_gateway.access import Access, open_access
from pacs_gateway.archive.archive import Archive
from pacs_gateway.config import GatewayConfig
from pacs_gateway.database.clock import SharedClock, database_time
from pacs_gateway.database.engine import Database
from pacs_gateway.database.revision import revisions
from pacs_gateway.domain.clock import Clock, to_microseconds, utc_now
from pacs_gateway.errors import ConfigurationError, GatewayError
from pacs_gateway.guard import open_guard
from pacs_gateway.jobs.queue import JobList
from pacs_gateway.storage.opening import open_store
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process's gateway; thread-safe."""

    config: GatewayConfig
    database: Database
    store: ObjectStore
    spool: Spool
    archive: Archive
    access: Access
    jobs: JobList
    clock: Clock
    queue_clock: SharedClock
    """By which jobs are due and leases end: the same for every node."""

    def readiness(self) -> dict[str, str]:
        """Return ``ok``, ``degraded`` or ``down`` for each thing this node depends on."""
        return {
            "index": self._index_state(),
            "spool": self._spool_state(),
            "store": self._store_state(),
            "nodes": self._nodes_state(),
        }

    def _index_state(self) -> str:
        try:
            with self.database.read() as connection:
                connection.execute(text("SELECT 1"))
        except GatewayError:
            return "down"
        return "ok"

    def _spool_state(self) -> str:
        try:
            return "ok" if self.spool.accepts() else "down"
        except GatewayError:
            return "down"

    def _store_state(self) -> str:
        try:
            self.store.probe()
        except GatewayError:
            return "down"
        return "ok"

    def _nodes_state(self) -> str:
        """Return whether every node has been heard of lately; one that is silent may hold what nobody else has."""
        try:
            return "ok" if self.archive.nodes.are_alive() else "degraded"
        except GatewayError:
            return "down"


@contextmanager
def open_gateway(config: GatewayConfig, *, clock: Clock | None = None) -> Iterator[Gateway]:
    """Open a gateway on a migrated database, and close it at the end of the block.

    Parameters
    ----------
    clock
        Stands in for this machine's clock and for the one that all nodes share.

    Raises
    ------
    ConfigurationError
        The database has another schema than this version needs.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    database = Database(config.database)
    queue_clock = database_time if clock is None else _shared(clock)
    clock = clock or utc_now
    try:
        present, needed = revisions(database)
        if present != needed:
            raise ConfigurationError("the index has another version's schema; run `pacs-gateway migrate`")
        with (
            open_store(config.objects, config.cache) as store,
            open_access(database, config.access, clock=clock) as access,
            open_guard() as guard,
        ):
            spool = Spool(config.spool)
            archive = Archive(
                database, store, spool, guard, clock=clock, queue_clock=queue_clock, config=config.archive
            )
            try:
                yield Gateway(config, database, store, spool, archive, access, JobList(database), clock, queue_clock)
            finally:
                archive.close()
    finally:
        database.close()


def _shared(clock: Clock) -> SharedClock:
    def shared(_connection: Connection) -> int:
        return to_microseconds(clock())

    return shared
