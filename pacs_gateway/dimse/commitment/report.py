"""Reporting what was committed to on an association of our own, for as long as it takes (promise P8).

We call the address that is registered for the requester, with the title of ours that it called, and propose the role
of the provider (PS3.4 J.3.3). A report that is not acknowledged is tried again with growing pauses for a day.
"""

import logging
import secrets
from time import monotonic

from pacs_gateway.archive.commitment import Commitments, Report, Requester
from pacs_gateway.dimse.commitment.message import encode_result
from pacs_gateway.dimse.commitment.service import report_command
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.negotiation import MESSAGE_SYNTAXES, STORAGE_COMMITMENT
from pacs_gateway.dimse.ports import Destinations
from pacs_gateway.dimse.scu.calling import ask
from pacs_gateway.dimse.scu.destination import remote_of
from pacs_gateway.dimse.scu.requestor import Proposal, Remote, RequestedAssociation, associate
from pacs_gateway.dimse.status import NormalizedStatus
from pacs_gateway.errors import GatewayError, NotFoundError, RefusedError, UnavailableError
from pacs_gateway.jobs.queue import Job

logger = logging.getLogger(__name__)

_PROPOSAL = Proposal(STORAGE_COMMITMENT, tuple(MESSAGE_SYNTAXES), as_scu=False, as_scp=True)
# As long as a job's lease: who has not delivered by then is slow or dead, and a report may come twice.
_HOLD_S = 60.0
# So long nobody tries to reach a requester that was not to be reached: many reports may wait for it.
_AWAY_S = 20.0


class CommitmentReporter:
    """Does the jobs of kind `COMMITMENT_REPORT`; used by one thread."""

    def __init__(self, commitments: Commitments, destinations: Destinations, config: DimseConfig) -> None:
        self._commitments = commitments
        self._destinations = destinations
        self._config = config
        self._away: dict[tuple[str, int], tuple[float, str]] = {}
        """Addresses that could not be reached, until when that is believed, and why it was."""

    def run(self, job: Job) -> int | None:
        """Report once; return when to try again (UTC microseconds), or None when there is nothing left to do.

        Raises
        ------
        UnavailableError
            The index is away.
        """
        key, holder = int(job.key), secrets.token_hex(8)
        report = self._commitments.take(key, holder=holder, hold_s=_HOLD_S)
        if report is None:
            return self._commitments.held_until(key)
        try:
            self._send(report)
        except GatewayError as error:
            again_at = self._commitments.put_off(key, str(error), holder=holder)
            logger.warning("commitment %d is not reported to %s yet: %s", key, report.requester.ae_title, error)
            return again_at
        self._commitments.deliver(key)
        return None

    def _send(self, report: Report) -> None:
        remote = self._find(report.requester)
        address = (remote.host, remote.port)
        until, reason = self._away.pop(address, (0.0, ""))
        if monotonic() < until:
            self._away[address] = until, reason
            raise UnavailableError(reason)
        try:
            with associate(remote, [_PROPOSAL], self._config) as association:
                _notify(association, report)
        except UnavailableError as error:
            self._away[address] = monotonic() + _AWAY_S, str(error)
            raise

    def _find(self, requester: Requester) -> Remote:
        called = requester.called_ae_title
        destination = self._destinations.destination(requester.ae_title, called=called)
        if destination is None:
            raise NotFoundError("no HOST PORT is registered for it")
        return remote_of(destination, calling=called, tls=self._config.tls)


def _notify(association: RequestedAssociation, report: Report) -> None:
    """Send the report and wait for its acknowledgement.

    Raises
    ------
    RefusedError, UnavailableError
        There is none.
    """
    # Some accept the service and forget to answer the role selection: they take the report all the same.
    context_id, context = next(iter(association.contexts.items()))
    command = report_command(report.result, association.next_message_id())
    data_set = encode_result(report.result, context.transfer_syntax, retrieve_ae_title=report.requester.called_ae_title)
    (response,) = ask(association, context_id, command, data_set)
    if response.status != NormalizedStatus.SUCCESS:
        raise RefusedError(f"the report was answered 0x{response.status:04X}")
