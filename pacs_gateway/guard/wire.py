"""What a guarded process and its caller say to each other: a JSON object and blobs of bytes, and no code (no pickle).

A message is the length of the JSON and the number of blobs (32 bits each), the length of each blob (64 bits), the JSON,
the blobs; integers are in this machine's byte order, which both ends share.
"""

import socket
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import orjson

from pacs_gateway.errors import InvalidMessageError

Json = dict[str, Any]
"""What our own code wrote, read again."""
Blob = bytes | bytearray | memoryview

_HEAD = struct.Struct("=II")
_MAX_JSON_BYTES = 1 << 20
_MAX_BLOBS = 100_000
_PIECE_BYTES = 4 << 20
MAX_MESSAGE_BYTES = 3 << 29
"""1.5 GiB, as much as a guarded process may have in memory."""


class Deadline(Protocol):
    """How long is left."""

    def __call__(self) -> float | None:
        """Return the seconds left, None for ever.

        Raises
        ------
        TimeoutError
            None are left.
        """


def no_deadline() -> None:
    """Wait for ever, as a guarded process does for its next task."""
    return


def until(at: float) -> Deadline:
    """Return the deadline at a time of the monotonic clock."""

    def left_s() -> float:
        if (left := at - monotonic()) <= 0:
            raise TimeoutError
        return left

    return left_s


def send(channel: socket.socket, value: Json, blobs: Sequence[Blob] = (), *, deadline: Deadline = no_deadline) -> None:
    """Send a message.

    Raises
    ------
    OSError
        The other end is gone, or the deadline has passed.
    """
    body = orjson.dumps(value)
    lengths = [len(blob) for blob in blobs]
    head = _HEAD.pack(len(body), len(blobs)) + struct.pack(f"={len(blobs)}Q", *lengths) + body
    for piece in (head, *blobs):
        channel.settimeout(deadline())
        channel.sendall(piece)


def receive(channel: socket.socket, *, deadline: Deadline = no_deadline) -> tuple[Json, list[bytes]]:
    """Wait for a message and return its value and blobs.

    Raises
    ------
    EOFError, OSError
        The other end is gone, or the deadline has passed.
    InvalidMessageError
        What came is no message.
    """
    n_json, n_blobs = _HEAD.unpack(_exactly(channel, _HEAD.size, deadline))
    if n_json > _MAX_JSON_BYTES or n_blobs > _MAX_BLOBS:
        raise InvalidMessageError("a guarded process was sent, or sent, too much")
    lengths = struct.unpack(f"={n_blobs}Q", _exactly(channel, 8 * n_blobs, deadline))
    if sum(lengths) > MAX_MESSAGE_BYTES:
        raise InvalidMessageError("a guarded process was sent, or sent, too much")
    body = _exactly(channel, n_json, deadline)
    blobs = [_exactly(channel, length, deadline) for length in lengths]
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidMessageError("a guarded process sent what is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidMessageError("a guarded process sent what is not an object")
    return value, blobs


def _exactly(channel: socket.socket, length: int, deadline: Deadline) -> bytes:
    pieces: list[bytes] = []
    while length:
        channel.settimeout(deadline())
        # Where the socket has no deadline a piece comes whole.
        piece = channel.recv(min(length, _PIECE_BYTES), socket.MSG_WAITALL)
        if not piece:
            raise EOFError
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
