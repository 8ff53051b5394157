"""HTTP/1.1 that waits for what callers send, but neither for ever nor for more than it can hold (promises B15)."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MAX_PENDING_BYTES = 64 * 1024


class PatientProtocol(HttpToolsProtocol):
    """Serves one connection; who dribbles the head of a request, or never ends it, is cut off.

    The parser keeps what it has not handed on yet (a header, a trailer) for as long as it grows: that is limited here.
    """

    header_deadline_s = 30.0
    _deadline: asyncio.TimerHandle | None = None
    _n_pending = 0
    """Bytes taken since the parser last came to the end of a head, a piece of content or a request."""
    _is_awaiting_content = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what has come; between the first and the last byte of a head the deadline runs."""
        self._n_pending += len(data)
        super().data_received(data)
        if self._n_pending > _MAX_PENDING_BYTES:
            self.transport.abort()
        elif self._n_pending and not self._is_awaiting_content:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer, which comes behind the content, is nothing that anybody here has asked for."""
        if not self._is_awaiting_content:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin with the request: its content follows, be it empty."""
        self._n_pending = 0
        self._is_awaiting_content = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of content."""
        self._n_pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Await the next request."""
        self._n_pending = 0
        self._is_awaiting_content = False
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_deadline_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
