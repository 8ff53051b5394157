"""The process that moves this node's spool into the object store, and takes over what dead processes left."""

import socket
import threading
from collections.abc import Sequence

from pacs_gateway.archive.ship import run_shipper
from pacs_gateway.config import GatewayConfig
from pacs_gateway.gateway import open_gateway


def run(config: GatewayConfig, stop: threading.Event, _sockets: Sequence[socket.socket]) -> None:
    """Ship until `stop` is set."""
    with open_gateway(config) as gateway, gateway.archive.recovery(facility=config.access.facility) as recovery:
        run_shipper(gateway.archive.shipper(), recovery, stop)
