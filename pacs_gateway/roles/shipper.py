"""The process that moves this node's spool into the object store, and takes over what dead processes left.

It speaks for the node: as long as it does, others know that what the node has not shipped can be fetched.
"""

import logging
import socket
import threading
from collections.abc import Sequence

from pacs_gateway.archive.nodes import Nodes
from pacs_gateway.archive.ship import run_shipper
from pacs_gateway.config import GatewayConfig
from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import open_gateway

_BEAT_EVERY_S = 5.0
_log = logging.getLogger(__name__)


def run(config: GatewayConfig, stop: threading.Event, _sockets: Sequence[socket.socket]) -> None:
    """Ship until `stop` is set."""
    with open_gateway(config) as gateway, gateway.archive.recovery(facility=config.access.facility) as recovery:
        nodes = gateway.archive.nodes
        # Beside shipping, which may take minutes for one batch where the line is slow.
        beating = threading.Thread(target=_beat, args=(nodes, stop), name="heartbeat")
        beating.start()
        try:
            run_shipper(gateway.archive.shipper(), recovery, stop)
        finally:
            stop.set()
            beating.join()
        _leave(nodes)


def _beat(nodes: Nodes, stop: threading.Event) -> None:
    while True:
        try:
            nodes.beat()
        except GatewayError as error:
            _log.warning("the other nodes do not hear of this one: %s", error)
        if stop.wait(_BEAT_EVERY_S):
            return


def _leave(nodes: Nodes) -> None:
    try:
        nodes.leave()
    except GatewayError as error:
        _log.warning("the other nodes take this one for dead: %s", error)
