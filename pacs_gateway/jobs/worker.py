"""The loop that runs jobs: one process, one job at a time."""

import logging
import threading
from collections.abc import Callable, Mapping

from pacs_gateway.errors import CapacityError, GatewayError, UnavailableError
from pacs_gateway.jobs.queue import Job, JobQueue

_log = logging.getLogger(__name__)

# So long a job can wait for receiving to pause; what somebody asks for meanwhile is made on request.
_PATIENCE_S = 30.0

Handler = Callable[[Job], int | None]
"""Does a job; returns the time (UTC microseconds) to run it again, or None when it is done."""


class Worker:
    """Leases jobs of the kinds it has handlers for until it is stopped.

    While `is_busy` says that something more urgent is under way, jobs wait, for a while.
    """

    def __init__(
        self,
        queue: JobQueue,
        handlers: Mapping[str, Handler],
        *,
        idle_s: float = 0.2,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._queue = queue
        self._handlers = handlers
        self._idle_s = idle_s
        self._is_busy = is_busy

    def run(self, stop: threading.Event) -> None:
        """Run jobs until `stop` is set; the job under way is finished first."""
        while not stop.is_set():
            try:
                worked = self.run_one()
            except GatewayError as error:
                _log.warning("the queue is away: %s", error)
                worked = False
            if not worked:
                stop.wait(self._idle_s)

    def run_one(self) -> bool:
        """Run the job that is due longest; return whether there was one."""
        job = self._queue.lease(tuple(self._handlers), overdue_s=_PATIENCE_S if self._is_busy() else 0.0)
        if job is None:
            return False
        try:
            again_at = self._handlers[job.kind](job)
        except (UnavailableError, CapacityError) as error:
            # An outage may last longer than a job's attempts do, and is not the job's fault.
            _log.warning("job %s waits: %s", job.kind, error)
            self._queue.postpone(job, f"{type(error).__name__}: {error}")
        except GatewayError as error:
            _log.warning("job %s failed (attempt %d): %s", job.kind, job.attempts, error)
            self._queue.fail(job, f"{type(error).__name__}: {error}")
        except Exception as error:  # the thread's boundary: a broken job must not stop the others
            _log.exception("job %s broke (attempt %d)", job.kind, job.attempts)
            self._queue.fail(job, type(error).__name__)
        else:
            self._queue.finish(job, again_at=again_at)
        return True
