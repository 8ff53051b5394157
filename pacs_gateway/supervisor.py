"""The supervisor: binds each port once, starts the roles as processes, restarts what dies, ends in order.

The listening sockets are its own and are inherited by the children: a dead child costs nobody a connection that waits
in the backlog, and a second gateway cannot share a port unseen (no SO_REUSEPORT).
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from types import FrameType

from pacs_gateway.errors import ConfigurationError
from pacs_gateway.roles.lifeline import SUPERVISOR_VARIABLE

_log = logging.getLogger(__name__)

_BACKLOG = 128
_GRACE_S = 30.0
_KILL_AFTER_S = _GRACE_S + 5.0
_RESTART_FIRST_S, _RESTART_LAST_S = 0.2, 10.0
_STABLE_S = 30.0
_LOOK_S = 0.1


class Role(StrEnum):
    """What can be started apart with ``serve --role``."""

    ALL = "all"
    DICOM = "dicom"
    WEB = "web"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Program:
    """One child: a name for the log, and its command without the descriptors it inherits."""

    name: str
    command: tuple[str, ...]
    sockets: tuple[socket.socket, ...] = ()


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Return listening sockets for every host; port 0 takes a free one, the same for all hosts.

    Raises
    ------
    ConfigurationError
        The port is taken, or the host is none of this machine's.
    """
    sockets: list[socket.socket] = []
    for host in hosts:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            name = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0][4]
            listening = socket.create_server(
                name[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=host in ("::", "[::]")
            )
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
        listening.setblocking(False)
        sockets.append(listening)
        port = port or listening.getsockname()[1]
    return sockets


@dataclass(slots=True)
class _Child:
    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    restart_at: float = 0.0
    delay_s: float = _RESTART_FIRST_S


class Supervisor:
    """Keeps the children of one gateway running until it is told to stop."""

    def __init__(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        self._children = [_Child(program) for program in programs]
        self._environment = dict(os.environ) | dict(environment) | {SUPERVISOR_VARIABLE: str(os.getpid())}
        self._stop = threading.Event()

    def run(self) -> None:
        """Start the children and stay until SIGTERM or SIGINT; return when all of them have ended."""

        def handle(_signal: int, _frame: FrameType | None) -> None:
            self._stop.set()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
        for child in self._children:
            self._start(child)
        while not self._stop.wait(_LOOK_S):
            for child in self._children:
                self._look_after(child)
        self._end()

    def _start(self, child: _Child) -> None:
        descriptors = [listening.fileno() for listening in child.program.sockets]
        child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [*child.program.command, *map(str, descriptors)], env=self._environment, pass_fds=descriptors
        )
        child.started_at = monotonic()

    def _look_after(self, child: _Child) -> None:
        """Start a child that died again, later and later when it does not stay up."""
        if child.process is not None:
            status = child.process.poll()
            if status is None:
                return
            if monotonic() - child.started_at > _STABLE_S:
                child.delay_s = _RESTART_FIRST_S
            _log.error("%s ended with status %d; starting it again", child.program.name, status)
            child.process = None
            child.restart_at = monotonic() + child.delay_s
            child.delay_s = min(child.delay_s * 2, _RESTART_LAST_S)
        if monotonic() >= child.restart_at:
            self._start(child)

    def _end(self) -> None:
        """Ask every child to finish; the last ones, who take over from the others, go last."""
        deadline = monotonic() + _KILL_AFTER_S
        receiving = [child.process for child in self._children if child.process and child.program.sockets]
        others = [child.process for child in self._children if child.process and not child.program.sockets]
        for running in (receiving, others):
            self._end_all(running, deadline)

    @staticmethod
    def _end_all(running: "Sequence[subprocess.Popen[bytes]]", deadline: float) -> None:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("a child did not end within %d s and is killed", _KILL_AFTER_S)
                process.kill()
                process.wait()


def programs(
    role: Role, *, dicom: Sequence[socket.socket], web: Sequence[socket.socket], n_dicom: int, n_web: int
) -> list[Program]:
    """Return the children of a role; wherever something is received there is a shipper."""
    python = (sys.executable, "-m")
    headless = (*python, "pacs_gateway.roles")
    children: list[Program] = []
    if role in (Role.ALL, Role.DICOM):
        children += [Program(f"dicom {n + 1}", (*headless, "dicom"), tuple(dicom)) for n in range(n_dicom)]
    if role in (Role.ALL, Role.WEB):
        # The web framework is not known here: its process is started by name.
        children += [Program(f"web {n + 1}", (*python, "viewer_api", "--fd"), tuple(web)) for n in range(n_web)]
    if role is not Role.WORKER:
        children.append(Program("shipper", (*headless, "shipper")))
    if role in (Role.ALL, Role.WORKER):
        children.append(Program("worker", (*headless, "worker")))
    return children


def serve(role: Role, children: Sequence[Program], environment: Mapping[str, str]) -> None:
    """Run the children of `role` until told to stop, then close their sockets."""
    with ExitStack() as stack:
        for program in children:
            for listening in program.sockets:
                stack.callback(listening.close)
        Supervisor(children, environment).run()
    _log.info("%s ended", role)
