"""One web process: the application served on listening sockets that the supervisor has bound."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from pacs_gateway.config import GatewayConfig
from pacs_gateway.gateway import open_gateway
from viewer_api.app import create_app
from viewer_api.config import WebConfig

_GRACE_S = 30
"""How long answers in flight may take after a SIGTERM (contract)."""
_IDLE_S = 75
_MAX_HEADERS_BYTES = 64 * 1024


def run(config: GatewayConfig, stop: threading.Event, descriptors: Sequence[int]) -> None:
    """Serve on inherited listening sockets until `stop` is set and what is in flight has ended."""
    sockets = [prepared(socket.socket(fileno=descriptor)) for descriptor in descriptors]
    with open_gateway(config) as gateway:
        server = make_server(create_app(WebConfig(), gateway))

        def serve() -> None:
            try:
                asyncio.run(server.serve(sockets))
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


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return a server for `app`; whoever starts it owns the signals and the log."""
    settings = uvicorn.Config(
        app,
        http="h11",
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
