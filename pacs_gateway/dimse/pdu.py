"""The PDUs we read or write as bytes ourselves: those of the hot path and those for peers we do not yet trust.

References
----------
PS3.8 9.3 (DICOM Upper Layer Protocol for TCP/IP data units structure)
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from pacs_gateway.errors import InvalidMessageError

HEADER_LENGTH = 6
MAX_ASSOCIATE_LENGTH = 256 * 1024
"""Bytes; 128 contexts with every transfer syntax need about 80 KiB."""
PDV_OVERHEAD = 6
"""Item length, context ID and message control header (PS3.8 9.3.5.1 and E.2)."""
MIN_PEER_PDU = 64
"""Bytes; a peer that takes only shorter ones is not served. DCMTK's own minimum is 4,096."""

_HEADER = struct.Struct(">BxL")
_DATA_HEADER = struct.Struct(">BxLLBB")


class PduType(IntEnum):
    """PS3.8 9.3.1."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Why the service provider aborts (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class PduError(InvalidMessageError):
    """A peer broke the upper layer protocol; `reason` is what the A-ABORT says."""

    def __init__(self, reason: AbortReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int


REJECTED = Rejection(1, 1, 1)
"""Permanent, service user, no reason given: the same for every cause, so that nothing can be probed."""
UNKNOWN_APPLICATION_CONTEXT = Rejection(1, 1, 2)
CONGESTED = Rejection(2, 3, 1)
LIMIT_EXCEEDED = Rejection(2, 3, 2)


def pdu_size(header: bytes | bytearray | memoryview, limit: int, offset: int = 0) -> int:
    """Return the size in bytes, header included, of the PDU whose header stands at `offset`.

    Raises
    ------
    PduError
        Its type does not exist, or it claims more than `limit` bytes.
    """
    kind, length = _HEADER.unpack_from(header, offset)
    if not PduType.ASSOCIATE_RQ <= kind <= PduType.ABORT:
        raise PduError(AbortReason.UNRECOGNISED_PDU, "unknown PDU type")
    if length > limit:
        raise PduError(AbortReason.INVALID_PARAMETER, "PDU longer than agreed")
    return HEADER_LENGTH + int(length)


def encode_abort(reason: AbortReason) -> bytes:
    """Return an A-ABORT of the service provider (PS3.8 9.3.8)."""
    return struct.pack(">BxLxxBB", PduType.ABORT, 4, 2, reason)


def encode_rejection(rejection: Rejection) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return struct.pack(">BxLxBBB", PduType.ASSOCIATE_RJ, 4, rejection.result, rejection.source, rejection.reason)


def parse_rejection(pdu: bytes | memoryview) -> Rejection:
    """Return what an A-ASSOCIATE-RJ says, reserved values included.

    Raises
    ------
    PduError
        It is too short to say anything.
    """
    if len(pdu) < 10:
        raise PduError(AbortReason.INVALID_PARAMETER, "A-ASSOCIATE-RJ too short")
    return Rejection(pdu[7], pdu[8], pdu[9])


def encode_data(context_id: int, fragments: bytes, *, is_command: bool, max_length: int) -> bytes:
    """Return `fragments` as P-DATA-TF PDUs of one PDV each.

    Parameters
    ----------
    max_length
        The peer's limit on the variable field of a PDU, in bytes (PS3.8 D.1); more than ``PDV_OVERHEAD``.
    """
    step = max_length - PDV_OVERHEAD
    parts: list[bytes] = []
    for start in range(0, len(fragments) or 1, step):
        fragment = fragments[start : start + step]
        control = int(is_command) | (2 if start + step >= len(fragments) else 0)
        size = len(fragment) + 2
        parts += (_DATA_HEADER.pack(PduType.DATA, size + 4, size, context_id, control), fragment)
    return b"".join(parts)


def raw_titles(pdu: bytes | memoryview) -> tuple[bytes, bytes]:
    """Return the 16 bytes of the called and of the calling AE title of an A-ASSOCIATE-RQ (PS3.8 Table 9-11).

    Raises
    ------
    PduError
        It is too short to hold them.
    """
    if len(pdu) < 74:
        raise PduError(AbortReason.INVALID_PARAMETER, "A-ASSOCIATE-RQ too short")
    return bytes(pdu[10:26]), bytes(pdu[26:42])


def pad_titles(pdu: bytes) -> bytes:
    """Return an A-ASSOCIATE-RQ with its titles padded by spaces, as they should be, where a peer used NUL."""
    return pdu[:10] + pdu[10:42].replace(b"\0", b" ") + pdu[42:]
