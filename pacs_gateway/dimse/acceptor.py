"""An association somebody asks us for, from its request to its end, in a thread of its own.

Admission by titles and address first; then pynetdicom's state machine takes the request, the negotiation is ours,
and messages are served until release, abort, silence or the end of the process.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from pydicom.uid import UID
from pynetdicom._globals import APPLICATION_CONTEXT_NAME
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse import _QueueItem
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.transport import AddressInformation

from pacs_gateway.dimse.admission import Admission, plain_address
from pacs_gateway.dimse.association import GatewayAcse, GatewayAssociation
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.listener import Connection
from pacs_gateway.dimse.negotiation import ContextTable, is_storage_only, negotiate
from pacs_gateway.dimse.pdu import (
    LIMIT_EXCEEDED,
    MIN_PEER_PDU,
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
from pacs_gateway.dimse.service import Exchange, Request, Service, Services
from pacs_gateway.dimse.store import StoreService
from pacs_gateway.dimse.tls_socket import TlsSocket, finish_sending, peer_certificate
from pacs_gateway.dimse.transport import GatewaySocket
from pacs_gateway.dimse.wire import StopSignal
from pacs_gateway.errors import GatewayError

logger = logging.getLogger(__name__)

# How long what is to be reported may be known without being looked at.
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Shared:
    """What all accepted associations of a process have in common."""

    config: DimseConfig
    ae: ApplicationEntity
    admission: Admission
    ingest: Ingest
    table: ContextTable
    stop: StopSignal
    services: Services
    """The services beyond verification and storage."""


class AcceptingAcse(GatewayAcse):
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

    def _find_obstacle(self, request: A_ASSOCIATE) -> Rejection | None:
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            return UNKNOWN_APPLICATION_CONTEXT
        if 0 < (self.requestor.maximum_length or 0) < MIN_PEER_PDU:
            return REJECTED
        shared = cast(AcceptedAssociation, self.assoc).shared
        contexts = request.presentation_context_definition_list
        if is_storage_only(contexts) and not shared.ingest.accepts_storage():
            return LIMIT_EXCEEDED
        return None

    def _agree(self, assoc: "AcceptedAssociation", request: A_ASSOCIATE) -> None:
        roles = {uid: (bool(item.scu_role), bool(item.scp_role)) for uid, item in self.requestor.role_selection.items()}
        agreement = negotiate(
            request.presentation_context_definition_list,
            roles,
            assoc.device,
            assoc.shared.table,
            extended=self.requestor.sop_class_extended,
        )
        assoc._accepted_cx = {cast(int, cx.context_id): cx for cx in agreement.contexts if cx.result == 0}
        assoc._rejected_cx = [cx for cx in agreement.contexts if cx.result != 0]
        if agreement.obstacle:
            assoc.shared.admission.devices.record_rejection(
                calling=assoc.device.ae_title,
                called=request.called_ae_title.strip(" "),
                address=assoc.address,
                reason=agreement.obstacle,
                certificate=None,
            )
        for role in agreement.roles:
            self.acceptor.add_negotiation_item(role)
        assoc.extended = agreement.extended
        for sop_class_uid, information in agreement.extended.items():
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = UID(sop_class_uid)
            item.service_class_application_information = information
            self.acceptor.add_negotiation_item(item)
        if self.requestor.asynchronous_operations != (1, 1):
            window = AsynchronousOperationsWindowNegotiation()
            window.maximum_number_operations_invoked = 1
            window.maximum_number_operations_performed = 1
            self.acceptor.add_negotiation_item(window)


class AcceptedAssociation(GatewayAssociation):
    """An association somebody asked us for."""

    device: Device

    def __init__(self, shared: Shared, connection: Connection, on_end: "Callable[[AcceptedAssociation], None]") -> None:
        request = pad_titles(connection.received)
        super().__init__(shared.ae, "acceptor", shared.config, received=request, stop=shared.stop)
        self.acse: AcceptingAcse = AcceptingAcse(self)
        self.shared = shared
        self.address = plain_address(connection.address[0])
        self._connection = connection
        self._on_end = on_end
        self.name = f"association with {self.address}"
        self.set_socket(GatewaySocket(self, client_socket=connection.sock))
        self.acceptor.maximum_length = shared.config.max_pdu
        self.acceptor.implementation_class_uid = shared.ae.implementation_class_uid
        self.acceptor.implementation_version_name = shared.ae.implementation_version_name
        self.acceptor.address_info = AddressInformation.from_tuple(connection.sock.getsockname())
        self.requestor.address_info = AddressInformation.from_tuple(connection.address)

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
            self._end()

    def cut(self) -> None:
        """Break the connection from another thread: the time to finish is over."""
        with suppress(OSError):  # it has ended in the meantime
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def expect_messages(self) -> None:
        """Take messages under the presentation contexts that were accepted, C-STORE by ourselves."""
        super().expect_messages()
        self.dul.assembler.store = StoreService(self.shared.ingest, self.device, self.address)

    def _serve(self) -> None:
        try:
            sock = self._connection.sock
            answer = self.shared.admission.admit(
                self._connection.received,
                self.address,
                is_tls=isinstance(sock, TlsSocket),
                certificate=peer_certificate(sock),
            )
        except PduError as error:
            self._turn_away(encode_abort(error.reason))
            return
        if isinstance(answer, Rejection):
            self._turn_away(encode_rejection(answer))
            return
        self.device = answer
        try:
            request = self.dul.receive_pdu(wait=True, timeout=self.config.artim_s)
            if isinstance(request, A_ASSOCIATE):
                self.requestor.primitive = request
                self.acse.negotiate_association()
                logger.info("association with %s at %s: %s", answer.ae_title, self.address, self._describe())
                self.serve_messages(answer.idle_s)
        finally:
            self.shared.admission.places.leave(answer.ae_title)

    def _next_message(self, idle_s: float) -> _QueueItem:
        """Return the next message; what is to be reported is looked at in between."""
        while self.reports:
            if not self.reports[0].go_on():
                self.reports.pop(0)
                continue
            item = self.dimse.next_request(_LOOK_EVERY_S)
            if item[1] is not None or not self.dimse.is_waiting or self.dul.is_stopping:
                return item
        return super()._next_message(idle_s)

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        if msg.MessageIDBeingRespondedTo is not None:
            # One that nobody waits for any more comes from a peer that is slow, not hostile.
            if self.reports:
                self.reports[0].take_answer(msg.MessageIDBeingRespondedTo, cast(int, msg.Status))
            return
        service = self.shared.services.get(cast(type[Request], type(msg)))
        if service is None or not self._is_agreed(msg, context_id):
            super()._serve_request(msg, context_id)
            return
        context = self.dul.assembler.contexts[context_id]
        exchange = Exchange(self, context_id, context, cast(Request, msg), self.device, self.address)
        if not msg.is_valid_request:
            # Without what it must have, its message ID for one, it could not even be answered.
            self.dul.fail(AbortReason.INVALID_PARAMETER)
            return
        # What was cancelled before it was asked for is another, earlier request.
        self.dimse.cancel_req = {}
        self._exchange(service, exchange)

    def _exchange(self, service: Service, exchange: Exchange) -> None:
        try:
            service.serve(exchange)
        except PduError:
            raise
        except Exception as error:  # the boundary of one request
            name = type(exchange.request).__name__.replace("_", "-")
            if isinstance(error, GatewayError):
                logger.warning("%s from %s failed: %s", name, self.device.ae_title, error)
            else:
                log_fault(logger, f"{name} from {self.device.ae_title}", error)
            service.fail(exchange, error)

    def _describe(self) -> str:
        if not self.is_established:
            return "rejected"
        n_accepted, n_rejected = len(self._accepted_cx), len(self._rejected_cx)
        return f"{n_accepted} of {n_accepted + n_rejected} presentation contexts accepted"

    def _end(self) -> None:
        try:
            self.dul.stop_dul()
            for report in self.reports:
                report.drop()
        except Exception as error:  # whatever goes wrong, the place becomes free
            log_fault(logger, f"closing the association with {self.address}", error)
        finally:
            self._on_end(self)

    def _turn_away(self, last_pdu: bytes) -> None:
        # The request was read to its end and nothing beyond, so closing at once does not take the answer with it,
        # and a stranger holds no place by not closing.
        with suppress(OSError):
            self._connection.sock.send(last_pdu)
            finish_sending(self._connection.sock)
