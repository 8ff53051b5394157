"""An association on one blocking thread, with pynetdicom's service classes unchanged.

Whoever has an association reads and sends in its own thread: an accepted one has a thread of its own
(`acceptor.py`), a requested one is used by the thread that asked for it, with pynetdicom's ``request``, ``send_``
methods and ``release``.
"""

import logging
from collections.abc import Mapping
from time import monotonic
from typing import Protocol, cast

from pynetdicom import _config as pynetdicom_config
from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import _RQ_TO_MESSAGE, _RSP_TO_MESSAGE, DIMSEServiceProvider, _QueueItem
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    N_ACTION,
    N_EVENT_REPORT,
    DimsePrimitiveType,
    DimseServiceType,
)
from pynetdicom.pdu_primitives import P_DATA

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.negotiation import (
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    PATIENT_STUDY_ONLY_FIND,
    PATIENT_STUDY_ONLY_GET,
    PATIENT_STUDY_ONLY_MOVE,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.dimse.store import AcceptedContext
from pacs_gateway.dimse.transport import BlockingDul
from pacs_gateway.dimse.wire import StopSignal
from pacs_gateway.domain.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# One operation at a time is negotiated (PS3.7 D.3.3.3); a peer that floods is aborted.
_MAX_CANCELS = 10
_MAX_QUEUED = 64
# A PDU of ours is never longer, even where the peer sets no limit: responses are small, objects are streamed.
_MAX_SENT_PDU = 128 * 1024

# Of which SOP classes a request can be: another one's context has been agreed for something else.
_SOP_CLASSES: Mapping[type[DimseServiceType], frozenset[str]] = {
    C_ECHO: frozenset({VERIFICATION}),
    C_FIND: frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND, PATIENT_STUDY_ONLY_FIND}),
    C_MOVE: frozenset({PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE, PATIENT_STUDY_ONLY_MOVE}),
    C_GET: frozenset({PATIENT_ROOT_GET, STUDY_ROOT_GET, PATIENT_STUDY_ONLY_GET}),
    N_ACTION: frozenset({STORAGE_COMMITMENT}),
    N_EVENT_REPORT: frozenset({STORAGE_COMMITMENT}),
}


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

    def get_msg(self, block: bool = False) -> _QueueItem:
        """Return the next message, waiting for it at most the DIMSE time-out when `block`."""
        if block:
            timeout = self.dimse_timeout
            deadline = None if timeout is None else monotonic() + timeout
            while self.is_waiting:
                left = None if deadline is None else max(deadline - monotonic(), 0)
                if not self.blocking_dul.pump(left):
                    break
        return super().get_msg(block=False)

    def next_request(self, idle_s: float) -> _QueueItem:
        """Return the next message; (None, None) on silence, release, abort, or when the process stops."""
        while self.is_waiting and self.blocking_dul.pump(idle_s, is_interruptible=True):
            pass
        return super().get_msg(block=False)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add a fragment; a complete message is queued for the association's own thread, reports included."""
        message = self.message = self.message or DIMSEMessage()
        if not message.decode_msg(primitive, self.assoc):
            return
        self.message = None
        destination = message.command_set.get("MoveDestination")
        if isinstance(destination, str):
            # Spaces are what pads it (PS3.5 6.2); some devices write NULs, which pynetdicom does not read.
            message.command_set.MoveDestination = destination.rstrip("\0 ")
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

    @property
    def is_waiting(self) -> bool:
        """Whether there is no message, and the association goes on."""
        dul = self.blocking_dul
        return self.msg_queue.empty() and dul.to_user_queue.empty() and dul.is_alive()


class GatewayAcse(ACSE):
    """Association control that tells the transport what was negotiated."""

    def _negotiate_as_requestor(self) -> None:
        super()._negotiate_as_requestor()
        if self.assoc.is_established:
            cast(GatewayAssociation, self.assoc).expect_messages()


class Report(Protocol):
    """A notification of ours on an association that somebody else asked for; used by the association's thread."""

    def go_on(self) -> bool:
        """Do what can be done without waiting; return whether there is more to do."""

    def take_answer(self, message_id: int, status: int) -> None:
        """Take the response to a notification of ours."""

    def drop(self) -> None:
        """The association has ended first."""


class GatewayAssociation(Association):
    """pynetdicom's association on the blocking transport; a requested one is never started as a thread."""

    def __init__(
        self,
        ae: ApplicationEntity,
        mode: str,
        config: DimseConfig,
        *,
        received: bytes = b"",
        stop: StopSignal | None = None,
    ) -> None:
        super().__init__(ae, mode)
        self.config = config
        self.extended: Mapping[str, bytes] = {}
        """Service class application information that was agreed, by SOP class."""
        self.contexts: Mapping[int, AcceptedContext] = {}
        """Accepted presentation contexts by ID."""
        self.reports: list[Report] = []
        """What the peer is to be told between messages, one after the other."""
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
        self.contexts = assembler.contexts = {
            context_id: AcceptedContext(
                str(cx.abstract_syntax),
                str(cx.transfer_syntax[0]),
                bool(cx.as_scp),
                self.extended.get(str(cx.abstract_syntax), b""),
                is_user=bool(cx.as_scu),
            )
            for context_id, cx in self._accepted_cx.items()
        }

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        if not self._is_agreed(msg, context_id):
            # Served by its SOP class alone, it would get round the rights the contexts were accepted by.
            self.dul.fail(AbortReason.UNEXPECTED_PARAMETER)
            return
        super()._serve_request(msg, context_id)

    def _is_agreed(self, msg: DimseServiceType, context_id: int) -> bool:
        """Return whether a request is one of its context's SOP class, and its sender in the role agreed for that."""
        context = self._accepted_cx.get(context_id)
        if context is None:
            return False
        sop_classes = _SOP_CLASSES.get(type(msg))
        if sop_classes is None:
            return True
        # Archives that report on an association of their own often forget the role selection (PS3.4 J.3.3).
        has_role = bool(context.as_scp) or isinstance(msg, N_EVENT_REPORT)
        named = msg.RequestedSOPClassUID if isinstance(msg, N_ACTION) else msg.AffectedSOPClassUID
        return has_role and named == context.abstract_syntax and named in sop_classes

    def _next_message(self, idle_s: float) -> _QueueItem:
        """Return the next message; (None, None) as ``next_request``."""
        return self.dimse.next_request(idle_s)

    def serve_messages(self, idle_s: float) -> None:
        """Serve messages until release, abort, `idle_s` seconds of silence or the end of the process."""
        while self.is_established:
            context_id, message = self._next_message(idle_s)
            if message is not None and self.dul.is_alive():  # nobody is left to be served otherwise
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


def application_entity(config: DimseConfig) -> ApplicationEntity:
    """Return what pynetdicom must know of us."""
    ae = ApplicationEntity(config.ae_titles[0])
    ae.maximum_pdu_size = config.max_pdu
    ae.acse_timeout = config.artim_s
    ae.dimse_timeout = config.message_s
    ae.network_timeout = config.message_s
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return ae


def quieten_pynetdicom() -> None:
    """Keep pynetdicom's log off the hot path, and the values it and pydicom would quote out of ours."""
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
