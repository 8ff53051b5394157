"""The process that does the jobs (derived things, comparisons, commitment, rejections) and looks after the index."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pacs_gateway.archive.commitment import COMMITMENT_REPORT
from pacs_gateway.config import GatewayConfig
from pacs_gateway.dimse.commitment.report import CommitmentReporter
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.guard import prepare as prepare_guard
from pacs_gateway.jobs.queue import JobQueue, prune_events
from pacs_gateway.jobs.worker import Handler, Worker
from pacs_gateway.roles.index_check import index_check

# Receiving and serving go first; nobody waits for a job.
_NICENESS = 10
_EVENTS_KEPT = timedelta(days=7)
_COMMITMENTS_KEPT = timedelta(days=14)
_GRACE_S = 20.0
_FORGET_EVERY_S = 3600.0
_log = logging.getLogger(__name__)


def _forget(gateway: Gateway, stop: threading.Event) -> None:
    """Keep the outbox and old commitments from growing for ever: now, and every hour."""
    while True:
        now = gateway.clock()
        try:
            prune_events(gateway.database, before=to_microseconds(now - _EVENTS_KEPT))
            for transactions in (gateway.archive.commitments, gateway.archive.asked_commitments):
                transactions.prune(before=to_microseconds(now - _COMMITMENTS_KEPT))
        except GatewayError as error:
            _log.warning("what is old stays for now: %s", error)
        if stop.wait(_FORGET_EVERY_S):
            return


def _lane(gateway: Gateway, name: str, handlers: Mapping[str, Handler], stop: threading.Event) -> threading.Thread:
    """Return a thread that does jobs of their own kinds beside the others, whatever is being received."""
    queue = JobQueue(gateway.database, owner=secrets.token_hex(8), clock=gateway.queue_clock)
    worker = Worker(queue, handlers)

    def work() -> None:
        try:
            worker.run(stop)
        finally:
            # A lane that cannot go on ends the process, and the supervisor starts another.
            stop.set()

    # A peer that does not answer must not hold up the end of the process: its report is sent again.
    return threading.Thread(target=work, name=name, daemon=True)


def run(config: GatewayConfig, stop: threading.Event, _sockets: Sequence[socket.socket]) -> None:
    """Do jobs until `stop` is set."""
    os.nice(_NICENESS)
    prepare_guard()
    with open_gateway(config) as gateway, index_check(gateway.database, config.data_dir):
        archive = gateway.archive
        reporter = CommitmentReporter(archive.commitments, gateway.access.devices, config.dimse)
        threads = [
            threading.Thread(target=_forget, args=(gateway, stop), name="forget"),
            # Somebody waits for these, and neither is held up by the other: a peer that is away takes its time.
            _lane(gateway, "prompt", archive.prompt_handlers(), stop),
            _lane(gateway, "reports", {COMMITMENT_REPORT: reporter.run}, stop),
        ]
        for thread in threads:
            thread.start()
        queue = JobQueue(gateway.database, owner=secrets.token_hex(8), clock=gateway.queue_clock)
        try:
            Worker(queue, archive.handlers(), is_busy=archive.is_receiving).run(stop)
        finally:
            stop.set()
            for thread in threads:
                thread.join(_GRACE_S)
