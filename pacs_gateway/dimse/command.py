"""Command sets of C-STORE, parsed and built as bytes: the only ones on the hot path.

A command set is always Implicit VR Little Endian, group 0000 only (PS3.7 6.3.1).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.domain.uids import is_uid

C_STORE_RQ = 0x0001
_C_STORE_RSP = 0x8001
_NO_DATA_SET = 0x0101

_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000

_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command set says about itself."""

    field: int
    has_data_set: bool
    elements: Mapping[int, bytes]
    """Encoded values by element number."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 9.3.1.1); the UIDs are as received, without padding."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def parse_command(encoded: bytes | bytearray) -> Command:
    """Return the command set in `encoded`.

    Raises
    ------
    PduError
        It is not a command set.
    """
    elements: dict[int, bytes] = {}
    offset, end = 0, len(encoded)
    while offset < end:
        if end - offset < _ELEMENT.size:
            raise PduError(AbortReason.INVALID_PARAMETER, "truncated command set")
        group, element, length = _ELEMENT.unpack_from(encoded, offset)
        start = offset + _ELEMENT.size
        offset = start + length
        if group or offset > end:
            raise PduError(AbortReason.INVALID_PARAMETER, "malformed command set")
        elements[element] = bytes(encoded[start:offset])
    return Command(
        field=_number(elements, _COMMAND_FIELD),
        has_data_set=_number(elements, _COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
        elements=elements,
    )


def store_request(command: Command) -> StoreRequest:
    """Return the C-STORE-RQ in `command`.

    Raises
    ------
    PduError
        It has no message ID, so that it could not be answered.
    """
    return StoreRequest(
        message_id=_number(command.elements, _MESSAGE_ID),
        sop_class_uid=_text(command.elements, _AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_text(command.elements, _AFFECTED_SOP_INSTANCE_UID),
        has_data_set=command.has_data_set,
    )


def encode_store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Return the command set of the C-STORE-RSP (PS3.7 9.3.1.2).

    Parameters
    ----------
    comment
        Error Comment: ASCII, at most 64 characters.
    """
    body = b"".join(
        (
            _encode_uid(_AFFECTED_SOP_CLASS_UID, request.sop_class_uid),
            _encode_us(_COMMAND_FIELD, _C_STORE_RSP),
            _encode_us(_MESSAGE_ID_RESPONDED_TO, request.message_id),
            _encode_us(_COMMAND_DATA_SET_TYPE, _NO_DATA_SET),
            _encode_us(_STATUS, status),
            _encode(_ERROR_COMMENT, comment.encode("ascii", "replace"), b" ") if comment else b"",
            _encode_uid(_AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid),
        )
    )
    return _encode(0x0000, struct.pack("<L", len(body)), b"") + body


def _number(elements: Mapping[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != _US.size:
        raise PduError(AbortReason.INVALID_PARAMETER, "command set without a mandatory element")
    (number,) = _US.unpack(value)
    return int(number)


def _text(elements: Mapping[int, bytes], element: int) -> str:
    return elements.get(element, b"").decode("ascii", "replace").rstrip("\0 ")


def _encode(element: int, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value


def _encode_us(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _US.size) + _US.pack(value)


def _encode_uid(element: int, uid: str) -> bytes:
    # What is not a UID is not echoed: the response would be as malformed as the request.
    return _encode(element, uid.encode("ascii"), b"\0") if is_uid(uid) else b""
