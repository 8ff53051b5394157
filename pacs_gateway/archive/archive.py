"""The archive of one process: its use cases over one database, store and spool."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, select

from pacs_gateway.archive.asked_commitment import AskedCommitments
from pacs_gateway.archive.commitment import COMMITMENT_CHECK, Commitments
from pacs_gateway.archive.commitment_check import CommitmentCheck
from pacs_gateway.archive.config import ArchiveConfig
from pacs_gateway.archive.conflicts import COMPARE, Conflicts
from pacs_gateway.archive.derive import DERIVE, Derive
from pacs_gateway.archive.ingest import Ingest
from pacs_gateway.archive.nodes import Nodes
from pacs_gateway.archive.object_first import ObjectFirst
from pacs_gateway.archive.rejection_note import REJECTION, RejectionNotes
from pacs_gateway.archive.remove import TOMBSTONE, Removals
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.search import Search
from pacs_gateway.archive.ship import Recovery, Shipper
from pacs_gateway.archive.stored import Holdings
from pacs_gateway.database.clock import SharedClock, database_time
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.domain.clock import Clock, to_microseconds
from pacs_gateway.guard import Guard
from pacs_gateway.index.rows import BatchResult
from pacs_gateway.index.writer import BatchHooks, IndexWriter
from pacs_gateway.jobs.queue import Job, announce, enqueue
from pacs_gateway.jobs.worker import Handler
from pacs_gateway.storage.spool import Spool, SpoolDirectory
from pacs_gateway.storage.store import ObjectStore

# Microseconds: rows are there within a second, and the batches of a series that streams in share one job.
_DERIVE_AFTER = 500_000
_RECEIVING_FOR = 1_000_000
INSTANCES_STORED = "instances-stored"
"""Kind of the event; its subject is the study's UID."""


class Archive:
    """Search, retrieve, derive, conflicts, removals, the other nodes; and, once something is received, ingest."""

    def __init__(  # noqa: PLR0913 - each thing that the composition root has opened
        self,
        database: Database,
        store: ObjectStore,
        spool: Spool,
        guard: Guard,
        *,
        clock: Clock,
        queue_clock: SharedClock = database_time,
        config: ArchiveConfig | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._clock = clock
        self._queue_clock = queue_clock
        config = config or ArchiveConfig()
        self._is_object_first = config.is_object_first
        self.nodes = Nodes(database, spool, config.node, clock=clock, shared_clock=queue_clock)
        holdings = Holdings(database, store, spool, self.nodes)
        self.search = Search(database, silent_nodes=self.nodes.silent)
        self.derive = Derive(database, store, holdings, guard, clock=clock)
        self.retrieve = Retrieve(database, holdings, self.derive, guard)
        self.conflicts = Conflicts(database, holdings, guard, policy=config.conflict_policy, queue_clock=queue_clock)
        self.removals = Removals(database, store, clock=clock, queue_clock=queue_clock)
        self._rejection_notes = RejectionNotes(database, holdings, self.removals, clock=clock, queue_clock=queue_clock)
        self.commitments = Commitments(database, clock=queue_clock)
        self.asked_commitments = AskedCommitments(database, clock=queue_clock)
        self._lock = Lock()
        self._directory: SpoolDirectory | None = None
        self._ingest: Ingest | None = None

    @property
    def ingest(self) -> Ingest:
        """The way in; the first use opens this process's directory of the spool and its batch writer."""
        with self._lock:
            if self._ingest is None:
                self._directory = self._spool.open_directory()
                self._ingest = Ingest(
                    self._spool,
                    self._directory,
                    self._writer(),
                    clock=self._clock,
                    object_first=ObjectFirst(self._database, self._store, self._spool)
                    if self._is_object_first
                    else None,
                )
            return self._ingest

    def shipper(self) -> Shipper:
        """Return what moves this node's spool into the object store."""
        return Shipper(self._database, self._spool, self._store, clock=self._clock)

    @contextmanager
    def recovery(self, *, facility: str) -> Iterator[Recovery]:
        """Open what takes over the spool directories of dead processes."""
        writer = self._writer()
        recovery = Recovery(self._database, self._spool, writer, facility=facility)
        try:
            yield recovery
        finally:
            writer.close()
            recovery.close()

    def handlers(self) -> dict[str, Handler]:
        """Return what does the archive's jobs."""

        def derive(job: Job) -> int | None:
            return self.derive.run(int(job.key))

        def compare(job: Job) -> None:
            self.conflicts.compare(int(job.key))

        return {DERIVE: derive, COMPARE: compare, TOMBSTONE: self.removals.record}

    def prompt_handlers(self) -> dict[str, Handler]:
        """Return what does the jobs that somebody waits for: checks of storage commitments, rejections."""
        check = CommitmentCheck(self._database, self._store, clock=self._queue_clock)
        return {COMMITMENT_CHECK: check.run, REJECTION: self._rejection_notes.run}

    def is_receiving(self) -> bool:
        """Return whether something came to any node within the last second."""
        newest = select(instance.c.received_at).order_by(instance.c.id.desc()).limit(1)
        with self._database.read() as connection:
            received_at = connection.execute(newest).scalar_one_or_none()
        return received_at is not None and to_microseconds(self._clock()) - received_at < _RECEIVING_FOR

    def close(self) -> None:
        """Commit what waits for the index and give the spool directory back."""
        with self._lock:
            if self._ingest is not None and self._directory is not None:
                self._ingest.close()
                self._directory.close(remove=True)
                self._ingest = self._directory = None

    def _writer(self) -> IndexWriter:
        return IndexWriter(self._database, BatchHooks(self._follow_up, self._spool.remove), node=self._spool.node)

    def _follow_up(self, connection: Connection, result: BatchResult) -> None:
        at = self._queue_clock(connection)
        enqueue(connection, DERIVE, (str(key) for key in result.series_keys), run_at=at + _DERIVE_AFTER)
        enqueue(connection, COMPARE, (str(key) for key in result.pending_keys), run_at=at)
        self._rejection_notes.follow_up(connection, result, at=at)
        announce(connection, INSTANCES_STORED, result.study_uids, at=at)
