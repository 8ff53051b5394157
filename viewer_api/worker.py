"""One web process: the application served on listening sockets that the supervisor has bound."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pacs_gateway.config import GatewayConfig
from pacs_gateway.gateway import Gateway, open_gateway
from viewer_api.app import create_app, create_node_app
from viewer_api.config import WebConfig

_GRACE_S = 30
"""How long answers in flight may take after a SIGTERM (contract)."""
_IDLE_S = 75
_MAX_HEADERS_BYTES = 64 * 1024


def run(config: GatewayConfig, stop: threading.Event, sockets: Sequence[socket.socket]) -> None:
    """Serve the web on inherited listening sockets until `stop` is set and what is in flight has ended."""
    _run(create_app, WebConfig(needs=frozenset({"index"})), config, stop, sockets)


def run_beside_dicom(config: GatewayConfig, stop: threading.Event, sockets: Sequence[socket.socket]) -> None:
    """Serve the web, as ``run`` does, of a gateway that also receives: it is ready when it can do both (contract)."""
    _run(create_app, WebConfig(needs=frozenset({"index", "spool"})), config, stop, sockets)


def run_for_nodes(config: GatewayConfig, stop: threading.Event, sockets: Sequence[socket.socket]) -> None:
    """Serve other nodes and orchestrators, as ``run`` serves the web."""
    _run(create_node_app, WebConfig(needs=frozenset({"spool"})), config, stop, sockets)


def _run(
    create: Callable[[WebConfig, Gateway], ASGIApp],
    web: WebConfig,
    config: GatewayConfig,
    stop: threading.Event,
    sockets: Sequence[socket.socket],
) -> None:
    listening = [prepared(inherited) for inherited in sockets]
    with open_gateway(config) as gateway:
        server = make_server(create(replace(web, trusted_proxies=config.trusted_proxies), gateway))

        def serve() -> None:
            try:
                asyncio.run(server.serve(listening))
            finally:
                stop.set()

        # Beside the main thread the server leaves the signals alone.
        serving = threading.Thread(target=serve, name="web-server")
        serving.start()
        stop.wait()
        server.should_exit = True
        serving.join()


def prepared(listening: socket.socket) -> socket.socket:
    """Return a listening socket whose connections send at once: head and body of an answer are two small writes.

    Connections inherit the option; the event loop sets it itself only where the socket names its protocol.
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that waits for a request's headers, but not for ever: who dribbles them is cut off (promises B15)."""

    header_deadline_s = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Take what has come; between the first and the last byte of the headers the deadline runs."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_deadline_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return a server for `app`; whoever starts it owns the signals and the log."""
    settings = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_MAX_HEADERS_BYTES,
    )
    return uvicorn.Server(settings)
