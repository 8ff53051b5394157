"""Storage commitment as service class provider: the request, and the report on the association it came on.

A request is kept before it is answered. When its outcome is known soon, and the association is still there, the
report goes out on it, between other messages; whatever comes in between, a worker reports on an association of its
own (`report.py`).

References
----------
PS3.4 J.3 (storage commitment push model), PS3.7 10.1.1 (N-EVENT-REPORT) and 10.1.4 (N-ACTION)
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import cast

from pynetdicom.dimse_primitives import N_ACTION

from pacs_gateway.archive.commitment import Commitments, CommitmentState, Requester
from pacs_gateway.dimse.command import N_EVENT_REPORT_RQ, Field, encode_command
from pacs_gateway.dimse.commitment.message import decode_request, encode_result
from pacs_gateway.dimse.negotiation import STORAGE_COMMITMENT
from pacs_gateway.dimse.pdu import encode_data
from pacs_gateway.dimse.service import Exchange
from pacs_gateway.dimse.status import NormalizedStatus, normalized_failure, normalized_refusal
from pacs_gateway.domain.commitment import CommitmentResult
from pacs_gateway.errors import GatewayError

logger = logging.getLogger(__name__)

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The well-known SOP instance that all requests and reports are about (PS3.4 J.3.5)."""
REQUEST_COMMITMENT = 1
"""Action type (PS3.4 Table J.3-1)."""

ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event types (PS3.4 Table J.3-3)."""

SOON_S = 5.0
"""Decided within this, it is reported on the association of the request (settled: Negotiation and sending)."""
_ANSWERED_WITHIN_S = 30.0
_SPARE_S = 5.0


class CommitmentService:
    """Takes requests for storage commitment."""

    def __init__(self, commitments: Commitments, *, soon_s: float = SOON_S) -> None:
        self._commitments = commitments
        self._soon_s = soon_s

    def serve(self, exchange: Exchange) -> None:
        """Keep a request and answer it; its instances are checked by a worker."""
        request = cast(N_ACTION, exchange.request)
        refusal = _find_refusal(request)
        if refusal is not None:
            _answer(exchange, normalized_refusal(refusal))
            return
        information = request.ActionInformation
        asked = decode_request(information.getvalue() if information else b"", exchange.context.transfer_syntax)
        requester = Requester(exchange.device.ae_title, exchange.called_ae_title, exchange.device.facility)
        holder = secrets.token_hex(8)
        key = self._commitments.receive(asked, requester, holder=holder, hold_s=self._soon_s + _SPARE_S)
        logger.info("%s asks for a commitment to %d instances", exchange.device.ae_title, len(asked.references))
        _answer(exchange, {Field.STATUS: NormalizedStatus.SUCCESS})
        exchange.report_later(_OpenReport(self._commitments, exchange, key, holder=holder, wait_s=self._soon_s))

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request that could not be kept."""
        _answer(exchange, normalized_failure(error))


class _OpenReport:
    """Reports on the association on which a commitment was asked for."""

    def __init__(self, commitments: Commitments, exchange: Exchange, key: int, *, holder: str, wait_s: float) -> None:
        self._commitments = commitments
        self._exchange = exchange
        self._key = key
        self._holder = holder
        self._until = monotonic() + wait_s
        self._message_id = 0
        self._is_done = False

    def go_on(self) -> bool:
        """Report if the outcome is known by now; return whether there is still something to wait for."""
        with self._ending_on_trouble():
            if not self._message_id and self._commitments.state(self._key) is not CommitmentState.CHECKING:
                self._report()
            elif not self._is_done and monotonic() > self._until:
                self._give_back()
        return not self._is_done

    def take_answer(self, message_id: int, status: int) -> None:
        """Note that the requester has the report, or let a worker try."""
        if self._is_done or not self._message_id or message_id != self._message_id:
            return
        with self._ending_on_trouble():
            if status == NormalizedStatus.SUCCESS:
                self._is_done = True
                self._commitments.deliver(self._key)
            else:
                logger.warning("%s refused a commitment's report: 0x%04X", self._exchange.device.ae_title, status)
                self._give_back()

    def drop(self) -> None:
        """Let a worker report."""
        with self._ending_on_trouble():
            if not self._is_done:
                self._give_back()

    def _report(self) -> None:
        hold_s = _ANSWERED_WITHIN_S + _SPARE_S
        report = self._commitments.take(self._key, holder=self._holder, hold_s=hold_s)
        if report is None:  # a worker was first
            self._is_done = True
            return
        association, context = self._exchange.association, self._exchange.context
        self._message_id = secrets.randbelow(0xFFFF) + 1  # a late answer to an earlier report has another one
        self._until = monotonic() + _ANSWERED_WITHIN_S
        max_length = association.dimse.maximum_pdu_size
        command = encode_command(report_command(report.result, self._message_id), has_data_set=True)
        data_set = encode_result(
            report.result, context.transfer_syntax, retrieve_ae_title=report.requester.called_ae_title
        )
        encoded = encode_data(self._exchange.context_id, command, is_command=True, max_length=max_length)
        encoded += encode_data(self._exchange.context_id, data_set, is_command=False, max_length=max_length)
        association.dul.send_data(encoded)

    def _give_back(self) -> None:
        self._is_done = True
        self._commitments.release(self._key, holder=self._holder)

    @contextmanager
    def _ending_on_trouble(self) -> Iterator[None]:
        """Give up when the index is away: what is held becomes free by itself."""
        try:
            yield
        except GatewayError as error:
            self._is_done = True
            logger.warning("a commitment is not reported on its association: %s", error)


def report_command(result: CommitmentResult, message_id: int) -> dict[Field, int | str]:
    """Return the command set of the N-EVENT-REPORT that carries `result` (PS3.7 10.3.1, PS3.4 Table J.3-3)."""
    return {
        Field.COMMAND_FIELD: N_EVENT_REPORT_RQ,
        Field.MESSAGE_ID: message_id,
        Field.AFFECTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        Field.AFFECTED_SOP_INSTANCE_UID: COMMITMENT_INSTANCE,
        Field.EVENT_TYPE_ID: SOME_FAILED if result.failed else ALL_COMMITTED,
    }


def _find_refusal(request: N_ACTION) -> NormalizedStatus | None:
    if request.RequestedSOPInstanceUID != COMMITMENT_INSTANCE:
        return NormalizedStatus.NO_SUCH_SOP_INSTANCE
    if request.ActionTypeID != REQUEST_COMMITMENT:
        return NormalizedStatus.NO_SUCH_ACTION_TYPE
    return None


def _answer(exchange: Exchange, outcome: dict[Field, int | str]) -> None:
    request = cast(N_ACTION, exchange.request)
    exchange.answer(
        {
            Field.AFFECTED_SOP_CLASS_UID: str(request.RequestedSOPClassUID),
            Field.AFFECTED_SOP_INSTANCE_UID: str(request.RequestedSOPInstanceUID),
            Field.ACTION_TYPE_ID: cast(int, request.ActionTypeID),
            **outcome,
        }
    )
