"""An association on one blocking thread, with pynetdicom's service classes unchanged.

The acceptor's way: admission by titles, pynetdicom's state machine for the request, our negotiation, then messages
until release, abort, silence or the end of the process. The requestor's way is pynetdicom's own on our transport.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, cast

from pynetdicom import evt
from pynetdicom._globals import APPLICATION_CONTEXT_NAME
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse import _RQ_TO_MESSAGE, _RSP_TO_MESSAGE, DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, DimsePrimitiveType, DimseServiceType
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA, AsynchronousOperationsWindowNegotiation
from pynetdicom.transport import AddressInformation

from pacs_gateway.dimse.admission import Admission, plain_address
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.listener import Connection
from pacs_gateway.dimse.negotiation import ContextTable, is_storage_only, negotiate
from pacs_gateway.dimse.pdu import (
    LIMIT_EXCEEDED,
    REJECTED,
    UNKNOWN_APPLICATION_CONTEXT,
    AbortReason,
    PduError,
    Rejection,
    encode_abort,
    encode_rejection,
    pad_titles,
)
from pacs_gateway.dimse.ports import Device, Ingest
from pacs_gateway.dimse.store import AcceptedContext, StoreService
from pacs_gateway.dimse.transport import BlockingDul, GatewaySocket
from pacs_gateway.dimse.wire import StopSignal

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.events import EventHandlerType

logger = logging.getLogger(__name__)

# One operation at a time is negotiated (PS3.7 D.3.3.3); a peer that floods is aborted.
_MAX_CANCELS = 10
_MAX_QUEUED = 64
# A PDU of ours is never longer, even where the peer sets no limit: responses are small, objects are streamed.
_MAX_SENT_PDU = 128 * 1024
# Below this a PDU could hardly hold a fragment; DCMTK's own minimum is 4,096.
_MIN_PEER_PDU = 64
_TURN_AWAY_LINGER_S = 1.0


class BlockingDimse(DIMSEServiceProvider):
    """pynetdicom's message provider that reads when asked, in the thread that asks."""

    def __init__(self, assoc: Association) -> None:
        self._cancels: dict[int, C_CANCEL] = {}
        super().__init__(assoc)

    @property
    def blocking_dul(self) -> BlockingDul:
        """The upper layer below."""
        return cast(BlockingDul, self.assoc.dul)

    @property
    def cancel_req(self) -> dict[int, C_CANCEL]:
        """C-CANCEL requests by message ID; asking reads what has come in the meantime."""
        self.blocking_dul.pump(0)
        return self._cancels

    @cancel_req.setter
    def cancel_req(self, value: dict[int, C_CANCEL]) -> None:
        self._cancels = value

    @property
    def maximum_pdu_size(self) -> int:
        """The longest PDU we send, in bytes."""
        return min(super().maximum_pdu_size or _MAX_SENT_PDU, _MAX_SENT_PDU)

    def get_msg(self, block: bool = False) -> "_QueueItem":
        """Return the next message, waiting for it at most the DIMSE time-out when `block`."""
        if block:
            timeout = self.dimse_timeout
            deadline = None if timeout is None else monotonic() + timeout
            while self._is_waiting():
                left = None if deadline is None else max(deadline - monotonic(), 0)
                if not self.blocking_dul.pump(left):
                    break
        return super().get_msg(block=False)

    def next_request(self, idle_s: float) -> "_QueueItem":
        """Return the next message; (None, None) on silence, release, abort, or when the process stops."""
        while self._is_waiting() and self.blocking_dul.pump(idle_s, is_interruptible=True):
            pass
        return super().get_msg(block=False)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add a fragment; a complete message is queued for the association's own thread, reports included."""
        message = self.message = self.message or DIMSEMessage()
        if not message.decode_msg(primitive, self.assoc):
            return
        self.message = None
        received = message.message_to_primitive()
        if isinstance(received, C_CANCEL):
            if len(self._cancels) < _MAX_CANCELS:
                self._cancels[cast(int, received.MessageIDBeingRespondedTo)] = received
            return
        if self.msg_queue.qsize() >= _MAX_QUEUED:
            raise PduError(AbortReason.UNEXPECTED_PDU, "messages without waiting for their answers")
        self.msg_queue.put((cast(int, message.context_id), received))

    def send_msg(self, primitive: DimsePrimitiveType, context_id: int) -> None:
        """Send a message at once."""
        is_request = primitive.MessageIDBeingRespondedTo is None
        message = (_RQ_TO_MESSAGE if is_request else _RSP_TO_MESSAGE)[type(primitive)]()  # type: ignore[index]
        message.primitive_to_message(primitive)
        encoded = bytearray()
        for data in message.encode_msg(context_id, self.maximum_pdu_size):
            for item in data.presentation_data_value_list:
                size = len(item[1]) + 1
                encoded += b"\x04\x00" + (size + 4).to_bytes(4, "big") + size.to_bytes(4, "big")
                encoded.append(item[0])
                encoded += item[1]
        self.blocking_dul.send_data(bytes(encoded))

    def _is_waiting(self) -> bool:
        dul = self.blocking_dul
        return self.msg_queue.empty() and dul.to_user_queue.empty() and dul.is_alive()


