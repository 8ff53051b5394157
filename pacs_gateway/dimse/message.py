"""From PDVs to messages: the data set of a C-STORE goes straight to its reception, the rest to pynetdicom.

Runs between the wire and the state machine, only while an association is established (PS3.8 Sta6). Everything a
peer can get wrong in the stream of PDVs ends in a `PduError` here, so that nothing behind it has to guess.

References
----------
PS3.8 9.3.5 and Annex E (presentation data values), PS3.7 6.3.1 (messages)
"""

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pynetdicom.pdu_primitives import P_DATA

from pacs_gateway.dimse.command import (
    C_STORE_RQ,
    N_EVENT_REPORT_RQ,
    RESPONSE,
    Command,
    Field,
    StoreRequest,
    encode_store_response,
    parse_command,
    store_request,
)
from pacs_gateway.dimse.pdu import AbortReason, PduError, encode_data
from pacs_gateway.dimse.store import AcceptedContext, IncomingStore, StoreService
from pacs_gateway.dimse.wire import Wire

_PDV = struct.Struct(">LBB")
_ITEM_LENGTH_SIZE = 4
_IS_COMMAND = 1
_IS_LAST = 2
_MAX_COMMAND_BYTES = 64 * 1024
# Identifiers and action information: a commitment request of 100,000 instances is about 15 MB.
_MAX_DATA_SET_BYTES = 64 * 1024 * 1024


class _Expects(Enum):
    COMMAND = auto()
    STORED_DATA = auto()
    RESPONSE_DATA = auto()
    OTHER_DATA = auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A request of ours under way."""

    command_field: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a request of ours."""

    status: int
    command: Command
    data_set: bytes = b""
    """As encoded in the transfer syntax of the request's presentation context."""


