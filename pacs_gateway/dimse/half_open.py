"""A connection on its way to an association: PROXY header, TLS handshake, A-ASSOCIATE-RQ, as far as they have come.

It never waits, and never reads past what it needs.
"""

import selectors
import socket
import ssl
from dataclasses import dataclass, field
from errno import EAGAIN

from pacs_gateway.dimse.admission import plain_address
from pacs_gateway.dimse.pdu import (
    HEADER_LENGTH,
    MAX_ASSOCIATE_LENGTH,
    AbortReason,
    PduError,
    PduType,
    pdu_size,
)
from pacs_gateway.dimse.proxy_protocol import PREAMBLE_LENGTH, header_size, parse_source
from pacs_gateway.dimse.tls_socket import TlsSocket
from pacs_gateway.errors import RefusedError

Address = tuple[str, int] | tuple[str, int, int, int]

_READ_BYTES = 64 * 1024
# What others than we must change, by OpenSSL's name for it; it is kept for `device list --rejected`.
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common: 1.2 and 1.3 are spoken here",
    "NO_SHARED_CIPHER": "no TLS cipher suite in common",
    "HTTP_REQUEST": "HTTP on the TLS port",
    "WRONG_VERSION_NUMBER": "no TLS on the TLS port",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of this gateway's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not take this gateway's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not take this gateway's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it finds this gateway's certificate expired",
}


class HandshakeError(RefusedError):
    """A TLS handshake failed; the message says on whose account."""


@dataclass(slots=True, eq=False)
class HalfOpen:
    """One such connection; `advance` is called when something has come."""

    sock: socket.socket
    address: Address
    opened_at: float
    awaits_proxy_header: bool
    """Then `address` is a trusted proxy's, and nobody's to be counted by."""
    tls: ssl.SSLContext | None = None
    """Whose handshake comes before the A-ASSOCIATE-RQ."""
    events: int = selectors.EVENT_READ
    """What to wait for before the next call."""
    received: bytearray = field(default_factory=bytearray)
    _needed: int = HEADER_LENGTH
    """Bytes to wait for before looking at them."""
    _shaking: TlsSocket | None = None

    def __post_init__(self) -> None:
        if self.awaits_proxy_header:
            self._needed = PREAMBLE_LENGTH

    def advance(self) -> bool:
        """Take what has come; return whether `received` is the whole A-ASSOCIATE-RQ.

        Raises
        ------
        PduError, ProxyHeaderError, HandshakeError
            What came is not what should.
        OSError
            The connection is lost.
        """
        received = self.received
        try:
            while len(received) < self._needed:
                if not self.awaits_proxy_header:
                    self._secure()
                data = self.sock.recv(min(self._needed - len(received), _READ_BYTES))
                if not data:
                    raise ConnectionResetError("closed by the peer")
                received += data
                if len(received) == self._needed:
                    self._look()
        except BlockingIOError:
            return False
        return True

    def _look(self) -> None:
        """Find out how much more is needed, once all that was needed so far has come."""
        received = self.received
        if not self.awaits_proxy_header:
            if len(received) == HEADER_LENGTH:
                self._needed = _check_header(received)
            return
        self._needed = header_size(received)
        if len(received) < self._needed:
            return
        source = parse_source(received)
        if source is not None:
            self.address = (plain_address(source[0]), source[1])
        self.awaits_proxy_header = False
        received.clear()
        self._needed = HEADER_LENGTH

    def _secure(self) -> None:
        """Go on with the TLS handshake, if there is one to do."""
        if self.tls is not None:
            self.sock = self._shaking = self._wrap(self.tls)
            self.tls = None
        if self._shaking is None:
            return
        self.events = selectors.EVENT_READ
        try:
            self._shaking.do_handshake()
        except ssl.SSLWantReadError:
            raise BlockingIOError(EAGAIN, "handshake goes on") from None
        except ssl.SSLWantWriteError:
            self.events = selectors.EVENT_WRITE
            raise BlockingIOError(EAGAIN, "handshake goes on") from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ConnectionResetError("closed by the peer") from None
        except ssl.SSLError as error:
            raise HandshakeError(_explain(error)) from error
        self._shaking = None

    def _wrap(self, context: ssl.SSLContext) -> TlsSocket:
        wrapped = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        assert isinstance(wrapped, TlsSocket)
        return wrapped


def _check_header(header: bytearray) -> int:
    size = pdu_size(header, MAX_ASSOCIATE_LENGTH)
    if header[0] != PduType.ASSOCIATE_RQ:
        raise PduError(AbortReason.UNEXPECTED_PDU, "not an A-ASSOCIATE-RQ")
    return size


def _explain(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate refused: {error.verify_message}"
    reason = error.reason or "unknown"
    return _REASONS.get(reason, f"TLS handshake failed: {reason.replace('_', ' ').lower()}")
