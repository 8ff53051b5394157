"""The batch writer: one per process, group commit (promises: SQLite settings).

Instances that arrive together are committed together. Who must know that the index has it waits on a future; who must
not (a C-STORE is answered from the spool) goes on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Connection

from pacs_gateway.database.engine import Database
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.errors import CapacityError, GatewayError, UnavailableError
from pacs_gateway.index.arrival import Arrival
from pacs_gateway.index.rows import BatchResult, Outcome, write_batch

_log = logging.getLogger(__name__)

_RETRY_FIRST_S, _RETRY_LAST_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A received object that is durable, and what became of it in the index (None where nobody waited)."""

    record: InstanceRecord
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """How instances are gathered into transactions."""

    max_batch: int = 256
    gather_s: float = 0.05
    """How long the first instance of a batch waits for company when nobody waits for it."""


@dataclass(frozen=True, slots=True)
class BatchHooks:
    """What else belongs into, or after, the batch's transaction."""

    in_transaction: Callable[[Connection, BatchResult], None]
    """Jobs and events that follow from the batch."""
    superfluous: Callable[[list[str]], None]
    """Spool entries that the index does not need: their content is already kept."""


@dataclass(slots=True)
class _Waiting:
    arrival: Arrival
    future: Future[Outcome]


class IndexWriter:
    """Gathers arrivals and commits them; safe to use from many threads."""

    def __init__(self, database: Database, hooks: BatchHooks, config: WriterConfig | None = None, *, node: str) -> None:
        self._database = database
        self._node = node
        self._hooks = hooks
        self._config = config or WriterConfig()
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._urgent = False
        self._closing = False
        self.unindexed: list[str] = []
        """Spool entries whose rows the index refused: they stay in the spool and are alarmed."""
        self._thread = threading.Thread(target=self._run, name="index-writer", daemon=True)
        self._thread.start()

    def submit(
        self, record: InstanceRecord, entry: str, *, urgent: bool = False, archived_at: int | None = None
    ) -> Future[Outcome]:
        """Queue an instance; the future tells its outcome once it is committed.

        With `urgent` the batch is committed at once instead of waiting for company. With `archived_at` (UTC
        microseconds) the object store has the bytes already, and the entry is dropped once that is committed.
        """
        received_at = round(record.received_at.timestamp() * 1_000_000)
        waiting = _Waiting(Arrival(record, entry, received_at, self._node, archived_at), Future())
        with self._changed:
            self._queue.append(waiting)
            self._urgent |= urgent
            if urgent or len(self._queue) == 1 or len(self._queue) >= self._config.max_batch:
                self._changed.notify()
        return waiting.future

    @property
    def backlog(self) -> int:
        """How many instances wait to be committed."""
        return len(self._queue)

    def close(self) -> None:
        """Commit what waits and stop; what cannot be committed now stays in the spool for the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        delay = _RETRY_FIRST_S
        while (batch := self._gather()) is not None:
            try:
                self._commit(batch)
                delay = _RETRY_FIRST_S
            except (UnavailableError, CapacityError) as error:
                _log.warning("index away, %d instances wait in the spool: %s", len(batch) + len(self._queue), error)
                with self._changed:
                    self._queue.extendleft(reversed(batch))
                    if self._closing:
                        self._abandon(error)
                        return
                    self._changed.wait_for(lambda: self._closing, timeout=delay)
                delay = min(delay * 2, _RETRY_LAST_S)
            except Exception:  # the thread's boundary: a batch that fails for another reason is taken apart
                _log.exception("a batch of %d was refused by the index; trying one by one", len(batch))
                self._one_by_one(batch)

    def _gather(self) -> list[_Waiting] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            deadline = monotonic() + self._config.gather_s
            while not (self._urgent or self._closing or len(self._queue) >= self._config.max_batch):
                remaining = deadline - monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._config.max_batch))]
            if not self._queue:
                self._urgent = False
            return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        arrivals = [waiting.arrival for waiting in batch]

        def write(connection: Connection) -> BatchResult:
            result = write_batch(connection, arrivals)
            self._hooks.in_transaction(connection, result)
            return result

        result = self._database.transact(write)
        if result.superfluous:
            self._drop(list(result.superfluous))
        for waiting, outcome in zip(batch, result.outcomes, strict=True):
            waiting.future.set_result(outcome)

    def _drop(self, entries: list[str]) -> None:
        try:
            self._hooks.superfluous(entries)
        except (OSError, GatewayError) as error:  # the batch is committed: what stays is dropped by the next start
            _log.warning("%d superfluous spool entries stay for now: %s", len(entries), error)

    def _abandon(self, error: GatewayError) -> None:
        """Tell those who wait that the index did not come back before the end."""
        while self._queue:
            failure = UnavailableError("the index is away; the instance is safe in the spool")
            failure.__cause__ = error
            self._queue.popleft().future.set_exception(failure)

    def _one_by_one(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            try:
                self._commit([waiting])
            except GatewayError as error:
                self._give_up(waiting, error)
            except Exception as error:
                _log.exception("an instance was refused by the index; it stays in the spool")
                self._give_up(waiting, error)

    def _give_up(self, waiting: _Waiting, error: Exception) -> None:
        self.unindexed.append(waiting.arrival.entry)
        failure = UnavailableError("the index refused the instance; it is safe in the spool")
        failure.__cause__ = error
        waiting.future.set_exception(failure)
