"""Which processes a node's role consists of."""

import socket
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from importlib import import_module

from pacs_gateway.config import GatewayConfig, Settings, compose
from pacs_gateway.guard import prepare as prepare_guard
from pacs_gateway.guard.tasks import load as load_guard
from pacs_gateway.roles import dicom, shipper, worker
from pacs_gateway.roles.memory import keep_freed_memory
from pacs_gateway.supervisor import Program
from pacs_gateway.telemetry.log import configure_logging

_Run = Callable[[GatewayConfig, threading.Event, Sequence[socket.socket]], None]


class Role(StrEnum):
    """What can be started apart with ``serve --role``."""

    ALL = "all"
    DICOM = "dicom"
    WEB = "web"
    WORKER = "worker"


def programs(
    role: Role,
    settings: Settings,
    *,
    dicom_sockets: Sequence[socket.socket],
    dicom_tls_sockets: Sequence[socket.socket] = (),
    web_sockets: Sequence[socket.socket],
    node_sockets: Sequence[socket.socket] = (),
) -> list[Program]:
    """Return the children of a role, with everything they need loaded; wherever something is received, a shipper.

    Where there are `node_sockets`, other nodes are served on them.
    """
    load_guard()
    children: list[Program] = []
    if role in (Role.ALL, Role.DICOM):
        for n in range(1, settings.dicom_workers + 1):
            serve_dicom: _Run = partial(dicom.run, tls_sockets=dicom_tls_sockets, is_first=n == 1)
            children.append(_program(f"dicom {n}", serve_dicom, settings, [*dicom_sockets, *dicom_tls_sockets]))
    if role in (Role.ALL, Role.WEB):
        # The web framework is not known here: what serves the web is found by name.
        web = import_module("viewer_api.worker")
        serve_web: _Run = partial(_drawing, web.run_beside_dicom if role is Role.ALL else web.run)
        children += [_program(f"web {n}", serve_web, settings, web_sockets) for n in range(1, settings.web_workers + 1)]
    if node_sockets:
        serve_nodes: _Run = partial(_drawing, import_module("viewer_api.worker").run_for_nodes)
        children.append(_program("node", serve_nodes, settings, node_sockets))
    if role is not Role.WORKER:
        children.append(_program("shipper", shipper.run, settings))
    if role in (Role.ALL, Role.WORKER):
        children.append(_program("worker", worker.run, settings))
    return children


def _program(name: str, run: _Run, settings: Settings, sockets: Sequence[socket.socket] = ()) -> Program:
    return Program(name, partial(_run, name, run, settings, sockets), tuple(sockets))


def _drawing(run: _Run, config: GatewayConfig, stop: threading.Event, sockets: Sequence[socket.socket]) -> None:
    """Run what draws: its guarded processes come from a fork that is made before there are threads."""
    prepare_guard()
    run(config, stop, sockets)


def _run(name: str, run: _Run, settings: Settings, sockets: Sequence[socket.socket], stop: threading.Event) -> None:
    """Be one child until `stop` is set."""
    keep_freed_memory()
    configure_logging(level=settings.log_level, log_format=settings.log_format, role=name.partition(" ")[0])
    run(compose(settings), stop, sockets)
