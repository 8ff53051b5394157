"""C-STORE as service class provider: from the fragments of a data set to a durable instance and a status.

A store that fails does not end the association: the rest of the data set is read and forgotten, then the failure is
answered, and the next message is served (PS3.4 B.2.3).
"""

import logging
from dataclasses import dataclass

from pacs_gateway.access.policy import reach
from pacs_gateway.dimse.caller import caller_of
from pacs_gateway.dimse.command import StoreRequest
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.ports import Device, Ingest, Reception
from pacs_gateway.dimse.status import StoreStatus, error_comment, store_status
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.errors import GatewayError, InvalidInstanceError, RefusedError, UnsupportedSyntaxError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """What was agreed for one presentation context."""

    abstract_syntax: str
    transfer_syntax: str
    is_provider: bool
    """Whether we are the service class provider under it (PS3.7 D.3.3.4)."""
    extended: bytes = b""
    """Service class application information that both sides hold to (PS3.7 D.3.3.5); missing bytes mean no."""
    is_user: bool = False
    """Whether we may be the service class user: what sends objects under a storage context."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and Error Comment of a C-STORE response."""

    status: StoreStatus
    comment: str = ""


class IncomingStore:
    """One C-STORE from its command set to its answer; whatever goes wrong becomes the answer."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._reception: Reception | None = None
        self._failure: Answer | None = None

    def open(self, ingest: Ingest, context: AcceptedContext, request: StoreRequest, origin: Origin) -> None:
        """Begin the reception."""
        try:
            _check_request(context, request)
            self._reception = ingest.receive(
                transfer_syntax_uid=context.transfer_syntax,
                origin=origin,
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
            )
        except Exception as error:  # the boundary of one request
            self._fail(error)

    def write(self, data: memoryview) -> None:
        """Take the next fragment of the data set."""
        if self._reception is None:
            return
        try:
            self._reception.write(data)
        except Exception as error:  # the boundary of one request
            self._fail(error)

    def finish(self) -> Answer:
        """Make it durable and return the answer."""
        if self._reception is not None:
            try:
                self._reception.finish()
            except Exception as error:  # the boundary of one request
                self._fail(error)
            self._reception = None
        return self._failure or Answer(StoreStatus.SUCCESS)

    def discard(self) -> None:
        """Drop what has come so far: the association ended within the data set."""
        reception, self._reception = self._reception, None
        if reception is None:
            return
        try:
            reception.discard()
        except Exception as error:  # the boundary of one request
            log_fault(logger, f"discarding a C-STORE from {self._source}", error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, GatewayError):
            self._failure = Answer(store_status(error), error_comment(error))
            logger.warning("C-STORE from %s failed with 0x%04X: %s", self._source, self._failure.status, error)
        else:
            correlation_id = log_fault(logger, f"C-STORE from {self._source}", error)
            self._failure = Answer(StoreStatus.PROCESSING_FAILURE, f"internal error {correlation_id}")
        self.discard()


class StoreService:
    """Storage as offered to one associated device."""

    def __init__(self, ingest: Ingest, device: Device, address: str) -> None:
        self._ingest = ingest
        self._source = device.ae_title
        self._origin = Origin(
            Method.DIMSE,
            device.facility,
            device.ae_title,
            address,
            charset=device.charset,
            issuer=device.issuer,
            reach=reach(caller_of(device)),
        )

    def begin(self, context: AcceptedContext, request: StoreRequest) -> IncomingStore:
        """Begin to receive the data set that `request` announces."""
        incoming = IncomingStore(self._source)
        incoming.open(self._ingest, context, request, self._origin)
        return incoming


def _check_request(context: AcceptedContext, request: StoreRequest) -> None:
    if not request.has_data_set:
        raise InvalidInstanceError("C-STORE without a data set")
    if request.sop_class_uid != context.abstract_syntax:
        raise UnsupportedSyntaxError("SOP class is not that of the presentation context")
    if not context.is_provider:
        raise RefusedError("no storage under this presentation context")
