"""Tasks that do what a codec does that somebody has taken over, or that is broken."""

import ctypes
import os
import resource
import socket
import struct
from collections.abc import Mapping, Sequence
from time import process_time, sleep
from types import MappingProxyType

import orjson

from pacs_gateway.errors import InputError, MismatchError, NotFoundError, UnsupportedSyntaxError
from pacs_gateway.guard.tasks import Task
from pacs_gateway.guard.wire import Blob, Json

_PR_GET_NO_NEW_PRIVS, _PR_GET_DUMPABLE = 39, 3
_SAID = {kind.__name__: kind for kind in (InputError, MismatchError, NotFoundError, UnsupportedSyntaxError)}


def load() -> Mapping[str, Task]:
    """Return the tasks."""
    return TASKS


def _echo(_parameters: Json, blobs: list[bytes]) -> Sequence[Blob]:
    return blobs


def _number(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    """Return which process this is, and which it was forked from."""
    return [str(os.getpid()).encode(), str(os.getppid()).encode()]


def _allocate(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    return [str(len(bytearray(parameters["n_bytes"]))).encode()]


def _loop(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    while True:
        pass


def _work(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    until = process_time() + parameters["seconds"]
    while process_time() < until:
        pass
    return []


def _sleep(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    sleep(parameters["seconds"])
    return []


def _leave(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    os._exit(0)


def _crash(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    ctypes.string_at(0)
    return []


def _say(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    raise _SAID[parameters["error"]](parameters["message"])


def _break(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    raise KeyError("Nguyen^Van^A")


def _talk_rubbish(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    os.write(_channel(), b"\xff" * 64)
    sleep(60)
    return []


def _lie(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    """Answer past the one who asks, as somebody who has taken the process over can."""
    body = orjson.dumps(parameters["answer"])
    os.write(_channel(), struct.pack("=II", len(body), 0) + body)
    sleep(60)
    return []


def _reach(parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    """Try to get at something, and return what came of it."""
    try:
        _WAYS_OUT[parameters["way"]]()
    except OSError as error:
        return [f"refused: {error.strerror}".encode()]
    return [b"done"]


def _facts(_parameters: Json, _blobs: list[bytes]) -> Sequence[Blob]:
    """Return what this process may: its limits, its open descriptors that are not /dev/null."""
    libc = ctypes.CDLL(None)
    null = os.stat(os.devnull).st_rdev
    kept = [n for n in range(256) if _is_open(n) and os.fstat(n).st_rdev != null]
    cores = resource.getrlimit(resource.RLIMIT_CORE)
    facts = (len(kept), cores, libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    return [repr(facts).encode()]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _channel() -> int:
    """Return the number of the one descriptor that is a socket."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1


_WAYS_OUT = {
    "open a file": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
    "open a socket": lambda: socket.socket().close(),
    "duplicate": lambda: os.close(os.dup(0)),
    "open a pipe": lambda: os.close(os.pipe()[0]),
}

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "allocate": _allocate,
        "break": _break,
        "crash": _crash,
        "echo": _echo,
        "facts": _facts,
        "leave": _leave,
        "loop": _loop,
        "number": _number,
        "lie": _lie,
        "reach": _reach,
        "say": _say,
        "sleep": _sleep,
        "talk rubbish": _talk_rubbish,
        "work": _work,
    }
)
