"""Searching: what exists for a caller, by query."""

from collections.abc import Callable, Collection, Iterator

from pacs_gateway.access.policy import Scope
from pacs_gateway.database.engine import Database
from pacs_gateway.domain.attributes import Attribute
from pacs_gateway.domain.query import Query
from pacs_gateway.index.search import Match, Page, count, fetch, find, find_keys, keys_out_of_reach

__all__ = ["Match", "Page", "Search"]

_AT_ONCE = 200
_LIMIT_S = 2.0
"""How long one search may look (promise B26)."""


class Search:
    """Finds patients, studies, series and instances.

    Parameters
    ----------
    silent_nodes
        Names the nodes that cannot be asked for what they have not shipped.
    """

    def __init__(self, database: Database, *, silent_nodes: Callable[[], frozenset[str]] = frozenset) -> None:
        self._database = database
        self._silent_nodes = silent_nodes

    def find(
        self,
        query: Query,
        scope: Scope,
        attributes: Collection[Attribute] | None = None,
        *,
        tells_reach: bool = False,
    ) -> Page:
        """Return one page of what `query` finds among the studies that exist for the caller.

        Parameters
        ----------
        attributes
            What each match tells; None for all that rows hold.
        tells_reach
            Look for what only a silent node has.

        Raises
        ------
        TooBroadError
            It would take too long to look through what the query leaves open.
        UnavailableError
            The index cannot be reached now.
        """
        silent = self._silent_nodes() if tells_reach else frozenset()
        with self._database.read(limit_s=_LIMIT_S) as connection:
            return find(connection, query, facilities=scope.facilities, attributes=attributes, silent=silent)

    def count(self, query: Query, scope: Scope, *, at_most: int) -> int | None:
        """Return how much `query` finds on all pages together, None where that is more than `at_most`.

        Counting ends there: what a total costs does not grow with what there is.

        Raises
        ------
        TooBroadError
            It would take too long to look through what the query leaves open.
        UnavailableError
            The index cannot be reached now.
        """
        with self._database.read(limit_s=_LIMIT_S) as connection:
            return count(connection, query, facilities=scope.facilities, at_most=at_most)

    def stream(
        self, query: Query, scope: Scope, attributes: Collection[Attribute], *, tells_reach: bool = False
    ) -> Iterator[tuple[Match, ...]]:
        """Yield what `query` finds piece by piece, up to its limit; between pieces nothing of the database is held.

        What is found is settled at the first piece; what has gone by the time it would be told of is left out.

        Parameters
        ----------
        tells_reach
            Look for what only a silent node has.

        Raises
        ------
        TooBroadError
            It would take too long to look through what the query leaves open.
        UnavailableError
            The index cannot be reached now.
        """
        with self._database.read(limit_s=_LIMIT_S) as connection:
            keys = find_keys(connection, query, facilities=scope.facilities)
        silent = self._silent_nodes() if tells_reach else frozenset()
        for start in range(0, len(keys), _AT_ONCE):
            piece = keys[start : start + _AT_ONCE]
            with self._database.read() as connection:
                lost = keys_out_of_reach(connection, query.level, piece, silent) if silent else frozenset()
                matches = fetch(
                    connection, query.level, piece, facilities=scope.facilities, attributes=attributes, lost=lost
                )
            yield matches
