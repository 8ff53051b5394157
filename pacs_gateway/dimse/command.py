"""Command sets, parsed and built as bytes.

A command set is always Implicit VR Little Endian, group 0000 only (PS3.7 6.3.1).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.domain.uids import is_uid

C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
N_EVENT_REPORT_RQ = 0x0100
N_ACTION_RQ = 0x0130
RESPONSE = 0x8000
"""What the command field of a response has beyond that of its request."""
_C_STORE_RSP = C_STORE_RQ | RESPONSE
_NO_DATA_SET = 0x0101
_HAS_DATA_SET = 0x0001
_GROUP_LENGTH = 0x0000


class Field(IntEnum):
    """Elements of a command set, by their number in group 0000 (PS3.7 E.1)."""

    # That of enumerations is a function in Python: a third of the time that encoding took.
    __hash__ = int.__hash__

    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ACTION_TYPE_ID = 0x1008
    REMAINING_SUBOPERATIONS = 0x1020
    COMPLETED_SUBOPERATIONS = 0x1021
    FAILED_SUBOPERATIONS = 0x1022
    WARNING_SUBOPERATIONS = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


_UIDS = frozenset(
    {
        Field.AFFECTED_SOP_CLASS_UID,
        Field.REQUESTED_SOP_CLASS_UID,
        Field.AFFECTED_SOP_INSTANCE_UID,
        Field.REQUESTED_SOP_INSTANCE_UID,
    }
)
_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")
_US_ELEMENT = struct.Struct("<HHLH")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command set says about itself."""

    field: int
    has_data_set: bool
    elements: Mapping[int, bytes]
    """Encoded values by element number."""

    def number(self, element: Field) -> int:
        """Return the value of an unsigned short that the message cannot do without.

        Raises
        ------
        PduError
            It is missing, or no unsigned short.
        """
        return _number(self.elements, element)

    def text(self, element: Field) -> str:
        """Return a UID or a text without padding, empty when it is absent."""
        return _text(self.elements, element)


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
        field=_number(elements, Field.COMMAND_FIELD),
        has_data_set=_number(elements, Field.COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
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
        message_id=_number(command.elements, Field.MESSAGE_ID),
        sop_class_uid=_text(command.elements, Field.AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_text(command.elements, Field.AFFECTED_SOP_INSTANCE_UID),
        has_data_set=command.has_data_set,
    )


def encode_store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Return the command set of the C-STORE-RSP (PS3.7 9.3.1.2).

    Parameters
    ----------
    comment
        Error Comment: ASCII, at most 64 characters.
    """
    elements: dict[Field, int | str] = {
        Field.COMMAND_FIELD: _C_STORE_RSP,
        Field.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        Field.STATUS: status,
        Field.AFFECTED_SOP_CLASS_UID: request.sop_class_uid,
        Field.AFFECTED_SOP_INSTANCE_UID: request.sop_instance_uid,
    }
    if comment:
        elements[Field.ERROR_COMMENT] = comment
    return encode_command(elements, has_data_set=False)


def encode_command(elements: Mapping[Field, int | str], *, has_data_set: bool) -> bytes:
    """Return a command set: numbers as US (the offending element as its tag), UIDs and other text by their rules.

    Notes
    -----
    What is not a UID is never echoed: the response would be as malformed as the request.
    """
    kind = _HAS_DATA_SET if has_data_set else _NO_DATA_SET
    body = bytearray()
    for element, value in sorted({**elements, Field.COMMAND_DATA_SET_TYPE: kind}.items()):
        if element == Field.OFFENDING_ELEMENT:
            body += _encode(element, struct.pack("<HH", *divmod(int(value), 1 << 16)), b"")
        elif isinstance(value, int):
            body += _US_ELEMENT.pack(0, element, _US.size, value)
        elif element not in _UIDS:
            body += _encode(element, value.encode("ascii", "replace"), b" ")
        elif is_uid(value):
            body += _encode(element, value.encode("ascii"), b"\0")
    return _encode(_GROUP_LENGTH, struct.pack("<L", len(body)), b"") + bytes(body)


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