class Assembler:
    """Puts the messages of one association together."""

    def __init__(self, wire: Wire, deliver: Callable[[P_DATA], None]) -> None:
        self.contexts: Mapping[int, AcceptedContext] = {}
        """Accepted presentation contexts by ID."""
        self.store: StoreService | None = None
        """Who takes C-STORE requests; None leaves them to pynetdicom."""
        self.peer_max_length = 0
        """The peer's limit on a PDU we send, in bytes."""
        self.call: Call | None = None
        """The request of ours whose responses are taken here; None leaves them to pynetdicom."""
        self.responses: deque[Response] = deque()
        """What has been answered to it and not been read yet."""
        self._wire = wire
        self._deliver = deliver
        self._expects = _Expects.COMMAND
        self._context_id = 0
        self._command = bytearray()
        self._n_data_bytes = 0
        self._incoming: IncomingStore | None = None
        self._request: StoreRequest | None = None
        self._response: tuple[Command, bytearray] | None = None

    @property
    def is_between_messages(self) -> bool:
        """Whether the next fragment begins a message."""
        return self._expects is _Expects.COMMAND and not self._command

    def feed(self, payload: memoryview) -> None:
        """Handle the PDVs of one P-DATA-TF.

        Raises
        ------
        PduError
            They are not well formed, or not what may come now.
        OSError
            An answer could not be sent.
        """
        offset, end = 0, len(payload)
        if not end:
            raise PduError(AbortReason.INVALID_PARAMETER, "P-DATA-TF without PDV")
        while offset < end:
            if end - offset < _PDV.size:
                raise PduError(AbortReason.INVALID_PARAMETER, "truncated PDV")
            length, context_id, control = _PDV.unpack_from(payload, offset)
            fragment_at = offset + _PDV.size
            offset += _ITEM_LENGTH_SIZE + length
            if offset < fragment_at or offset > end:
                raise PduError(AbortReason.INVALID_PARAMETER, "PDV length outside its PDU")
            self._check_place(context_id, bool(control & _IS_COMMAND))
            fragment = payload[fragment_at:offset]
            is_last = bool(control & _IS_LAST)
            if self._expects is _Expects.STORED_DATA:
                self._take_stored(fragment, is_last)
            elif self._expects is _Expects.RESPONSE_DATA:
                self._take_response(fragment, is_last)
            elif self._expects is _Expects.OTHER_DATA:
                self._take_other(fragment, is_last)
            else:
                self._take_command(fragment, is_last)

    def discard(self) -> None:
        """Drop a message that will never be complete."""
        incoming, self._incoming = self._incoming, None
        self._expects = _Expects.COMMAND
        self._command.clear()
        self._response = None
        if incoming is not None:
            incoming.discard()

    def _check_place(self, context_id: int, is_command: bool) -> None:
        if self.is_between_messages:
            if context_id not in self.contexts:
                raise PduError(AbortReason.INVALID_PARAMETER, "presentation context was not accepted")
            self._context_id = context_id
            self._wire.begin_message()
        elif context_id != self._context_id:
            raise PduError(AbortReason.UNEXPECTED_PARAMETER, "fragments of two messages mixed")
        if is_command is not (self._expects is _Expects.COMMAND):
            raise PduError(AbortReason.UNEXPECTED_PARAMETER, "command and data set fragments out of order")

    def _take_command(self, fragment: memoryview, is_last: bool) -> None:
        self._command += fragment
        if len(self._command) > _MAX_COMMAND_BYTES:
            raise PduError(AbortReason.INVALID_PARAMETER, "command set too long")
        if not is_last:
            return
        command = parse_command(self._command)
        encoded = bytes(self._command)
        self._command.clear()
        if self.call is not None and command.field & RESPONSE and not _is_late(self.call, command):
            self._begin_response(self.call, command)
            return
        if command.field == C_STORE_RQ and self.store is not None:
            self._request = store_request(command)
            self._incoming = self.store.begin(self.contexts[self._context_id], self._request)
            self._expects = _Expects.STORED_DATA
            if not command.has_data_set:
                self._answer_store()
            return
        if command.has_data_set:
            self._n_data_bytes = 0
            self._expects = _Expects.OTHER_DATA
        else:
            self._end_message()
        self._pass_on(_IS_COMMAND | _IS_LAST, encoded)

    def _begin_response(self, call: Call, command: Command) -> None:
        is_ours = command.number(Field.MESSAGE_ID_BEING_RESPONDED_TO) == call.message_id
        if not is_ours or command.field != call.command_field | RESPONSE:
            raise PduError(AbortReason.UNEXPECTED_PARAMETER, "response to something that was not asked")
        self._response = command, bytearray()
        self._n_data_bytes = 0
        self._expects = _Expects.RESPONSE_DATA
        if not command.has_data_set:
            self._take_response(memoryview(b""), is_last=True)

    def _take_response(self, fragment: memoryview, is_last: bool) -> None:
        self._count_data(fragment)
        assert self._response is not None
        command, data_set = self._response
        data_set += fragment
        if is_last:
            self._end_message()
            self._response = None
            self.responses.append(Response(command.number(Field.STATUS), command, bytes(data_set)))

    def _take_stored(self, fragment: memoryview, is_last: bool) -> None:
        if self._incoming is not None and fragment:
            self._incoming.write(fragment)
        if is_last:
            self._answer_store()

    def _answer_store(self) -> None:
        # The clock stops first: a slow disk is not the peer's slowness.
        self._end_message()
        incoming, request = self._incoming, self._request
        if incoming is None or request is None:
            return
        answer = incoming.finish()
        self._incoming = self._request = None
        response = encode_store_response(request, answer.status, answer.comment)
        self._wire.send(encode_data(self._context_id, response, is_command=True, max_length=self.peer_max_length))

    def _take_other(self, fragment: memoryview, is_last: bool) -> None:
        self._count_data(fragment)
        if is_last:
            self._end_message()
        self._pass_on(_IS_LAST if is_last else 0, bytes(fragment))

    def _count_data(self, fragment: memoryview) -> None:
        self._n_data_bytes += len(fragment)
        if self._n_data_bytes > _MAX_DATA_SET_BYTES:
            raise PduError(AbortReason.INVALID_PARAMETER, "data set too long for its message")

    def _pass_on(self, control: int, fragment: bytes) -> None:
        primitive = P_DATA()
        # pynetdicom declares tuples and takes only lists.
        item = [self._context_id, bytes([control]) + fragment]
        primitive.presentation_data_value_list = [item]  # type: ignore[list-item]
        self._deliver(primitive)

    def _end_message(self) -> None:
        self._expects = _Expects.COMMAND
        self._wire.end_message()


def _is_late(call: Call, command: Command) -> bool:
    """Return whether a response is to a report of ours, which is answered whenever the peer likes."""
    return command.field == N_EVENT_REPORT_RQ | RESPONSE and call.command_field != N_EVENT_REPORT_RQ
