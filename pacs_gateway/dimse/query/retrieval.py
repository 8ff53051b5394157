"""What C-MOVE and C-GET have in common: which instances are meant, and one sub-operation after the other.

References
----------
PS3.4 C.4.2 and C.4.3 (C-MOVE and C-GET), PS3.7 9.1.3 and 9.1.4
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import cast

from pynetdicom.dimse_primitives import C_GET, C_MOVE

from pacs_gateway.access.policy import Action, decide, scope
from pacs_gateway.archive import egress
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.dimse.association import GatewayAssociation
from pacs_gateway.dimse.caller import caller_of
from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.query.information_model import MODELS
from pacs_gateway.dimse.query.suboperations import MOST_SUBOPERATIONS, RetrieveStatus, SubOperations
from pacs_gateway.dimse.query.turns import Turns
from pacs_gateway.dimse.query.unique_keys import unique_keys
from pacs_gateway.dimse.scu.planning import choose_context
from pacs_gateway.dimse.scu.sending import Originator, Outgoing, Priority, read_first, store
from pacs_gateway.dimse.service import Exchange
from pacs_gateway.dimse.status import StoreStatus, query_failure
from pacs_gateway.domain.raw_data_set import RawDataSet
from pacs_gateway.errors import CapacityError, GatewayError, UnavailableError

logger = logging.getLogger(__name__)

# Requesters give up after half a minute without a word, as a rule; a large object may take longer.
_SILENCE_S = 10.0


class _StoppedError(Exception):
    """The requester cancelled, or left, in the middle of an object."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where retrievals take from."""

    retrieve: Retrieve
    turns: Turns

    def begin(self, exchange: Exchange, action: Action) -> "Retrieval":
        """Return the retrieval of what the request of `exchange` names, inside its device's scope.

        Raises
        ------
        RefusedError
            The device may not do `action`.
        InvalidQueryError
            The identifier does not say what to retrieve.
        CapacityError
            It is more than can be counted.
        UnavailableError
            The index is away.
        """
        caller = caller_of(exchange.device)
        decide(caller, action)
        request = cast(C_MOVE | C_GET, exchange.request)
        identifier = request.Identifier.getvalue() if request.Identifier else b""
        keys = unique_keys(
            RawDataSet.parse(identifier, exchange.context.transfer_syntax),
            MODELS[exchange.context.abstract_syntax],
            is_relational=exchange.context.extended[:1] == b"\1",
            charset=exchange.device.charset,
        )
        return Retrieval(exchange, self.retrieve.by_keys(scope(caller), keys, limit=MOST_SUBOPERATIONS), self)