class GatewayAcse(ACSE):
    """Association control with our negotiation in the place of pynetdicom's (PS3.8 7.1)."""

    def _negotiate_as_acceptor(self) -> None:
        assoc = cast(AcceptedAssociation, self.assoc)
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        self.requestor.ae_title = request.calling_ae_title
        self.acceptor.ae_title = request.called_ae_title
        rejection = self._find_obstacle(request)
        if rejection is not None:
            self.send_reject(rejection.result, rejection.source, rejection.reason)
            assoc.kill()
            return
        self._agree(assoc, request)
        self.send_accept()
        assoc.expect_messages()
        assoc.is_established = True

    def _negotiate_as_requestor(self) -> None:
        super()._negotiate_as_requestor()
        if self.assoc.is_established:
            cast(GatewayAssociation, self.assoc).expect_messages()

    def _find_obstacle(self, request: A_ASSOCIATE) -> Rejection | None:
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            return UNKNOWN_APPLICATION_CONTEXT
        if 0 < (self.requestor.maximum_length or 0) < _MIN_PEER_PDU:
            return REJECTED
        shared = cast(AcceptedAssociation, self.assoc).shared
        contexts = request.presentation_context_definition_list
        if is_storage_only(contexts) and not shared.ingest.accepts_storage():
            return LIMIT_EXCEEDED
        return None

    def _agree(self, assoc: "AcceptedAssociation", request: A_ASSOCIATE) -> None:
        roles = {uid: (bool(item.scu_role), bool(item.scp_role)) for uid, item in self.requestor.role_selection.items()}
        agreement = negotiate(
            request.presentation_context_definition_list, roles, assoc.device.rights, assoc.shared.table
        )
        assoc._accepted_cx = {cast(int, cx.context_id): cx for cx in agreement.contexts if cx.result == 0}
        assoc._rejected_cx = [cx for cx in agreement.contexts if cx.result != 0]
        for role in agreement.roles:
            self.acceptor.add_negotiation_item(role)
        if self.requestor.asynchronous_operations != (1, 1):
            window = AsynchronousOperationsWindowNegotiation()
            window.maximum_number_operations_invoked = 1
            window.maximum_number_operations_performed = 1
            self.acceptor.add_negotiation_item(window)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all accepted associations of a process have in common."""

    config: DimseConfig
    ae: "ApplicationEntity"
    admission: Admission
    ingest: Ingest
    table: ContextTable
    stop: StopSignal
    handlers: "tuple[EventHandlerType, ...]" = ()
    """pynetdicom handlers of the services beyond verification and storage."""


class GatewayAssociation(Association):
    """pynetdicom's association on the blocking transport.

    An accepted one runs in its own thread (`start`); a requested one runs in the thread that uses it (`request`,
    then the ``send_`` methods) and is never started.
    """

    def __init__(
        self,
        ae: "ApplicationEntity",
        mode: str,
        config: DimseConfig,
        *,
        received: bytes = b"",
        stop: StopSignal | None = None,
    ) -> None:
        super().__init__(ae, mode)
        self.config = config
        self.dul: BlockingDul = BlockingDul(self, config, received=received, stop=stop)
        self.dimse: BlockingDimse = BlockingDimse(self)
        self.acse: GatewayAcse = GatewayAcse(self)
        # Once more: their timers live in the provider that was just replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    @property
    def _is_paused(self) -> bool:
        # Nothing runs beside the thread that asks, so nothing needs to be paused.
        return True

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None:
        pass

    def _bind_defaults(self) -> None:
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def _abort_blocking(self, block: bool = True) -> None:
        if self._sent_abort or self.is_released:
            return
        self._sent_abort = True
        self.acse.send_abort(0x00)
        self.kill()

    def expect_messages(self) -> None:
        """Take messages under the presentation contexts that were accepted."""
        assembler = self.dul.assembler
        assembler.peer_max_length = self.dimse.maximum_pdu_size
        assembler.contexts = {
            context_id: AcceptedContext(str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
            for context_id, cx in self._accepted_cx.items()
        }

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        context = self._accepted_cx.get(context_id)
        is_composite = isinstance(msg, C_ECHO | C_FIND | C_GET | C_MOVE)
        if context is not None and is_composite and msg.AffectedSOPClassUID != context.abstract_syntax:
            # Served by its SOP class, it would get round the rights the contexts were accepted by.
            self.dul.fail(AbortReason.UNEXPECTED_PARAMETER)
            return
        super()._serve_request(msg, context_id)

    def _run_reactor(self) -> None:
        """Serve messages until release, abort, silence or the end of the process."""
        while self.is_established:
            context_id, message = self.dimse.next_request(self.config.idle_s)
            if message is not None:
                self._serve_request(message, cast(int, context_id))
            elif self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released = True
                self.kill()
            elif self.acse.is_aborted() or not self.dul.is_alive():
                self.is_aborted = True
                self.kill()
            else:
                self.abort()


class AcceptedAssociation(GatewayAssociation):
    """An association somebody asked us for."""

    device: Device

    def __init__(self, shared: Shared, connection: Connection, on_end: "Callable[[AcceptedAssociation], None]") -> None:
        request = pad_titles(connection.received)
        super().__init__(shared.ae, "acceptor", shared.config, received=request, stop=shared.stop)
        self.shared = shared
        self.address = plain_address(connection.address[0])
        self._connection = connection
        self._on_end = on_end
        self.set_socket(GatewaySocket(self, client_socket=connection.sock))
        self.acceptor.maximum_length = shared.config.max_pdu
        self.acceptor.implementation_class_uid = shared.ae.implementation_class_uid
        self.acceptor.implementation_version_name = shared.ae.implementation_version_name
        self.acceptor.address_info = AddressInformation.from_tuple(connection.sock.getsockname())
        self.requestor.address_info = AddressInformation.from_tuple(connection.address)
        for handler in shared.handlers:
            self.bind(*handler)

    def run_reactor(self) -> None:
        """Serve the association from its request to its end; the thread's body."""
        try:
            self.dul.start()
            self._serve()
        except PduError as error:
            logger.warning("association with %s aborted: %s", self.address, error)
            self.dul.fail(error.reason)
        except Exception as error:  # the boundary of one thread
            log_fault(logger, f"association with {self.address}", error)
            self.dul.fail(AbortReason.NOT_SPECIFIED)
        finally:
            self.dul.stop_dul()
            self._on_end(self)

    def cut(self) -> None:
        """Break the connection from another thread: the time to finish is over."""
        self.dul.wire.cut()

    def expect_messages(self) -> None:
        """Take messages under the presentation contexts that were accepted, C-STORE by ourselves."""
        super().expect_messages()
        self.dul.assembler.store = StoreService(self.shared.ingest, self.device, self.address)

    def _serve(self) -> None:
        try:
            answer = self.shared.admission.admit(self._connection.received, self.address)
        except PduError as error:
            self._turn_away(encode_abort(error.reason))
            return
        if isinstance(answer, Rejection):
            self._turn_away(encode_rejection(answer))
            return
        self.device = answer
        request = self.dul.receive_pdu(wait=True, timeout=self.config.artim_s)
        if isinstance(request, A_ASSOCIATE):
            self.requestor.primitive = request
            self.acse.negotiate_association()
            self._run_reactor()

    def _turn_away(self, last_pdu: bytes) -> None:
        try:
            self.dul.wire.send(last_pdu)
        except OSError:
            return
        self.dul.wire.linger(_TURN_AWAY_LINGER_S)
