"""The guarded processes of one service: who waits for one, who has one, and what happens when one is lost."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from pacs_gateway.errors import CapacityError, InvalidInstanceError, InvalidMessageError, UnavailableError
from pacs_gateway.guard import wire
from pacs_gateway.guard.child import ERRORS
from pacs_gateway.guard.nursery import Born, Order, bear

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one pool allows."""

    n_processes: int
    n_waiting: int = 32
    """Below the 40 threads of a web process: who asks for no picture gets one of the others."""
    wait_s: float = 10.0
    """How long a caller waits for a free process: as long as a lost task holds one."""
    task_s: float = 11.0
    """How long a task may take, whatever it does in that time."""
    order: Order = field(default_factory=Order)


class Pool:
    """Guarded processes, started when first needed; thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._free: list[Born] = []
        self._n_taken = self._n_waiting = 0
        self._busy: set[Born] = set()
        self._is_closed = False

    def call(self, task: str, parameters: wire.Json, blobs: Sequence[wire.Blob]) -> list[bytes]:
        """Have a task done and return its results.

        Raises
        ------
        InvalidInstanceError
            It could not be done within the limits, or the process was lost over it.
        UnsupportedSyntaxError, InputError, NotFoundError
            The task says so.
        CapacityError
            All processes are busy.
        UnavailableError
            There can be no process now.
        """
        process = self._take()
        is_fit = False
        try:
            answer, results = _ask(process, {"task": task, "parameters": parameters}, blobs, self._limits.task_s)
            is_fit = not answer.get("is_last")
        except (EOFError, OSError, InvalidMessageError) as error:
            _log.warning("a guarded process was lost over %s (%s)", task, type(error).__name__)
            message = "took too long" if isinstance(error, TimeoutError) else "ended the process that worked on it"
            raise InvalidInstanceError(f"the image {message}") from None
        finally:
            self._give_back(process, is_fit=is_fit)
        if "error" in answer:
            if "broke_at" in answer:
                _log.error("%s broke at %s: %s", task, answer["broke_at"], answer["message"])
            raise ERRORS[answer["error"]](answer["message"])
        return results

    def close(self) -> None:
        """End the processes, the busy ones too."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            for process in self._busy:
                process.kill()
            while self._free:
                self._free.pop().discard()

    def _take(self) -> Born:
        """Return a process for one task, a new one where none is free."""
        with self._changed:
            self._wait_for_turn()
            self._n_taken += 1
            process = self._free.pop() if self._free else None
        try:
            process = self._alive(process)
        except BaseException:
            self._end_turn()
            raise
        with self._changed:
            self._busy.add(process)
        return process

    def _wait_for_turn(self) -> None:
        """Wait until fewer tasks are done than may be, those that came before going first."""
        limits = self._limits

        def is_free() -> bool:
            return self._is_closed or self._n_taken < limits.n_processes

        if self._n_waiting or not is_free():
            if self._n_waiting >= limits.n_waiting:
                raise CapacityError("too many images are being worked on; try again")
            self._n_waiting += 1
            try:
                if not self._changed.wait_for(is_free, limits.wait_s):
                    raise CapacityError("other images take long to be worked on; try again")
            finally:
                self._n_waiting -= 1
        if self._is_closed:
            raise UnavailableError("no more images are worked on: the service ends")

    def _alive(self, process: Born | None) -> Born:
        if process is not None:
            if process.is_idle():
                return process
            process.discard()  # something ended it while it had nothing to do
        return bear(self._limits.order)

    def _give_back(self, process: Born, *, is_fit: bool) -> None:
        if not is_fit:
            process.kill()
        with self._changed:
            self._busy.remove(process)
            if is_fit and not self._is_closed:
                self._free.append(process)
            else:
                process.discard()
        self._end_turn()

    def _end_turn(self) -> None:
        with self._changed:
            self._n_taken -= 1
            self._changed.notify()


def _ask(
    process: Born, request: wire.Json, blobs: Sequence[wire.Blob], within_s: float
) -> tuple[wire.Json, list[bytes]]:
    deadline = wire.until(monotonic() + within_s)
    wire.send(process.channel, request, blobs, deadline=deadline)
    answer, results = wire.receive(process.channel, deadline=deadline)
    error, message = answer.get("error"), answer.get("message")
    # Whoever has taken a process over may say anything.
    if error is not None and not (isinstance(error, str) and error in ERRORS and isinstance(message, str)):
        raise InvalidMessageError("a guarded process sent an error that is none of ours")
    return answer, results
