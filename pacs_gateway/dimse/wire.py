"""One connection: large reads into one buffer, whole PDUs out of it, and a clock on everybody who is slow.

The socket never blocks; waiting is a ``poll`` with exactly the time that is left. So one thread per association can
wait for a PDU, look whether something is readable, and be woken when the process stops, without polling in a loop.
"""

import math
import select
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from itertools import islice
from time import monotonic

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.pdu import HEADER_LENGTH, MAX_ASSOCIATE_LENGTH, AbortReason, PduError, pdu_size
from pacs_gateway.dimse.tls_socket import finish_sending

_SLOWEST_BYTES_PER_S = 1024
_DISCARD_BYTES = 64 * 1024
# Buffers of one system call (IOV_MAX on Linux is 1,024).
_MAX_BUFFERS = 1000
# What a slow peer has the deadline of one PDU for.
_TLS_PIECE_BYTES = 128 * 1024


class StopSignal:
    """Wakes every thread that waits for a peer's next message; once set it stays set."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self.is_set = False

    def set(self) -> None:
        """Wake everybody; may be called from a signal handler and more than once."""
        self.is_set = True
        # The end of the stream is readable for every poll, now and later.
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._reader.fileno()

    def close(self) -> None:
        """Free the descriptors; nobody waits any more."""
        self._writer.close()
        self._reader.close()


class Wire:
    """The receiving and sending end of one connection; used by one thread."""

    def __init__(
        self, sock: socket.socket, config: DimseConfig, *, received: bytes = b"", stop: StopSignal | None = None
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        self._config = config
        # Room for the longest PDU twice, so that one read can bring several.
        self._buffer = bytearray(2 * (max(2 * config.max_pdu, MAX_ASSOCIATE_LENGTH) + HEADER_LENGTH))
        self._view = memoryview(self._buffer)
        self._view[: len(received)] = received
        self._start = self._next = 0
        self._end = len(received)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._idle_poll = self._poll
        if stop is not None:
            self._idle_poll = select.poll()
            self._idle_poll.register(sock, select.POLLIN)
            self._idle_poll.register(stop, select.POLLIN)
        self._fd = sock.fileno()
        self._in_message = False
        self._patience_s = 0.0

    def begin_message(self) -> None:
        """Start the clock that a message's sender must keep up with."""
        self._in_message = True
        self._patience_s = self._config.message_s

    def end_message(self) -> None:
        """Stop that clock: silence is legitimate again."""
        self._in_message = False

    def next_pdu(self, limit: int, wait_s: float | None, *, is_interruptible: bool = False) -> memoryview | None:
        """Return the next whole PDU, valid until the next call, or None when none began to come.

        Parameters
        ----------
        limit
            Longest acceptable PDU, in bytes without its header.
        wait_s
            How long its first byte may take; None for as long as the message's clock allows, 0 for no waiting at all.
        is_interruptible
            Whether the stop signal ends the waiting.

        Raises
        ------
        PduError
            The header is impossible, or the rest takes longer than the deadline for one PDU.
        OSError
            The connection is lost.
        """
        self._start = self._next
        if self._start == self._end:
            self._start = self._next = self._end = 0
        size, deadline, was_partial = 0, math.inf, None
        while True:
            if not size and self._end - self._start >= HEADER_LENGTH:
                size = pdu_size(self._buffer, limit, self._start)
            if size and self._end - self._start >= size:
                self._next = self._start + size
                return self._view[self._start : self._next]
            if self._read_some(size or HEADER_LENGTH):
                continue
            if wait_s == 0:
                return None
            is_partial = self._end > self._start
            if is_partial is not was_partial:
                was_partial = is_partial
                allowed_s = self._config.pdu_deadline_s if is_partial else wait_s
                deadline = math.inf if allowed_s is None else monotonic() + allowed_s
            if not self._wait(deadline, is_interruptible and not is_partial):
                if is_partial:
                    raise PduError(AbortReason.NOT_SPECIFIED, "peer too slow within a PDU")
                return None

    def send(self, data: bytes | memoryview) -> None:
        """Send all of `data`.

        Raises
        ------
        OSError
            The connection is lost, or the peer does not read it within the deadline for one PDU.
        """
        view = memoryview(data)
        deadline: float | None = None
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                deadline = deadline or monotonic() + self._config.pdu_deadline_s
                _await_writable(self._sock, deadline - monotonic())

    def send_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send `parts` one behind the other, without joining them where the connection can do that.

        Raises
        ------
        OSError
            The connection is lost, or the peer reads less than 1 KiB/s for as long as it may be silent.
        """
        if isinstance(self._sock, ssl.SSLSocket):
            joined = memoryview(b"".join(parts))
            for start in range(0, len(joined), _TLS_PIECE_BYTES):
                self.send(joined[start : start + _TLS_PIECE_BYTES])
            return
        views = deque(memoryview(part) for part in parts)
        patience_s = self._config.pdu_deadline_s
        while views:
            try:
                n_bytes = self._sock.sendmsg(islice(views, _MAX_BUFFERS))
            except BlockingIOError:
                since = monotonic()
                _await_writable(self._sock, patience_s)
                patience_s -= monotonic() - since
                continue
            patience_s = min(self._config.pdu_deadline_s, patience_s + n_bytes / _SLOWEST_BYTES_PER_S)
            while views and n_bytes >= len(views[0]):
                n_bytes -= len(views.popleft())
            if n_bytes:
                views[0] = views[0][n_bytes:]

    def linger(self, seconds: float) -> None:
        """Say that nothing more comes, then read and forget until the peer closes, at most `seconds`.

        Closing with unread bytes would reset the connection and could take our last PDU with it.
        """
        deadline = monotonic() + seconds
        try:
            finish_sending(self._sock)
            while (left := deadline - monotonic()) > 0:
                # Below TLS, if there is any: what it says does not matter any more.
                if self._poll.poll(math.ceil(left * 1000)) and not socket.socket.recv(self._sock, _DISCARD_BYTES):
                    return
        except OSError:
            return

    def _read_some(self, needed: int) -> bool:
        """Read what is there; return False when that is nothing.

        Raises
        ------
        OSError
            The connection is lost.
        """
        if len(self._buffer) - self._start < needed:
            self._move_to_front()
        try:
            n_bytes = self._sock.recv_into(self._view[self._end :])
        except BlockingIOError:
            return False
        if not n_bytes:
            raise ConnectionResetError("closed by the peer")
        self._end += n_bytes
        if self._in_message:
            earned_s = n_bytes / _SLOWEST_BYTES_PER_S
            self._patience_s = min(self._config.message_s, self._patience_s + earned_s)
        return True

    def _move_to_front(self) -> None:
        """Make room behind the beginning of a PDU that does not fit."""
        self._buffer[: self._end - self._start] = self._view[self._start : self._end]
        self._end -= self._start
        self._start = self._next = 0

    def _wait(self, deadline: float, is_interruptible: bool) -> bool:
        """Wait until the socket is readable; return False on the deadline, lost patience or the stop signal."""
        now = monotonic()
        left_s = deadline - now
        if self._in_message:
            left_s = min(left_s, self._patience_s)
        if left_s <= 0:
            return False
        timeout_ms = None if left_s == math.inf else math.ceil(left_s * 1000)
        if self._in_message and self._is_tcp:
            # Acknowledge what came before we sleep: a sender that gathers small segments (Nagle) holds the end of
            # every object back until then, and the kernel would let it wait 40 ms.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        ready = (self._idle_poll if is_interruptible else self._poll).poll(timeout_ms)
        if self._in_message:
            self._patience_s -= monotonic() - now
        return any(fd == self._fd for fd, _ in ready)


def _await_writable(sock: socket.socket, seconds: float) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    if seconds <= 0 or not poller.poll(math.ceil(seconds * 1000)):
        raise TimeoutError("peer does not read")
