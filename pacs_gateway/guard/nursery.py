"""Where guarded processes come from: a process with one thread that has everything loaded and forks one when asked.

A service process has threads, and a fork of it could inherit a lock that is held. So it forks its nursery while it has
one thread (`prepare`, which ``serve`` does for every role), or, where it was not prepared (commands, tests), starts
one anew, which loads everything by itself. There is one nursery for a process; it ends with it.
"""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import orjson

from pacs_gateway.errors import UnavailableError
from pacs_gateway.guard import child, confinement
from pacs_gateway.guard.tasks import Task

_MAX_REQUEST_BYTES = 4096
_START_DEADLINE_S = 60.0
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Order:
    """What a new process is to be."""

    tasks: str = "pacs_gateway.guard.tasks:load"
    """The function that loads and returns its table of tasks."""
    memory_bytes: int = 3 << 29
    """How much it may have beyond what it starts with (promises B9: 1.5 GiB)."""
    cpu_s: int = 10
    """How long it may work on one task, in seconds of processor time."""


@dataclass(frozen=True, slots=True)
class Born:
    """A new guarded process."""

    channel: socket.socket
    pidfd: int
    """A handle on it that never means another process."""

    def is_idle(self) -> bool:
        """Return whether it lives and has said nothing unasked."""
        listening = select.poll()
        listening.register(self.channel, select.POLLIN)
        return not listening.poll(0)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def discard(self) -> None:
        """Let go of it: without its channel it ends when it is idle."""
        self.channel.close()
        os.close(self.pidfd)


class _Nursery:
    """Our end of a nursery."""

    def __init__(self, control: socket.socket, wait: Callable[[], object]) -> None:
        """Take our end of its control socket, and what waits for its end."""
        control.settimeout(_START_DEADLINE_S)
        self._control = control
        self._wait = wait
        self._owner = os.getpid()

    def is_ours(self) -> bool:
        """Return whether it was made for this process, and not for one that this is a fork of."""
        return self._owner == os.getpid()

    def bear(self, order: Order) -> Born:
        """Have a process forked.

        Raises
        ------
        OSError
            The nursery is gone.
        """
        self._control.send(orjson.dumps(asdict(order)))
        _, descriptors, _, _ = socket.recv_fds(self._control, 1, 2, socket.MSG_CMSG_CLOEXEC)
        if len(descriptors) != 2:
            raise ConnectionResetError("the nursery has ended")
        return Born(socket.socket(fileno=descriptors[0]), descriptors[1])

    def close(self) -> None:
        """End it, and with it its children."""
        self._control.close()
        self._wait()


_current: _Nursery | None = None


def prepare() -> None:
    """Fork this process's nursery; it must have no other thread."""
    global _current
    assert threading.active_count() == 1
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        # Nothing of the service's own stack may unwind here.
        try:
            run(theirs.fileno())
        finally:
            os._exit(1)
    theirs.close()
    _current = _Nursery(control, partial(os.waitpid, pid, 0))


def bear(order: Order) -> Born:
    """Return a new guarded process; thread-safe.

    Raises
    ------
    UnavailableError
        There can be none now.
    """
    global _current
    with _lock:
        try:
            if _current is not None and _current.is_ours():
                with suppress(OSError):  # it was killed: another takes over
                    return _current.bear(order)
                _current.close()
            _current = _start()
            return _current.bear(order)
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError("no process could be started to work on the image") from error


def _start() -> _Nursery:
    """Start a nursery from nothing."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-P", "-m", "pacs_gateway.guard", str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=os.environ | {"PYTHONPATH": root}
        )
    nursery = _Nursery(control, process.wait)
    atexit.register(nursery.close)
    return nursery


def run(control: int) -> NoReturn:
    """Be a nursery on an open descriptor, until the other end is closed."""
    confinement.ignore_what_ends_services()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for its children
    confinement.name_process("guard nursery")
    confinement.keep_open(control, sys.stderr.fileno())
    confinement.leave_network()
    with socket.socket(fileno=control) as channel:
        while request := channel.recv(_MAX_REQUEST_BYTES):
            _fork(channel, Order(**orjson.loads(request)))
    os._exit(0)


def _fork(control: socket.socket, order: Order) -> None:
    """Fork a guarded process and hand out our end of its channel."""
    tasks = _load(order.tasks)
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            confinement.name_process("guard")
            child.live(theirs, tasks, parent=parent, memory_bytes=order.memory_bytes, cpu_s=order.cpu_s)
        pidfd = os.pidfd_open(pid)
        try:
            socket.send_fds(control, [b"\0"], [ours.fileno(), pidfd])
        finally:
            os.close(pidfd)


@cache
def _load(name: str) -> Mapping[str, Task]:
    module, _, function = name.partition(":")
    tasks: Mapping[str, Task] = getattr(import_module(module), function)()
    return tasks
