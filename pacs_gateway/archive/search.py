"""Searching: what exists for a caller, by query."""

from pacs_gateway.access.policy import Scope
from pacs_gateway.database.engine import Database
from pacs_gateway.domain.query import Query
from pacs_gateway.index.search import Match, Page, find

__all__ = ["Match", "Page", "Search"]


class Search:
    """Finds patients, studies, series and instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, query: Query, scope: Scope) -> Page:
        """Return one page of what `query` finds among the studies that exist for the caller.

        Raises
        ------
        UnavailableError
            The index cannot be reached now.
        """
        with self._database.read() as connection:
            return find(connection, query, facilities=scope.facilities)
