"""The supervisor: starts programs as processes, restarts what dies, ends them in order.

Its children are forks: what they need is loaded once, by the supervisor, so that a start costs the imports of one
process and a child that died is back at once. That is safe because the supervisor has one thread and holds nothing
open but listening sockets, which its children inherit: a dead child costs nobody a connection that waits in the
backlog, and a second gateway cannot share a port unseen (no SO_REUSEPORT).
"""

import gc
import logging
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from types import FrameType

from pacs_gateway.supervisor.child import Program, fork

_log = logging.getLogger(__name__)

_GRACE_S = 30.0
_KILL_AFTER_S = _GRACE_S + 5.0
_RESTART_FIRST_S, _RESTART_LAST_S = 0.2, 10.0
_STABLE_S = 30.0
_LOOK_S = 0.1
_LOOK_AT_THE_END_S = 0.02


@dataclass(slots=True)
class _Child:
    program: Program
    pid: int = 0
    """0 while it does not run."""
    started_at: float = 0.0
    restart_at: float = 0.0
    delay_s: float = _RESTART_FIRST_S

    def ended(self) -> int | None:
        """Return its exit status (negative: the signal that ended it) once it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


class Supervisor:
    """Keeps the children of one gateway running until it is told to stop."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._children = [_Child(program) for program in programs]
        self._sockets = {listening for program in programs for listening in program.sockets}
        self._stop = threading.Event()

    def run(self) -> None:
        """Start the children and stay until SIGTERM or SIGINT; return when all of them have ended.

        The process must have no other thread.
        """

        def handle(_signal: int, _frame: FrameType | None) -> None:
            self._stop.set()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
        # Pages that the collector never touches stay shared between the children.
        gc.collect()
        gc.freeze()
        for child in self._children:
            self._start(child)
        while not self._stop.wait(_LOOK_S):
            for child in self._children:
                self._look_after(child)
        self._end()

    def _start(self, child: _Child) -> None:
        child.pid = fork(child.program, self._sockets.difference(child.program.sockets))
        child.started_at = monotonic()

    def _look_after(self, child: _Child) -> None:
        """Start a child that died again, later and later when it does not stay up."""
        if child.pid:
            status = child.ended()
            if status is None:
                return
            if monotonic() - child.started_at > _STABLE_S:
                child.delay_s = _RESTART_FIRST_S
            _log.error("%s ended with status %d; starting it again", child.program.name, status)
            child.restart_at = monotonic() + child.delay_s
            child.delay_s = min(child.delay_s * 2, _RESTART_LAST_S)
        if monotonic() >= child.restart_at:
            self._start(child)

    def _end(self) -> None:
        """Ask every child to finish; the last ones, who take over from the others, go last."""
        deadline = monotonic() + _KILL_AFTER_S
        running = [child for child in self._children if child.pid]
        self._end_all([child for child in running if child.program.sockets], deadline)
        self._end_all([child for child in running if not child.program.sockets], deadline)

    @staticmethod
    def _end_all(running: Sequence[_Child], deadline: float) -> None:
        for child in running:
            os.kill(child.pid, signal.SIGTERM)  # nobody else waits for it: its number is its own until we have
        left = list(running)
        while left and monotonic() < deadline:
            left = [child for child in left if child.ended() is None]
            if left:
                sleep(_LOOK_AT_THE_END_S)
        for child in left:
            _log.warning("%s did not end within %d s and is killed", child.program.name, _KILL_AFTER_S)
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
