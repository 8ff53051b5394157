"""An association that we ask for, used by the thread that asks.

We connect, then pynetdicom's state machine and association control negotiate on the blocking transport. What a peer
answers is hostile until proven otherwise: a context counts as accepted only in a transfer syntax we proposed for it.

References
----------
PS3.8 7.1 and 9.3.2 to 9.3.4 (association establishment), PS3.7 D.3.3.4 (role selection)
"""

import logging
import math
import select
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from types import MappingProxyType

from pydicom.uid import UID
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import T_CONNECT, AddressInformation

from pacs_gateway.dimse.association import GatewayAssociation, application_entity, quieten_pynetdicom
from pacs_gateway.dimse.command import C_ECHO_RQ, Field
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.message import Response
from pacs_gateway.dimse.negotiation import VERIFICATION
from pacs_gateway.dimse.pdu import MIN_PEER_PDU, AbortReason, Rejection
from pacs_gateway.dimse.scu.calling import ask
from pacs_gateway.dimse.tls_socket import peer_certificate
from pacs_gateway.dimse.transport import GatewaySocket
from pacs_gateway.errors import RefusedError, UnavailableError

logger = logging.getLogger(__name__)

MAX_CONTEXTS = 128
"""Their IDs are the odd numbers of one byte (PS3.8 9.3.2.2)."""

_TRANSIENT = 2
# PS3.8 Table 9-21
_SOURCES: Mapping[int, str] = MappingProxyType({1: "application", 2: "association control", 3: "presentation layer"})
_REASONS: Mapping[tuple[int, int], str] = MappingProxyType(
    {
        (1, 2): "application context not supported",
        (1, 3): "calling AE title not recognised",
        (1, 7): "called AE title not recognised",
        (2, 2): "protocol version not supported",
        (3, 1): "temporary congestion",
        (3, 2): "limit of associations exceeded",
    }
)


