"""A role ends with its supervisor, however that ends, and when it is told to."""

import ctypes
import os
import signal
import threading
from types import FrameType

SUPERVISOR_VARIABLE = "GATEWAY_SUPERVISOR"
"""Names the environment variable in which a supervisor tells its children its process ID."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent is gone."""
    parent = int(os.environ.get(SUPERVISOR_VARIABLE) or os.getppid())
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    # A Ctrl-C on a terminal reaches the whole group; the supervisor turns it into SIGTERM for everybody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stop