class Retrieval:
    """One C-MOVE or C-GET under way; used by its association's thread."""

    def __init__(self, exchange: Exchange, instances: Sequence[StoredInstance], source: Source) -> None:
        self.instances = instances
        """All that were asked for."""
        self.operations = SubOperations(len(instances))
        self._exchange = exchange
        self._source = source
        self._priority = Priority(cast(C_MOVE | C_GET, exchange.request).Priority or Priority.MEDIUM)
        self._problem = ""
        self._ahead: tuple[int, str, Iterator[bytes]] | None = None
        """Instance, transfer syntax and pieces of what was read while something else was sent."""
        self._began_at = self._told_at = monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the requester cancelled, or is gone."""
        return self._exchange.is_cancelled

    def deliver(
        self,
        association: GatewayAssociation,
        stored: StoredInstance,
        *,
        message_id: int,
        originator: Originator | None = None,
        following: StoredInstance | None = None,
    ) -> None:
        """Carry out one sub-operation when its turn has come, count it and tell the requester.

        `following` is read while this one's answer is waited for. Whatever goes wrong is counted; whether the
        association has outlived it is for the caller to see.
        """
        with self._source.turns.turn(self._priority, self._look) as has_turn:
            if not has_turn:
                return
            try:
                status = self._send(association, stored, following, message_id=message_id, originator=originator)
            except _StoppedError:
                return
            except Exception as error:  # the boundary of one sub-operation
                status = self._fault(error)
        self.operations.count(stored.sop_uid, status)
        if association is self._exchange.association:
            # The next object or the last response follows at once.
            self._told_at = monotonic()
            self._exchange.answer_along(self.operations.elements(RetrieveStatus.PENDING))
        else:
            self._tell()

    def give_up(self, instances: Collection[StoredInstance], status: StoreStatus, problem: str) -> None:
        """Count what cannot even be tried as failed; `problem` is ASCII, at most 64 characters."""
        if not instances:
            return
        for stored in instances:
            self.operations.count(stored.sop_uid, status)
        self._problem = self._problem or problem
        self._tell()

    def finish(self) -> None:
        """Give the last response: how it ended, and what failed."""
        operations = self.operations
        is_cancelled = operations.n_remaining > 0
        status = RetrieveStatus.CANCELLED if is_cancelled else operations.final_status()
        elements = operations.elements(status)
        if self._problem:
            elements[Field.ERROR_COMMENT] = self._problem
        self._exchange.answer(elements, operations.failed_list(self._exchange.context.transfer_syntax))
        logger.info(
            "%s by %s: %d of %d instances sent, %d failed, %d with a warning, status 0x%04X, %.1f s",
            type(self._exchange.request).__name__.replace("_", "-"),
            self._exchange.device.ae_title,
            operations.n_completed,
            operations.n_total,
            operations.n_failed,
            operations.n_warned,
            status,
            monotonic() - self._began_at,
        )

    def _send(
        self,
        association: GatewayAssociation,
        stored: StoredInstance,
        following: StoredInstance | None,
        *,
        message_id: int,
        originator: Originator | None,
    ) -> int:
        context_id = choose_context(association.contexts, stored.sop_class_uid, egress.forms(stored))
        if context_id is None:
            self._problem = self._problem or "the receiver takes no such object, or not in this form"
            return StoreStatus.SOP_CLASS_NOT_SUPPORTED
        pieces = self._pieces(association, association.contexts[context_id].transfer_syntax, stored)
        outgoing = Outgoing(stored.sop_class_uid, stored.sop_uid, pieces, self._priority, originator)
        meanwhile = partial(self._read_ahead, association, following)
        status = store(association, context_id, outgoing, message_id=message_id, meanwhile=meanwhile)
        if status != StoreStatus.SUCCESS:
            self._problem = self._problem or f"the receiver answered 0x{status:04X}"
        return status

    def _pieces(self, association: GatewayAssociation, syntax: str, stored: StoredInstance) -> Iterator[bytes]:
        """Return the data set to send, from what was read ahead if it is that."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[:2] == (stored.id, syntax):
            return ahead[2]
        pieces = egress.data_set(self._source.retrieve, stored, syntax).pieces
        return pieces if association is self._exchange.association else self._watched(pieces)

    def _read_ahead(self, association: GatewayAssociation, stored: StoredInstance | None) -> None:
        if stored is None:
            return
        context_id = choose_context(association.contexts, stored.sop_class_uid, egress.forms(stored))
        if context_id is None:
            return
        syntax = association.contexts[context_id].transfer_syntax
        try:
            pieces = read_first(self._pieces(association, syntax, stored))
        except (GatewayError, _StoppedError):
            # Its own sub-operation will meet the same, or nothing any more.
            return
        self._ahead = (stored.id, syntax, pieces)

    def _watched(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `pieces` to somebody else than the requester, who may cancel meanwhile."""
        for number, piece in enumerate(pieces):
            if number and self._look():
                raise _StoppedError
            yield piece

    def _look(self) -> bool:
        """Return whether it is over; somebody who has heard nothing for long is told how far it has come."""
        if monotonic() - self._told_at > _SILENCE_S:
            self._tell()
        return self.is_over

    def _fault(self, error: Exception) -> int:
        if isinstance(error, GatewayError):
            logger.warning("a sub-operation for %s failed: %s", self._exchange.device.ae_title, error)
            self._problem = self._problem or "an object could not be sent"
        else:
            correlation_id = log_fault(logger, f"a sub-operation for {self._exchange.device.ae_title}", error)
            self._problem = self._problem or f"internal error {correlation_id}"
        return StoreStatus.PROCESSING_FAILURE

    def _tell(self) -> None:
        self._told_at = monotonic()
        self._exchange.answer(self.operations.elements(RetrieveStatus.PENDING))


def fail_retrieval(exchange: Exchange, error: Exception) -> None:
    """Answer a request whose retrieval has not begun, or ended in an error of ours."""
    elements = query_failure(error)
    if isinstance(error, CapacityError | UnavailableError):
        elements[Field.STATUS] = RetrieveStatus.MATCHES_UNKNOWN
    if isinstance(error, CapacityError):
        elements[Field.ERROR_COMMENT] = str(error)
    exchange.answer(elements)
