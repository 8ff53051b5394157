"""One child of the supervisor: a fork of it that has everything loaded, runs its program and ends with its parent."""

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType

from pacs_gateway.errors import GatewayError

_log = logging.getLogger(__name__)

_TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


@dataclass(frozen=True, slots=True)
class Program:
    """What a child does."""

    name: str
    """For the log and for ``ps -e``, which shows the first 15 characters."""
    run: Callable[[threading.Event], None]
    """Works until the event is set, which SIGTERM does; a `GatewayError` is said in one line."""
    sockets: tuple[socket.socket, ...] = ()
    """Listening sockets it serves; those of the others are closed in its process."""


def fork(program: Program, others: Iterable[socket.socket]) -> int:
    """Start `program` in a process of its own; return its number.

    The caller must be the only thread of its process: a lock that another thread holds would stay held in the child.
    """
    parent = os.getpid()
    # A signal that comes before the child has its own handlers waits until it has.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_END)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            # Nothing of the supervisor's own stack, its context managers among it, may unwind here.
            os._exit(_live(program, others, parent, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(
    program: Program, others: Iterable[socket.socket], parent: int, signals_blocked: Iterable[signal.Signals | int]
) -> int:
    """Run the program in the new process; return its exit status."""
    try:
        stop = _stop_on_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, signals_blocked)
        _libc.prctl(_PR_SET_NAME, program.name.encode(), 0, 0, 0)
        _die_with(parent)
        for listening in others:
            listening.close()
        program.run(stop)
    except GatewayError as error:
        _log.critical("%s", error)
        return 1
    except BaseException:  # the boundary of a process
        _log.exception("%s broke", program.name)
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _die_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def _stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM sets."""
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    # A Ctrl-C on a terminal reaches the whole group; the supervisor turns it into SIGTERM for everybody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stop
