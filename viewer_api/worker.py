"""One web process: the application served on listening sockets that the supervisor has bound."""

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import uvloop
from starlette.types import ASGIApp

from pacs_gateway.config import GatewayConfig
from pacs_gateway.gateway import Gateway, open_gateway
from viewer_api.app import create_app, create_node_app
from viewer_api.config import WebConfig
from viewer_api.server import WebServer


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
    with open_gateway(config) as gateway:
        server = WebServer(create(replace(web, trusted_proxies=config.trusted_proxies), gateway))

        def serve() -> None:
            try:
                uvloop.run(server.serve(list(sockets)))
            finally:
                stop.set()

        # Beside the main thread the server leaves the signals alone.
        serving = threading.Thread(target=serve, name="web-server")
        serving.start()
        stop.wait()
        server.should_exit = True
        serving.join()
