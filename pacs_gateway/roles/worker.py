"""The process that does the jobs (derived metadata and thumbnails, comparisons) and looks after the index."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from datetime import timedelta

from pacs_gateway.config import GatewayConfig
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.jobs.queue import JobQueue, prune_events
from pacs_gateway.jobs.worker import Worker
from pacs_gateway.roles.index_check import index_check

# Receiving and serving go first; nobody waits for a job.
_NICENESS = 10
_EVENTS_KEPT = timedelta(days=7)
_FORGET_EVERY_S = 3600.0
_log = logging.getLogger(__name__)


def _forget_events(gateway: Gateway, stop: threading.Event) -> None:
    """Keep the outbox from growing for ever: now, and every hour."""
    while True:
        try:
            prune_events(gateway.database, before=to_microseconds(gateway.clock() - _EVENTS_KEPT))
        except GatewayError as error:
            _log.warning("old events stay for now: %s", error)
        if stop.wait(_FORGET_EVERY_S):
            return


def run(config: GatewayConfig, stop: threading.Event, _sockets: Sequence[socket.socket]) -> None:
    """Do jobs until `stop` is set."""
    os.nice(_NICENESS)
    with open_gateway(config) as gateway, index_check(gateway.database, config.data_dir):
        forgetting = threading.Thread(target=_forget_events, args=(gateway, stop), name="events")
        forgetting.start()
        queue = JobQueue(gateway.database, owner=secrets.token_hex(8), clock=gateway.queue_clock)
        try:
            Worker(queue, gateway.archive.handlers(), is_busy=gateway.archive.is_receiving).run(stop)
        finally:
            stop.set()
            forgetting.join()
