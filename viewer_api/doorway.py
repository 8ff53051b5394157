"""Who takes a new connection: the web process that has less to do than its siblings.

Several processes share each listening socket. Left to the event loop, one of them takes all six connections of a
browser, and its interpreter is busy while the other's processor idles.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

# For each request in work, up to five, a sibling with fewer gets so much of a lead.
_LEAD_S = 0.001
_MOST_LEADS = 5
# A connection that was just taken is about to bring a request.
_PROMISING_S = 0.05
# Out of descriptors or memory: the backlog is left alone for a moment.
_BACK_OFF_S = 0.25


class Doorway:
    """Accepts on one listening socket, in the event loop that runs; has what uvicorn asks of a server."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        count_requests: Callable[[], int],
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._make_protocol = make_protocol
        self._count_requests = count_requests
        self._loop = asyncio.get_running_loop()
        self._taken_at: deque[float] = deque(maxlen=_MOST_LEADS)
        self._entering: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._watch()

    def close(self) -> None:
        """Accept nothing more; the socket is its owner's."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Wait for connections that were just taken to be served."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _watch(self) -> None:
        self._loop.add_reader(self._listening, self._knock)

    def _knock(self) -> None:
        """Take the connection that waits, or leave it to a sibling first."""
        if n_leads := self._n_leads():
            self._pause(n_leads * _LEAD_S)
        else:
            self._accept()

    def _n_leads(self) -> int:
        now = self._loop.time()
        n_promising = sum(taken_at > now - _PROMISING_S for taken_at in self._taken_at)
        return min(max(self._count_requests(), n_promising), _MOST_LEADS)

    def _pause(self, for_s: float) -> None:
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(for_s, self._resume)

    def _resume(self) -> None:
        """Take what no sibling has taken."""
        self._paused = None
        self._watch()
        self._accept()

    def _accept(self) -> None:
        """Take one connection: one at a time, so that the processes share a burst."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # a sibling was first, or the caller is gone
        except OSError as error:
            _log.error("cannot accept connections: %s", error.strerror)
            self._pause(_BACK_OFF_S)
            return
        self._taken_at.append(self._loop.time())
        entering = self._loop.create_task(self._enter(connection))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:  # the caller has gone in the meantime
            connection.close()
