"""The door: accepts connections and keeps each until its whole A-ASSOCIATE-RQ is there.

One thread watches all of them, so that a connection that says nothing costs a descriptor and a small buffer, never a
thread. Honest peers are never refused by their address (many share one behind NAT): at a cap the oldest connection
that is not quite new makes room. Several processes share the listening socket; each accepts only while it has room
for another association, and steps back the longer the more it serves, so the others take what it leaves (promises A2,
R13, B6). A connection from a trusted proxy begins with the header that says whose it is; from then on it is that
caller's, here and everywhere. A TLS handshake is one more step before the request, under the same caps and deadlines;
it costs this thread about a millisecond (docs/decisions/0016-dicom-over-tls.md).
"""

import errno
import logging
import selectors
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from pacs_gateway.access.networks import parse_address
from pacs_gateway.dimse.admission import plain_address
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.half_open import Address, HalfOpen, HandshakeError
from pacs_gateway.dimse.pdu import LIMIT_EXCEEDED, PduError, encode_abort, encode_rejection
from pacs_gateway.dimse.proxy_protocol import ProxyHeaderError
from pacs_gateway.dimse.tls import TlsContext
from pacs_gateway.dimse.tls_socket import finish_sending
from pacs_gateway.dimse.wire import StopSignal

logger = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
# An honest peer sends its request at once; one that has not within this time may be closed to make room.
_FRESH_S = 0.25
# Its request usually comes with the packet that completes the connection: so long a place is kept for it.
_PROMISING_S = 0.05
# For each association that a process serves, up to five, a sibling with fewer gets so much of a lead: one that serves
# three of four has its interpreter busy while the other's processor idles.
_LEAD_S = 0.001
_MOST_LEADS = 5
# A lead that was given counts so long; then the sibling has had its chance.
_LEAD_COUNTS_S = 0.05
# Out of descriptors or memory: leave the backlog alone for a moment.
_BACK_OFF_S = 0.25
# A balancer that is set up wrongly would fill the log with each of its connections.
_WARN_EVERY_S = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Listeners:
    """Bound and listening sockets, shared with the sibling processes."""

    plain: Sequence[socket.socket]
    tls: Sequence[socket.socket] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection whose A-ASSOCIATE-RQ has come."""

    sock: socket.socket
    address: Address
    received: bytes
    """The A-ASSOCIATE-RQ."""


class Door:
    """Accepts and sorts connections; `run` is its one thread."""

    def __init__(
        self,
        config: DimseConfig,
        listeners: Listeners,
        stop: StopSignal,
        enter: Callable[[Connection], None],
        note_refusal: Callable[[str, str], None],
    ) -> None:
        self._config = config
        self._sockets = (*listeners.plain, *listeners.tls)
        self._tls_sockets = frozenset(listeners.tls)
        self._tls = TlsContext(config.tls) if config.tls is not None else None
        self._stop = stop
        self._enter = enter
        self._note_refusal = note_refusal
        self._selector = selectors.DefaultSelector()
        self._left, self._leaving = socket.socketpair()
        # In order of arrival, so that the first is always the oldest.
        self._half_open: dict[HalfOpen, None] = {}
        self._waiting: list[HalfOpen] = []
        self._n_associations = 0
        self._is_accepting = False
        self._paused_until = 0.0
        self._lead_given_at = float("-inf")
        self._warned_at = float("-inf")
        self._resume_at: float | None = None
        """When to look at the listeners again; None while they are watched, or until an association ends."""

    def leave(self) -> None:
        """Say that an association has ended; called by its thread."""
        try:
            self._leaving.send(b"-")
        except OSError:
            return  # the door is closed

    def run(self) -> None:
        """Accept until the stop signal; then nothing is left open here."""
        for sock in (*self._sockets, self._left, self._leaving):
            sock.setblocking(False)
        self._selector.register(self._left, selectors.EVENT_READ)
        self._selector.register(self._stop, selectors.EVENT_READ)
        try:
            while not self._stop.is_set:
                self._watch_listeners()
                for key, _ in self._selector.select(self._seconds_to_next_deadline()):
                    self._handle(key)
                self._expire()
        finally:
            self._close()

    def _handle(self, key: selectors.SelectorKey) -> None:
        if isinstance(key.data, HalfOpen):
            if key.data in self._half_open:
                self._read(key.data)
        elif key.fileobj is self._left:
            self._n_associations -= len(self._left.recv(_READ_BYTES))
            self._admit_waiting()
        elif isinstance(key.fileobj, socket.socket) and not self._gives_lead():
            self._accept(key.fileobj)

    def _watch_listeners(self) -> None:
        """Select on the listening sockets exactly while there is room."""
        has_room = self._has_room()
        if has_room is self._is_accepting:
            return
        self._is_accepting = has_room
        for sock in self._sockets:
            if has_room:
                self._selector.register(sock, selectors.EVENT_READ)
            else:
                self._selector.unregister(sock)

    def _has_room(self) -> bool:
        """Return whether a new connection could become an association; brand-new ones are about to."""
        now = monotonic()
        self._resume_at = None
        free = self._config.max_associations - self._n_associations - len(self._waiting)
        if free <= 0:
            return False
        if now < self._paused_until:
            self._resume_at = self._paused_until
            return False
        for newest in reversed(self._half_open):
            if newest.opened_at + _PROMISING_S <= now:
                break
            free -= 1
            if free <= 0:
                self._paused_until = self._resume_at = newest.opened_at + _PROMISING_S
                return False
        return True

    def _gives_lead(self) -> bool:
        """Return whether a sibling that serves less may be first to take the connection that waits."""
        now = monotonic()
        if now < self._lead_given_at + _LEAD_COUNTS_S:
            self._lead_given_at = float("-inf")
            return False
        n_opening = len(self._half_open) + len(self._waiting)
        # Many that do not get on are no load, and must not hold up the others.
        n_served = self._n_associations + (n_opening if n_opening <= _MOST_LEADS else 0)
        n_leads = min(n_served, _MOST_LEADS)
        if not n_leads:
            return False
        self._lead_given_at = now
        self._paused_until = max(self._paused_until, now + n_leads * _LEAD_S)
        return True

    def _accept(self, listener: socket.socket) -> None:
        """Take one connection: one at a time, so that the processes share a burst."""
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return  # a sibling was first
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._back_off(error)
            return  # otherwise the peer has gone already
        self._set_options(sock)
        tls = self._tls.current() if self._tls is not None and listener in self._tls_sockets else None
        if tls is None and listener in self._tls_sockets:
            sock.close()
            return
        is_proxy = self._config.trusted_proxies.contain(parse_address(address[0]))
        half_open = HalfOpen(sock, address, monotonic(), is_proxy, tls)
        if not is_proxy:
            self._make_room_at_address(half_open)
        self._make_room(self._half_open, self._config.half_open_total)
        self._half_open[half_open] = None
        self._selector.register(sock, selectors.EVENT_READ, half_open)
        if len(self._half_open) >= self._config.half_open_total:
            oldest = next(iter(self._half_open))
            self._paused_until = oldest.opened_at + _FRESH_S
        self._read(half_open)

    def _back_off(self, error: OSError) -> None:
        logger.error("cannot accept connections: %s", error.strerror)
        self._make_room(self._half_open, 1)
        self._paused_until = monotonic() + _BACK_OFF_S

    def _set_options(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # No SO_RCVBUF and SO_SNDBUF: a fixed size ends the kernel's tuning, which goes further (tcp_rmem).
        except OSError:
            return  # already closed by the peer: reading will tell

    def _make_room_at_address(self, newest: HalfOpen) -> None:
        """Hold down what one caller's address has open; connections of callers not known yet count in all only."""
        same = [
            other
            for other in self._half_open
            if other.address[0] == newest.address[0] and other is not newest and not other.awaits_proxy_header
        ]
        self._make_room(same, self._config.half_open_per_address)

    def _make_room(self, candidates: "Sequence[HalfOpen] | dict[HalfOpen, None]", cap: int) -> None:
        """Close the oldest of `candidates`, in order of age, until fewer than `cap` are left or the rest is new."""
        surplus = len(candidates) - cap + 1
        newest = monotonic() - _FRESH_S
        for half_open in list(candidates)[: max(surplus, 0)]:
            if half_open.opened_at > newest:
                return
            self._drop(half_open)

    def _read(self, half_open: HalfOpen) -> None:
        """Go on with what is there."""
        was_nobodys, awaited = half_open.awaits_proxy_header, half_open.events
        try:
            is_whole = half_open.advance()
        except PduError as error:
            self._drop(half_open, encode_abort(error.reason))
        except ProxyHeaderError as error:
            self._warn(half_open, error)
            self._drop(half_open)
        except HandshakeError as error:
            self._refuse(half_open, error)
        except OSError:
            self._drop(half_open)
        else:
            if is_whole:
                self._forget(half_open)
                self._waiting.append(half_open)
                self._admit_waiting()
                return
            if was_nobodys and not half_open.awaits_proxy_header:
                self._make_room_at_address(half_open)
            if awaited != half_open.events:
                self._selector.modify(half_open.sock, half_open.events, half_open)

    def _refuse(self, half_open: HalfOpen, error: HandshakeError) -> None:
        address = plain_address(half_open.address[0])
        logger.info("TLS with %s refused: %s", address, error)
        self._note_refusal(address, str(error))
        try:
            # The alert is on its way: unread bytes would take it back.
            half_open.sock.shutdown(socket.SHUT_WR)
            socket.socket.recv(half_open.sock, _READ_BYTES)
        except OSError:
            pass
        self._drop(half_open)

    def _warn(self, half_open: HalfOpen, error: ProxyHeaderError) -> None:
        if monotonic() - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = monotonic()
            proxy = plain_address(half_open.address[0])
            logger.warning("connections from the trusted proxy %s are closed: %s (PACS_TRUSTED_PROXIES)", proxy, error)

    def _admit_waiting(self) -> None:
        """Let the longest waiting in while there is room."""
        while self._waiting and self._n_associations < self._config.max_associations:
            half_open = self._waiting.pop(0)
            connection = Connection(half_open.sock, half_open.address, bytes(half_open.received))
            try:
                self._enter(connection)
            except Exception as error:  # the boundary of one connection: the door stays open
                log_fault(logger, "opening an association", error)
                half_open.sock.close()
            else:
                self._n_associations += 1

    def _expire(self) -> None:
        """Close what has waited too long: for its request to come, or for room (PS3.8 9.1.5)."""
        oldest_allowed = monotonic() - self._config.artim_s
        while self._half_open and (oldest := next(iter(self._half_open))).opened_at <= oldest_allowed:
            self._drop(oldest)
        while self._waiting and self._waiting[0].opened_at <= oldest_allowed:
            self._say_goodbye(self._waiting.pop(0), encode_rejection(LIMIT_EXCEEDED))

    def _seconds_to_next_deadline(self) -> float | None:
        deadlines = [h.opened_at + self._config.artim_s for h in self._waiting[:1]]
        if self._half_open:
            deadlines.append(next(iter(self._half_open)).opened_at + self._config.artim_s)
        # As `_has_room` saw it: a pause that has run out since then must not be slept over.
        if self._resume_at is not None:
            deadlines.append(self._resume_at)
        return max(min(deadlines) - monotonic(), 0) if deadlines else None

    def _drop(self, half_open: HalfOpen, last_pdu: bytes = b"") -> None:
        self._forget(half_open)
        self._say_goodbye(half_open, last_pdu)

    def _say_goodbye(self, half_open: HalfOpen, last_pdu: bytes) -> None:
        try:
            if last_pdu:
                half_open.sock.send(last_pdu)
                finish_sending(half_open.sock)
        except OSError:
            pass  # it has gone already
        half_open.sock.close()

    def _forget(self, half_open: HalfOpen) -> None:
        del self._half_open[half_open]
        self._selector.unregister(half_open.sock)

    def _close(self) -> None:
        for half_open in list(self._half_open):
            self._drop(half_open)
        for half_open in self._waiting:
            half_open.sock.close()
        self._selector.close()
        self._left.close()
        self._leaving.close()
