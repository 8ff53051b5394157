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
from pacs_gateway.gateway import Gateway, open_gateway

_EVERY_S = 5.0
_log = logging.getLogger(__name__)


def run(config: GatewayConfig, stop: threading.Event, _sockets: Sequence[socket.socket]) -> None:
    """Ship until `stop` is set."""
    with open_gateway(config) as gateway, gateway.archive.recovery(facility=config.access.facility) as recovery:
        # Beside shipping, which may take minutes for one batch where the line is slow.
        upkeep = threading.Thread(target=_keep_up, args=(gateway, stop), name="upkeep")
        upkeep.start()
        try:
            run_shipper(gateway.archive.shipper(), recovery, stop)
        finally:
            stop.set()
            upkeep.join()
        _leave(gateway.archive.nodes)


def _keep_up(gateway: Gateway, stop: threading.Event) -> None:
    """Say that the node lives, and keep its cache within bounds, every few seconds."""
    while True:
        try:
            gateway.archive.nodes.beat()
        except GatewayError as error:
            _log.warning("the other nodes do not hear of this one: %s", error)
        try:
            gateway.store.tidy()
        except GatewayError as error:
            _log.warning("the cache is not tidied: %s", error)
        if stop.wait(_EVERY_S):
            return


def _leave(nodes: Nodes) -> None:
    try:
        nodes.leave()
    except GatewayError as error:
        _log.warning("the other nodes take this one for dead: %s", error)
