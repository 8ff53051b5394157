"""C-FIND as service class provider: a query inside the device's scope, answered in pieces, ended when it is told to.

References
----------
PS3.4 C.4.1 (C-FIND), C.4.1.1.4 (statuses), PS3.7 9.1.2 (the service)
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Protocol, cast

from pynetdicom.dimse_primitives import C_FIND

from pacs_gateway.access.policy import Action, Scope, decide, scope
from pacs_gateway.archive.search import Match
from pacs_gateway.dimse.caller import caller_of
from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.query.find_answer import AnswerWriter
from pacs_gateway.dimse.query.find_request import FindRequest, Options
from pacs_gateway.dimse.query.information_model import MODELS
from pacs_gateway.dimse.service import Exchange
from pacs_gateway.dimse.status import QueryStatus, query_failure
from pacs_gateway.domain.attributes import Attribute
from pacs_gateway.domain.query import Query
from pacs_gateway.domain.raw_data_set import RawDataSet

# Answers that leave together: a few milliseconds of work between two looks at whether anybody still wants them.
_AT_ONCE = 25


class Searching(Protocol):
    """What finds."""

    def stream(
        self, query: Query, scope: Scope, attributes: Collection[Attribute], *, tells_reach: bool
    ) -> Iterator[tuple[Match, ...]]:
        """Yield what `query` finds piece by piece, up to its limit."""


class FindService:
    """Serves C-FIND requests of the Query/Retrieve service class."""

    def __init__(self, search: Searching) -> None:
        self._search = search

    def serve(self, exchange: Exchange) -> None:
        """Answer with everything that is found, up to the device's cap for queries that are about everything.

        Raises
        ------
        RefusedError
            The device may not search.
        UnfitQueryError, InvalidQueryError
            The identifier does not fit the information model, or is malformed.
        UnavailableError
            The index cannot be reached now.
        """
        decide(caller_of(exchange.device), Action.SEARCH)
        request = _read(exchange)
        cap = None if request.is_narrow else exchange.device.max_matches
        final: dict[Field, int | str] = {Field.STATUS: self._answer_matches(exchange, request, cap)}
        if final[Field.STATUS] == QueryStatus.OUT_OF_RESOURCES:
            final[Field.ERROR_COMMENT] = f"more than {cap} matches"
        exchange.answer(final | _sop_class(exchange))

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with the status of `error`."""
        exchange.answer(query_failure(error) | _sop_class(exchange))

    def _answer_matches(self, exchange: Exchange, request: FindRequest, cap: int | None) -> QueryStatus:
        """Send the matches; return how it ended."""
        device = exchange.device
        # One more than may be told of says that there are more.
        query = request.query if cap is None else replace(request.query, limit=cap + 1)
        writer = AnswerWriter(
            request,
            exchange.context.transfer_syntax,
            ae_title=exchange.association.acceptor.ae_title,
            is_ascii=device.answers_ascii,
        )
        pending = QueryStatus.PENDING if request.is_served_whole else QueryStatus.PENDING_SOME_KEYS_UNSUPPORTED
        elements = {Field.STATUS: pending} | _sop_class(exchange)
        n_left = cap
        found = self._search.stream(
            query, scope(caller_of(device)), request.attributes, tells_reach=request.wants_availability
        )
        for matches in found:
            for start in range(0, len(matches), _AT_ONCE):
                if exchange.is_cancelled:
                    return QueryStatus.CANCELLED
                some = matches[start : start + _AT_ONCE]
                told = some if n_left is None else some[:n_left]
                exchange.answer_each(elements, map(writer.encode, told))
                if len(told) < len(some):
                    return QueryStatus.OUT_OF_RESOURCES
                n_left = None if n_left is None else n_left - len(told)
        return QueryStatus.SUCCESS


def _read(exchange: Exchange) -> FindRequest:
    context, device = exchange.context, exchange.device
    encoded = cast(BytesIO, cast(C_FIND, exchange.request).Identifier).getvalue()
    identifier = RawDataSet.parse(encoded, context.transfer_syntax)
    options = Options.agreed(context.extended, ignores_case=device.ignores_case, charset=device.charset)
    return FindRequest.read(identifier, MODELS[context.abstract_syntax], options)


def _sop_class(exchange: Exchange) -> dict[Field, int | str]:
    return {Field.AFFECTED_SOP_CLASS_UID: exchange.context.abstract_syntax}
