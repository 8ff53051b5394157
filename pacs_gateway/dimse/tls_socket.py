"""A TLS connection that behaves like the plain ones: not blocking, and safe to cut from another thread.

What OpenSSL reports in words of its own becomes the error that a plain socket would raise, so that the door, the wire
and the sender need not know which of the two they have. Whoever waits must have read until nothing was there: bytes
that TLS has decrypted already are not seen by a ``poll``.
"""

import socket
import ssl
from contextlib import suppress
from errno import EAGAIN
from typing import TYPE_CHECKING

from pacs_gateway.access.certificates import Certificate

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class PeerNotReadingError(OSError):
    """TLS had to answer while reading (a change of keys), and the peer does not take it."""


class TlsSocket(ssl.SSLSocket):
    """Made by a context whose ``sslsocket_class`` it is; used by one thread, but for `shutdown`."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return at most `buflen` decrypted bytes; none when the peer has closed."""
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise _as_plain(error) from None

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        """Fill `buffer` as far as one TLS record reaches and return the number of bytes; 0 when the peer has closed."""
        try:
            return super().recv_into(buffer, nbytes, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise _as_plain(error) from None

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """Send `data`; when it would block, call again with the same data."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError(EAGAIN, "TLS cannot send now") from None

    def shutdown(self, how: int) -> None:
        """Shut the connection down below TLS, which goes on existing: what is still read stays encrypted and useless.

        The standard library's own goes on as a plain connection, which would take cipher text for data.
        """
        socket.socket.shutdown(self, how)

    def notify_close(self) -> None:
        """Tell the peer that nothing more comes (RFC 8446 6.1), if it can be told without waiting."""
        # It then looks for the peer's own notice, which is hardly ever there yet.
        with suppress(OSError, ValueError):
            self.unwrap()


def peer_certificate(sock: socket.socket) -> Certificate | None:
    """Return the certificate the peer has shown, if one was asked for."""
    encoded = sock.getpeercert(binary_form=True) if isinstance(sock, TlsSocket) else None
    return Certificate(encoded) if encoded else None


def finish_sending(sock: socket.socket) -> None:
    """Say that nothing more comes.

    Raises
    ------
    OSError
        The connection is lost already.
    """
    if isinstance(sock, TlsSocket):
        sock.notify_close()
    sock.shutdown(socket.SHUT_WR)


def _as_plain(error: ssl.SSLError) -> OSError:
    if isinstance(error, ssl.SSLWantWriteError):
        return PeerNotReadingError("the peer does not read")
    return BlockingIOError(EAGAIN, "no whole TLS record yet")
