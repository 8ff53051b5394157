"""Storage commitment as service class user: asking another archive, and taking its report whenever it comes.

References
----------
PS3.4 J.3 (storage commitment push model)
"""

import logging
from collections.abc import Sequence
from typing import cast

from pynetdicom.dimse_primitives import N_EVENT_REPORT

from pacs_gateway.archive.asked_commitment import AskedCommitments
from pacs_gateway.dimse.command import N_ACTION_RQ, Field
from pacs_gateway.dimse.commitment.message import decode_result, encode_request
from pacs_gateway.dimse.commitment.service import (
    ALL_COMMITTED,
    COMMITMENT_INSTANCE,
    REQUEST_COMMITMENT,
    SOME_FAILED,
)
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.negotiation import MESSAGE_SYNTAXES, STORAGE_COMMITMENT
from pacs_gateway.dimse.ports import Destination
from pacs_gateway.dimse.scu.calling import lost
from pacs_gateway.dimse.scu.destination import remote_of
from pacs_gateway.dimse.scu.requestor import Proposal, RequestedAssociation, associate
from pacs_gateway.dimse.service import Exchange
from pacs_gateway.dimse.status import NormalizedStatus, normalized_failure, normalized_refusal
from pacs_gateway.domain.commitment import CommitmentRequest, Reference
from pacs_gateway.errors import GatewayError, RefusedError

logger = logging.getLogger(__name__)

_PROPOSAL = Proposal(STORAGE_COMMITMENT, tuple(MESSAGE_SYNTAXES))


class CommitmentReportService:
    """Takes the reports of archives that were asked."""

    def __init__(self, asked: AskedCommitments) -> None:
        self._asked = asked

    def serve(self, exchange: Exchange) -> None:
        """Keep a report and acknowledge it."""
        report = cast(N_EVENT_REPORT, exchange.request)
        refusal = _find_refusal(report)
        if refusal is not None:
            _acknowledge(exchange, normalized_refusal(refusal))
            return
        information = report.EventInformation
        result = decode_result(information.getvalue() if information else b"", exchange.context.transfer_syntax)
        self._asked.answer(exchange.device.ae_title, result)
        n_failed = len(result.failed)
        logger.info("%s commits to %d instances, not to %d", exchange.device.ae_title, len(result.committed), n_failed)
        _acknowledge(exchange, {Field.STATUS: NormalizedStatus.SUCCESS})

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a report that could not be kept."""
        _acknowledge(exchange, normalized_failure(error))


def request_commitment(
    archive: Destination,
    references: Sequence[Reference],
    asked: AskedCommitments,
    config: DimseConfig,
    *,
    calling: str,
    wait_s: float = 3.0,
) -> str:
    """Ask `archive` to commit to instances that were sent to it; return the transaction UID.

    Parameters
    ----------
    asked
        Where the transaction is kept, and what has been reported can be looked up.
    calling
        The title of ours under which the instances were sent.
    wait_s
        How long a report is waited for on the association of the request, in seconds; most archives report later, on
        one of their own.

    Raises
    ------
    RefusedError
        The archive does not offer the service, or not to us, or refused the request.
    UnavailableError
        It cannot be reached, or has not said whether it took the request; it may report all the same.
    """
    remote = remote_of(archive, calling=calling, tls=config.tls)
    request = asked.begin(archive.ae_title, references)
    try:
        with associate(remote, [_PROPOSAL], config) as association:
            status = _ask(association, request)
            if status == NormalizedStatus.SUCCESS:
                _take_report(association, archive, CommitmentReportService(asked), wait_s)
    except RefusedError:
        asked.forget(request.transaction_uid)
        raise
    if status != NormalizedStatus.SUCCESS:
        asked.forget(request.transaction_uid)
        raise RefusedError(f"{archive.ae_title} refused a commitment: 0x{status:04X}")
    return request.transaction_uid


def _ask(association: RequestedAssociation, request: CommitmentRequest) -> int:
    """Send the request and return the status of its answer."""
    syntax = association.contexts[association.context_id(STORAGE_COMMITMENT)].transfer_syntax
    command: dict[Field, int | str] = {
        Field.REQUESTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        Field.REQUESTED_SOP_INSTANCE_UID: COMMITMENT_INSTANCE,
        Field.ACTION_TYPE_ID: REQUEST_COMMITMENT,
    }
    data_set = encode_request(request, syntax)
    (response,) = association.ask(STORAGE_COMMITMENT, N_ACTION_RQ, command, data_set)
    return response.status


def _take_report(
    association: RequestedAssociation, archive: Destination, service: CommitmentReportService, wait_s: float
) -> None:
    """Take the report if it comes on this association soon."""
    context_id, message = association.dimse.next_request(wait_s)
    context = association.contexts.get(context_id or 0)
    if isinstance(message, N_EVENT_REPORT) and message.is_valid_request and context_id and context:
        exchange = Exchange(association, context_id, context, message, archive, archive.host)
        try:
            service.serve(exchange)
        except GatewayError as error:
            logger.warning("a report of %s is not taken: %s", archive.ae_title, error)
            service.fail(exchange, error)
    elif message is not None or not association.dimse.is_waiting:
        # It has ended the association, or sends what it was not asked for: it has the request, and may report later.
        lost(association)


def _find_refusal(report: N_EVENT_REPORT) -> NormalizedStatus | None:
    if report.AffectedSOPInstanceUID != COMMITMENT_INSTANCE:
        return NormalizedStatus.NO_SUCH_SOP_INSTANCE
    if report.EventTypeID not in (ALL_COMMITTED, SOME_FAILED):
        return NormalizedStatus.NO_SUCH_EVENT_TYPE
    return None


def _acknowledge(exchange: Exchange, outcome: dict[Field, int | str]) -> None:
    report = cast(N_EVENT_REPORT, exchange.request)
    exchange.answer(
        {
            Field.AFFECTED_SOP_CLASS_UID: str(report.AffectedSOPClassUID),
            Field.AFFECTED_SOP_INSTANCE_UID: str(report.AffectedSOPInstanceUID),
            Field.EVENT_TYPE_ID: cast(int, report.EventTypeID),
            **outcome,
        }
    )
