"""What a DIMSE service is here: something that serves one request and answers through an `Exchange`.

The association reads requests and hands each to the service of its kind; a service answers as often as its protocol
says and asks in between whether it was cancelled. Whatever it raises becomes its final answer at the association's
boundary.

References
----------
PS3.7 9.1 and 10.1 (services), PS3.7 Annex E (command dictionary)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, N_ACTION, N_EVENT_REPORT

from pacs_gateway.dimse.association import GatewayAssociation, Report
from pacs_gateway.dimse.command import C_FIND_RQ, C_GET_RQ, C_MOVE_RQ, RESPONSE, Field, encode_command
from pacs_gateway.dimse.pdu import encode_data
from pacs_gateway.dimse.ports import Device
from pacs_gateway.dimse.store import AcceptedContext

Request = C_FIND | C_MOVE | C_GET | N_ACTION | N_EVENT_REPORT
"""The requests that services of ours serve, as pynetdicom reads them."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request under way, and the way to answer it."""

    association: GatewayAssociation
    context_id: int
    context: AcceptedContext
    request: Request
    device: Device
    """Who asks."""
    address: str
    """From where."""

    @property
    def message_id(self) -> int:
        """The request's message ID."""
        return cast(int, self.request.MessageID)

    @property
    def is_cancelled(self) -> bool:
        """Whether the requester cancelled this request, or is gone; asking reads what has come, without waiting."""
        cancels = self.association.dimse.cancel_req
        return self.message_id in cancels or not self.association.dul.is_alive()

    @property
    def called_ae_title(self) -> str:
        """The title of ours that the requester called."""
        return self.association.acceptor.ae_title.strip(" ")

    def report_later(self, report: Report) -> None:
        """Have the requester told something on this association, between messages, once it is known."""
        self.association.reports.append(report)

    def answer(self, elements: Mapping[Field, int | str], data_set: bytes = b"") -> None:
        """Send one response; does nothing on an association that has ended.

        Parameters
        ----------
        elements
            Of the command set, without those that every response has (command field, message ID responded to, data
            set type).
        data_set
            Encoded in the context's transfer syntax; empty for a response without one.
        """
        encoded = self._encode_command(elements, has_data_set=bool(data_set))
        self.association.dul.send_data(encoded + self._encode_data(data_set) if data_set else encoded)

    def answer_each(self, elements: Mapping[Field, int | str], data_sets: Iterable[bytes]) -> None:
        """Send one response with each of `data_sets`, all together; does nothing on an association that has ended."""
        command = self._encode_command(elements, has_data_set=True)
        self.association.dul.send_data(b"".join(command + self._encode_data(data_set) for data_set in data_sets))

    def answer_along(self, elements: Mapping[Field, int | str]) -> None:
        """Send one response without a data set together with what goes to the requester next: one packet less."""
        self.association.dul.hold(self._encode_command(elements, has_data_set=False))

    def _encode_command(self, elements: Mapping[Field, int | str], *, has_data_set: bool) -> bytes:
        request_field = _COMMAND_FIELDS[type(self.request)]
        common: dict[Field, int | str] = {
            Field.COMMAND_FIELD: request_field | RESPONSE,
            Field.MESSAGE_ID_BEING_RESPONDED_TO: self.message_id,
        }
        command = encode_command(common | dict(elements), has_data_set=has_data_set)
        return encode_data(self.context_id, command, is_command=True, max_length=self._max_length)

    def _encode_data(self, data_set: bytes) -> bytes:
        return encode_data(self.context_id, data_set, is_command=False, max_length=self._max_length)

    @property
    def _max_length(self) -> int:
        return self.association.dimse.maximum_pdu_size


class Service(Protocol):
    """Serves requests of one kind; one object for all associations of a process."""

    def serve(self, exchange: Exchange) -> None:
        """Serve one request to its final response.

        Raises
        ------
        GatewayError
            The request cannot be served; nothing final has been answered.
        """

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request for which ``serve`` raised `error`, one of the gateway's or any other."""


Services = Mapping[type[Request], Service]
"""The services of a process by the kind of request."""

_COMMAND_FIELDS: Mapping[type[Request], int] = {
    C_GET: C_GET_RQ,
    C_FIND: C_FIND_RQ,
    C_MOVE: C_MOVE_RQ,
    N_EVENT_REPORT: 0x0100,
    N_ACTION: 0x0130,
}
