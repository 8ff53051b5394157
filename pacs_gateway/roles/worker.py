"""The process that does the jobs: derived metadata and thumbnails, comparisons."""

import os
import secrets
import threading
from collections.abc import Sequence

from pacs_gateway.config import GatewayConfig
from pacs_gateway.gateway import open_gateway
from pacs_gateway.jobs.queue import JobQueue
from pacs_gateway.jobs.worker import Worker

# Receiving and serving go first; nobody waits for a job.
_NICENESS = 10


def run(config: GatewayConfig, stop: threading.Event, _descriptors: Sequence[int]) -> None:
    """Do jobs until `stop` is set."""
    os.nice(_NICENESS)
    with open_gateway(config) as gateway:
        queue = JobQueue(gateway.database, owner=secrets.token_hex(8), clock=gateway.clock)
        Worker(queue, gateway.archive.handlers()).run(stop)