@dataclass(frozen=True, slots=True)
class Remote:
    """Whom to ask for an association, and as whom."""

    ae_title: str
    """Called AE title."""
    host: str
    """Name or address."""
    port: int
    calling_ae_title: str
    tls: ssl.SSLContext | None = None
    """None for an unencrypted connection."""
    certificates: tuple[str, ...] = ()
    """Fingerprints and subjects of which one must be that of its certificate; empty: any that `tls` takes."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context to propose; roles are ours, and the same in all proposals of one abstract syntax."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    as_scu: bool = True
    as_scp: bool = False


class _ConnectedSocket(GatewaySocket):
    """A connection that stands before pynetdicom asks for it."""

    def __init__(self, association: "RequestedAssociation", sock: socket.socket) -> None:
        self._standing = sock
        super().__init__(association, address=AddressInformation.from_tuple(sock.getsockname()))

    def connect(self, primitive: T_CONNECT) -> None:
        """Tell the state machine that the connection stands."""
        self._is_connected = True
        self._ready.set()
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        return self._standing


class RequestedAssociation(GatewayAssociation):
    """An association that we asked for; `associate` makes and ends it."""

    def __init__(self, remote: Remote, proposals: Sequence[Proposal], sock: socket.socket, config: DimseConfig) -> None:
        super().__init__(application_entity(config), "requestor", config)
        self._proposals = {2 * number + 1: proposal for number, proposal in enumerate(proposals)}
        self._message_ids = count(1)
        self.set_socket(_ConnectedSocket(self, sock))
        self.acceptor.ae_title, self.requestor.ae_title = remote.ae_title, remote.calling_ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(sock.getpeername())
        self.requestor.address_info = AddressInformation.from_tuple(sock.getsockname())
        self.requestor.maximum_length = config.max_pdu
        self.requestor.implementation_class_uid = self.ae.implementation_class_uid
        self.requestor.implementation_version_name = self.ae.implementation_version_name
        self.requestor.requested_contexts = [_context(*item) for item in self._proposals.items()]
        for role in {proposal.abstract_syntax: proposal for proposal in proposals if proposal.as_scp}.values():
            self.requestor.add_negotiation_item(_role(role))

    def next_message_id(self) -> int:
        """Return a message ID that no request under way has."""
        return (next(self._message_ids) - 1) % 0xFFFF + 1

    def context_id(self, abstract_syntax: str) -> int:
        """Return the ID of an accepted context for `abstract_syntax` in which we are the user.

        Raises
        ------
        RefusedError
            The peer accepted none.
        """
        for context_id, context in self.contexts.items():
            if context.abstract_syntax == abstract_syntax and context.is_user:
                return context_id
        raise RefusedError("the peer does not offer this service")

    def echo(self) -> int:
        """Ask for a C-ECHO and return its status (PS3.7 9.1.5); errors as ``ask``."""
        elements = {Field.AFFECTED_SOP_CLASS_UID: VERIFICATION}
        (response,) = self.ask(VERIFICATION, C_ECHO_RQ, elements)
        return response.status

    def ask(
        self,
        abstract_syntax: str,
        command_field: int,
        elements: Mapping[Field, int | str],
        data_set: bytes = b"",
        *,
        wait_s: float | None = None,
    ) -> Iterator[Response]:
        """Send a request under the context of `abstract_syntax`; see `calling.ask`.

        Raises
        ------
        RefusedError
            The peer accepted no such context.
        UnavailableError
            The peer is gone or does not answer; the association has ended.
        """
        common: dict[Field, int | str] = {
            Field.COMMAND_FIELD: command_field,
            Field.MESSAGE_ID: self.next_message_id(),
        }
        return ask(self, self.context_id(abstract_syntax), common | dict(elements), data_set, wait_s=wait_s)

    def expect_messages(self) -> None:
        """Take messages under the contexts that were accepted in a transfer syntax we proposed."""
        self._accepted_cx = {
            context_id: cx
            for context_id, cx in self._accepted_cx.items()
            if cx.transfer_syntax and cx.transfer_syntax[0] in self._proposals[context_id].transfer_syntaxes
        }
        super().expect_messages()

    def negotiate(self) -> None:
        """Ask for the association.

        Raises
        ------
        RefusedError
            The peer rejected it, or accepted nothing in it.
        UnavailableError
            The peer is gone, did not answer in time or broke the protocol.
        """
        try:
            self.request()
        except Exception as error:  # the boundary of foreign decoders: an answer may make them raise anything
            log_fault(logger, "negotiating an association of ours", error)
            self.dul.fail(AbortReason.NOT_SPECIFIED)
        if self.dul.rejection is not None:
            raise RefusedError(_rejection_text(self.dul.rejection))
        if self.acceptor.primitive is None:
            raise UnavailableError("the peer did not answer the request for an association")
        if not self.contexts:
            raise RefusedError("the peer accepts nothing of what was proposed")
        if 0 < (self.acceptor.maximum_length or 0) < MIN_PEER_PDU:
            raise UnavailableError("the peer takes no PDU in which a message fits")
        if not self.is_established:
            raise UnavailableError("the peer broke off the association")


@contextmanager
def associate(remote: Remote, proposals: Sequence[Proposal], config: DimseConfig) -> Iterator[RequestedAssociation]:
    """Ask for an association; release it at the end of the block, abort it when that raises.

    Parameters
    ----------
    proposals
        At least one and at most `MAX_CONTEXTS`.

    Raises
    ------
    RefusedError
        The peer rejected the association, or accepted nothing in it.
    UnavailableError
        The peer cannot be reached, does not answer in time, or broke the protocol.
    """
    quieten_pynetdicom()
    with closing(_connect(remote, config.connect_s)) as sock:
        association = RequestedAssociation(remote, proposals, sock, config)
        try:
            association.negotiate()
            yield association
            association.release()
        except BaseException:
            association.abort()
            raise
        finally:
            association.kill()
            association.dul.stop_dul()


def _connect(remote: Remote, timeout_s: float) -> socket.socket:
    """Return a connection to `remote`, with the TLS handshake done where it is to be encrypted."""
    deadline = monotonic() + timeout_s
    try:
        sock = socket.create_connection((remote.host, remote.port), timeout_s)
    except (OSError, UnicodeError) as error:
        message = f"{remote.host} port {remote.port} cannot be reached: {_words(error)}"
        raise UnavailableError(message) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if remote.tls is None else _encrypted(remote.tls, sock, remote, deadline)
    except OSError as error:
        sock.close()
        message = f"no encrypted connection to {remote.host} port {remote.port}: {_words(error)}"
        raise UnavailableError(message) from error


def _encrypted(context: ssl.SSLContext, sock: socket.socket, remote: Remote, deadline: float) -> ssl.SSLSocket:
    sock.setblocking(False)
    encrypted = context.wrap_socket(sock, server_hostname=remote.host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                encrypted.do_handshake()
            except ssl.SSLWantReadError:
                _await(encrypted, select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                _await(encrypted, select.POLLOUT, deadline)
            else:
                _check_certificate(encrypted, remote)
                return encrypted
    except BaseException:
        encrypted.close()
        raise


def _check_certificate(sock: socket.socket, remote: Remote) -> None:
    shown = peer_certificate(sock)
    if remote.certificates and not (shown and shown.is_one_of(remote.certificates)):
        raise RefusedError(f"{remote.host} port {remote.port} shows a certificate that is not that of the device")


def _await(sock: socket.socket, event: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(sock, event)
    left_s = deadline - monotonic()
    if left_s <= 0 or not poller.poll(math.ceil(left_s * 1000)):
        raise TimeoutError("timed out")


def _words(error: Exception) -> str:
    """Return what the system says of a failure: no data of anybody is in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    return (error.strerror if isinstance(error, OSError) else None) or "timed out"


def _context(context_id: int, proposal: Proposal) -> PresentationContext:
    context = build_context(proposal.abstract_syntax, list(proposal.transfer_syntaxes))
    context.context_id = context_id
    return context


def _role(proposal: Proposal) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid = UID(proposal.abstract_syntax)
    item.scu_role, item.scp_role = proposal.as_scu, proposal.as_scp
    return item


def _rejection_text(rejection: Rejection) -> str:
    how = "for now" if rejection.result == _TRANSIENT else "permanently"
    who = _SOURCES.get(rejection.source, "unknown part")
    why = _REASONS.get((rejection.source, rejection.reason), "no reason given")
    return f"the peer's {who} rejected the association {how}: {why}"
