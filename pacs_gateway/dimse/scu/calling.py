"""Requests of ours over an association, whoever asked for it: sent as bytes, their responses read as bytes.

One operation at a time (PS3.7 D.3.3.3). What else the peer sends meanwhile takes its usual way: a C-CANCEL is noted,
a C-STORE goes to the association's storage service, another request waits until it is served.
"""

from collections.abc import Iterator, Mapping
from time import monotonic

from pynetdicom.pdu_primitives import A_ABORT, A_RELEASE

from pacs_gateway.dimse.association import GatewayAssociation
from pacs_gateway.dimse.command import Field, encode_command
from pacs_gateway.dimse.message import Call, Response
from pacs_gateway.dimse.pdu import encode_data
from pacs_gateway.errors import GatewayError, UnavailableError

_PENDING = frozenset({0xFF00, 0xFF01})


def ask(
    association: GatewayAssociation,
    context_id: int,
    elements: Mapping[Field, int | str],
    data_set: bytes = b"",
    *,
    wait_s: float | None = None,
) -> Iterator[Response]:
    """Send a request and yield its responses, the final one last.

    Parameters
    ----------
    elements
        Of the command set, message ID and command field included.
    data_set
        Encoded in the context's transfer syntax; empty for a request without one.
    wait_s
        How long each response may take; None for the time-out of a message.

    Raises
    ------
    UnavailableError
        The peer is gone or does not answer; the association has ended.
    """
    max_length = association.dimse.maximum_pdu_size
    command = encode_command(elements, has_data_set=bool(data_set))
    encoded = encode_data(context_id, command, is_command=True, max_length=max_length)
    if data_set:
        encoded += encode_data(context_id, data_set, is_command=False, max_length=max_length)
    call = Call(int(elements[Field.COMMAND_FIELD]), int(elements[Field.MESSAGE_ID]))
    begin(association, call)
    association.dul.send_data(encoded)
    while True:
        response = await_response(association, wait_s=wait_s)
        yield response
        if response.status not in _PENDING:
            return


def begin(association: GatewayAssociation, call: Call) -> None:
    """Take the responses to `call` from now on.

    Raises
    ------
    UnavailableError
        The association has ended.
    """
    if not association.is_established or not association.dul.is_alive():
        raise lost(association)
    assembler = association.dul.assembler
    assembler.call = call
    assembler.responses.clear()


def await_response(association: GatewayAssociation, *, wait_s: float | None = None) -> Response:
    """Return the next response to the request under way, reading whatever comes before it.

    Raises
    ------
    UnavailableError
        The peer is gone or does not answer; the association has ended.
    """
    dul = association.dul
    if not dul.is_alive():
        raise lost(association)
    responses = dul.assembler.responses
    wait_s = association.config.message_s if wait_s is None else wait_s
    deadline = monotonic() + wait_s
    while not responses:
        if not dul.is_alive() or not dul.to_user_queue.empty():
            raise lost(association)
        if not dul.pump(max(deadline - monotonic(), 0)) and dul.is_alive():
            association.abort()
            raise UnavailableError(f"the peer did not answer within {wait_s:g} s")
    return responses.popleft()


def lost(association: GatewayAssociation) -> GatewayError:
    """End the association, which the peer has left, and return how that is to be said."""
    # pynetdicom declares less than it queues.
    primitive: object = association.dul.peek_next_pdu()
    if isinstance(primitive, A_RELEASE):
        message = "the peer released the association too early"
    elif isinstance(primitive, A_ABORT):
        message = "the peer aborted the association"
    else:
        message = "the connection to the peer was lost"
    association.is_aborted = True
    if association.dul.is_alive():
        association.abort()
    association.kill()
    return UnavailableError(message)
