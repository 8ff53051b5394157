"""The life of a guarded process: one task after the other, until its socket is closed or a task ends it."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from pacs_gateway.errors import GatewayError, InputError, InvalidInstanceError, NotFoundError, UnsupportedSyntaxError
from pacs_gateway.guard import confinement, wire
from pacs_gateway.guard.tasks import Task

ERRORS: Mapping[str, type[GatewayError]] = MappingProxyType(
    {kind.__name__: kind for kind in (InvalidInstanceError, UnsupportedSyntaxError, InputError, NotFoundError)}
)
"""What a task may say; anything else is the fault of the bytes it was given."""


def live(channel: socket.socket, tasks: Mapping[str, Task], *, parent: int, memory_bytes: int, cpu_s: int) -> NoReturn:
    """Be a guarded process."""
    status = 1
    try:
        confinement.confine(channel.fileno(), parent=parent, memory_bytes=memory_bytes)
        while True:
            request, blobs = wire.receive(channel)
            confinement.renew_cpu_time(cpu_s)
            answer, results = _done(tasks, request, blobs)
            del blobs
            wire.send(channel, answer, results)
            if answer.get("is_last"):
                break
    except (EOFError, OSError):
        status = 0  # nobody is there any more
    finally:
        # Nothing of what this process was forked from may unwind here.
        os._exit(status)


def _done(tasks: Mapping[str, Task], request: wire.Json, blobs: list[bytes]) -> tuple[wire.Json, Sequence[wire.Blob]]:
    """Do a task; return what to answer."""
    try:
        return {}, tasks[request["task"]](request["parameters"], blobs)
    except MemoryError:
        # What is left of it may be in pieces: the next task gets another process.
        return _failure(InvalidInstanceError, "the image needs too much memory") | {"is_last": True}, ()
    except tuple(ERRORS.values()) as error:
        kind = next(kind for kind in type(error).__mro__ if kind.__name__ in ERRORS)
        return _failure(kind, str(error)), ()
    except Exception as error:
        name = type(error).__name__
        return _failure(InvalidInstanceError, f"the image cannot be worked on ({name})") | {"broke_at": _place()}, ()


def _failure(kind: type[BaseException], message: str) -> wire.Json:
    return {"error": kind.__name__, "message": message}


def _place() -> str:
    """Return where the exception that is handled was raised, without its words about the data."""
    at = sys.exc_info()[2]
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{os.path.basename(at.tb_frame.f_code.co_filename)}:{at.tb_lineno}" if at is not None else ""
