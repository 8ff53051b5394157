"""C-STORE as service class user: the bytes of an object into PDUs, one large write at a time, and the answer.

Works over any association: one we asked for (C-MOVE, sending), or one on which the peer asked us and takes the
provider's role for storage (C-GET). What is sent is never copied: the pieces go to the kernel as they are, with the
heads of the PDUs between them.

References
----------
PS3.7 9.1.1 and 9.3.1 (C-STORE), PS3.8 9.3.5 and Annex E (P-DATA-TF)
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from pacs_gateway.dimse.association import GatewayAssociation
from pacs_gateway.dimse.command import C_STORE_RQ, Field, encode_command
from pacs_gateway.dimse.message import Call
from pacs_gateway.dimse.pdu import PDV_OVERHEAD, PduType, encode_data
from pacs_gateway.dimse.scu.calling import await_response, begin, lost

_PDU_HEAD = struct.Struct(">BxLLBB")
_LAST = 2
# What is read before anything is sent: an object that cannot be read or decoded mostly says so here, and costs no
# association.
_READ_FIRST_BYTES = 2 << 20


class Priority(IntEnum):
    """PS3.7 E.1, element (0000,0700)."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Originator:
    """Whose C-MOVE an object is sent for (PS3.7 9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An object to send."""

    sop_class_uid: str
    sop_instance_uid: str
    data_set: Iterable[bytes]
    """In pieces, encoded in the transfer syntax of the context it goes under."""
    priority: Priority = Priority.MEDIUM
    originator: Originator | None = None
    """Whose C-MOVE it is sent for, if anybody's."""


def store(
    association: GatewayAssociation,
    context_id: int,
    outgoing: Outgoing,
    *,
    message_id: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Send an object and return the status it is answered with.

    Parameters
    ----------
    meanwhile
        What to do while the peer makes up its mind.

    Raises
    ------
    UnavailableError
        The peer is gone or does not answer; the association has ended.
    GatewayError
        The object cannot be read. The association goes on when that shows before anything was sent, and is
        aborted otherwise: half an object cannot be taken back.
    """
    elements: dict[Field, int | str] = {
        Field.AFFECTED_SOP_CLASS_UID: outgoing.sop_class_uid,
        Field.COMMAND_FIELD: C_STORE_RQ,
        Field.MESSAGE_ID: message_id,
        Field.PRIORITY: outgoing.priority,
        Field.AFFECTED_SOP_INSTANCE_UID: outgoing.sop_instance_uid,
    }
    if outgoing.originator is not None:
        elements[Field.MOVE_ORIGINATOR_AE_TITLE] = outgoing.originator.ae_title
        elements[Field.MOVE_ORIGINATOR_MESSAGE_ID] = outgoing.originator.message_id
    pieces = read_first(outgoing.data_set)
    begin(association, Call(C_STORE_RQ, message_id))
    max_length = association.dul.assembler.peer_max_length
    command = encode_command(elements, has_data_set=True)
    unsent: list[bytes | memoryview] = [encode_data(context_id, command, is_command=True, max_length=max_length)]
    try:
        for pdus in data_pdus(context_id, pieces, max_length):
            _send(association, unsent + pdus)
            unsent = []
    except BaseException:
        association.abort()
        raise
    meanwhile()
    return await_response(association).status


def _send(association: GatewayAssociation, parts: list[bytes | memoryview]) -> None:
    association.dul.send_parts(parts)
    if not association.dul.is_alive():
        raise lost(association)


def data_pdus(context_id: int, pieces: Iterable[bytes], max_length: int) -> Iterator[list[bytes | memoryview]]:
    """Yield the P-DATA-TF PDUs of a data set, piece by piece, as buffers to send one behind the other.

    Every PDU holds one fragment of an even number of bytes (PS3.8 Annex E); only the last one of a data set that is
    itself odd does not.
    """
    step = (max_length - PDV_OVERHEAD) & ~1
    full = _pdu_head(context_id, step, is_last=False)
    for piece, is_last in _even(pieces):
        pdus: list[bytes | memoryview] = []
        # What is left over goes into a shorter PDU of its own; of the last piece something is always left.
        end = max(len(piece) - is_last, 0) // step * step
        for start in range(0, end, step):
            pdus += (full, piece[start : start + step])
        if end < len(piece) or is_last:
            pdus += (_pdu_head(context_id, len(piece) - end, is_last=is_last), piece[end:])
        yield pdus


def _pdu_head(context_id: int, length: int, *, is_last: bool) -> bytes:
    return _PDU_HEAD.pack(PduType.DATA, length + PDV_OVERHEAD, length + 2, context_id, _LAST if is_last else 0)


def _even(pieces: Iterable[bytes]) -> Iterator[tuple[memoryview, bool]]:
    """Yield the pieces with an even length each, and whether each is the last."""
    held = b""
    for piece in pieces:
        n_odd = len(held) % 2
        if len(held) > n_odd:
            yield memoryview(held)[: len(held) - n_odd], False
        held = held[-1:] + piece if n_odd else piece
    yield memoryview(held), True


def read_first(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Read the first few MiB of `pieces` now, and return all of them; doing it twice costs nothing."""
    rest = iter(pieces)
    first, n_bytes = [], 0
    for piece in rest:
        first.append(piece)
        n_bytes += len(piece)
        if n_bytes >= _READ_FIRST_BYTES:
            break
    return chain(first, rest)
