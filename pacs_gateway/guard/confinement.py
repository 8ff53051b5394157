"""What a guarded process cannot do: reach a file, a socket or a network, keep much memory, work for long, outlive us.

References
----------
setrlimit(2), prctl(2), unshare(2)
"""

import ctypes
import logging
import math
import os
import resource
import signal
import warnings
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 4, 15, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_N_STANDARD = 3


def keep_open(*kept: int) -> None:
    """Close every descriptor but `kept`; what is below the last of them leads to ``/dev/null``.

    So nothing is open between them that could be opened anew.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    last = max(kept)
    for number in range(last):
        if number not in kept and number != nothing:
            os.dup2(nothing, number)
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))


def leave_network() -> None:
    """Have a network of our own in which there is nothing; where the kernel or the container refuses, go on without.

    The process must have one thread.
    """
    if os.geteuid() == 0:
        _libc.unshare(_CLONE_NEWNET)
    else:
        _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def ignore_what_ends_services() -> None:
    """Live on when the service is told to end: its last answers need us, and its end closes our socket."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def name_process(name: str) -> None:
    """Say in ``ps -e`` what this process is; 15 characters are shown."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def confine(channel: int, *, parent: int, memory_bytes: int) -> None:
    """Take everything from this process but `channel`, `memory_bytes` more than it has, and its parent's life."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # where cores go to a program, their limit does not hold
    warnings.simplefilter("ignore")  # they would be shown with the line they come from, which cannot be read
    logging.disable()
    before = _address_space_bytes()
    keep_open(channel)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, channel + 1),
        (resource.RLIMIT_AS, before + memory_bytes),
    ):
        resource.setrlimit(limit, (value, value))


def renew_cpu_time(seconds: int) -> None:
    """End this process once it has worked for `seconds` more; the kernel counts in whole ones, from its start on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = math.ceil(used.ru_utime + used.ru_stime) + seconds
    # Only the soft limit: a hard one could not be raised again for the next task.
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
