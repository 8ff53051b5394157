"""Searching the index: pages of entities, the keys of all that is found, and what is told of them.

Rows are entities that have something to show, inside the facilities the caller may see; that predicate is part of
every query, not a filter behind it. Which studies are looked at, and in which order, is the matter of ``walk``.
"""

from array import array
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeGuard

from sqlalchemy import CTE, ColumnElement, Connection, Row, Select, case, not_, select

from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.domain import names
from pacs_gateway.domain.attributes import BY_KEYWORD, Attribute
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Condition, NameIs, NameWords, Query
from pacs_gateway.index.arrival import LARGEST_NUMBER
from pacs_gateway.index.conditions import TABLES, condition_of
from pacs_gateway.index.entities import (
    Match,
    columns_of_match,
    order_of,
    source_of,
    to_matches,
    told_attributes,
    visible,
)
from pacs_gateway.index.name_search import accents_agree
from pacs_gateway.index.walk import NameInForm, Studies, find_route, short_list, take, walk

__all__ = ["Match", "Page", "count", "fetch", "find", "find_keys", "keys_out_of_reach"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of matches."""

    matches: tuple[Match, ...]
    has_more: bool


def find(
    connection: Connection,
    query: Query,
    *,
    facilities: frozenset[str] | None,
    attributes: Collection[Attribute] | None = None,
    silent: AbstractSet[str] = frozenset(),
) -> Page:
    """Return one page of what `query` finds, newest study first.

    Parameters
    ----------
    facilities
        Codes of the facilities whose studies may be seen; None for all.
    attributes
        What each match tells; None for all that rows hold.
    silent
        Nodes of which nothing can be had: what only they have is out of reach.
    """
    told = told_attributes(query.level, attributes)
    limit = None if query.limit is None else min(query.limit, LARGEST_NUMBER - 1)
    columns = [*columns_of_match(query.level, told, facilities), TABLES[query.level].c.id]
    # One more than the page holds says that there is more.
    rows = _Search(connection, query, facilities, columns).rows(None if limit is None else limit + 1)
    has_more = limit is not None and len(rows) > limit
    keys = [int(str(row[-1])) for row in rows[:limit]]
    matches = dict(zip(keys, to_matches(query.level, rows[:limit], told), strict=True))
    lost = keys_out_of_reach(connection, query.level, list(matches), silent) if silent else frozenset()
    matches |= {one: replace(matches[one], is_in_reach=False) for one in lost}
    return Page(tuple(matches.values()), has_more)


def count(connection: Connection, query: Query, *, facilities: frozenset[str] | None, at_most: int) -> int | None:
    """Return how much `query` finds on all pages together, None where that is more than `at_most`."""
    whole = replace(query, offset=0)
    rows = _Search(connection, whole, facilities, [TABLES[query.level].c.id], is_ranked=False).rows(at_most + 1)
    return len(rows) if len(rows) <= at_most else None


def find_keys(connection: Connection, query: Query, *, facilities: frozenset[str] | None) -> "array[int]":
    """Return the keys of the rows that `query` finds, in order; `fetch` tells of them piece by piece."""
    search = _Search(connection, replace(query, offset=0), facilities, [TABLES[query.level].c.id])
    return array("q", (int(str(key)) for (key,) in search.rows(query.limit)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of what is found that is told of before, or after, the rest."""

    name: NameInForm | None = None
    conditions: Sequence[ColumnElement[bool]] = ()


@dataclass(frozen=True, slots=True)
class _Search:
    """One search, for rows with some columns."""

    connection: Connection
    query: Query
    facilities: frozenset[str] | None
    columns: Sequence[ColumnElement[object]]
    is_ranked: bool = True
    """Names with the accents of the key come first."""

    def rows(self, n_rows: int | None) -> list[Row[*tuple[object, ...]]]:
        """Return what is found from the query's offset on, at most so many."""
        found: list[Row[*tuple[object, ...]]] = []
        offset = min(self.query.offset, LARGEST_NUMBER)
        for part in self._parts(is_whole=n_rows is None):
            n_missing = None if n_rows is None else n_rows - len(found)
            if n_missing == 0:
                break
            rows, offset = self._of_part(part, offset, n_missing)
            found += rows
        return found

    def _parts(self, *, is_whole: bool) -> Iterator[_Part]:
        """Yield what is told of first, and what behind it.

        Whoever types accents means them: what agrees with them comes first. That fills a page, as a rule, before
        anything else has to be looked for.
        """
        name = self.query.conditions.get("PatientName")
        if not isinstance(name, NameIs | NameWords):
            yield _Part()
        elif is_whole or not self.is_ranked or not _is_accented(name):
            yield _Part(NameInForm(name, names.fold))
        else:
            agrees = accents_agree(name)
            yield _Part(NameInForm(name, names.accented), [agrees])
            yield _Part(NameInForm(name, names.fold), [not_(agrees)])

    def _of_part(self, part: _Part, offset: int, n_rows: int | None) -> tuple[list[Row[*tuple[object, ...]]], int]:
        """Return rows of a part, and how much of the offset is left for the next one."""
        if self.query.level is Level.PATIENT:
            return take(self.connection, self._patients(part), offset=offset, n_rows=n_rows)
        route = find_route(self.connection, self.query, self.facilities, part.name)

        def statement(studies: Studies) -> Select[*tuple[object, ...]]:
            if isinstance(studies, CTE):
                return self._met(part, select(*self.columns).select_from(source_of(self.query.level, studies)))
            named = select(*self.columns).select_from(source_of(self.query.level)).where(study.c.id.in_(studies))
            return self._met(part, named)

        return walk(self.connection, route, statement, self.query.level, offset=offset, n_rows=n_rows)

    def _patients(self, part: _Part) -> Select[*tuple[object, ...]]:
        """Return the statement for patients, who are in the order of their names."""
        statement = self._met(part, select(*self.columns).select_from(source_of(Level.PATIENT)))
        short = short_list(self.connection, part.name) if part.name is not None else None
        if short is None:
            return statement
        keys = select(study.c.patient_key).where(study.c.id.in_(short))
        return statement.where(TABLES[Level.PATIENT].c.id.in_(keys))

    def _met(self, part: _Part, statement: Select[*tuple[object, ...]]) -> Select[*tuple[object, ...]]:
        """Return the statement for those rows that meet the query, in order."""
        query = self.query
        statement = statement.where(*visible(query.level, self.facilities), *part.conditions)
        for keyword, condition in query.conditions.items():
            statement = statement.where(condition_of(query, BY_KEYWORD[keyword], condition))
        name = query.conditions.get("PatientName")
        if self.is_ranked and not part.conditions and _is_accented(name):
            statement = statement.order_by(case((accents_agree(name), 0), else_=1))
        return statement.order_by(*order_of(query.level))


def _is_accented(name: Condition | None) -> TypeGuard[NameIs | NameWords]:
    return isinstance(name, NameIs | NameWords) and names.has_accents(name.text)


def fetch(
    connection: Connection,
    level: Level,
    keys: Sequence[int],
    *,
    facilities: frozenset[str] | None,
    attributes: Collection[Attribute],
    lost: AbstractSet[int] = frozenset(),
) -> tuple[Match, ...]:
    """Return the entities with these keys in their order, without those that have gone, or out of sight, meanwhile.

    Parameters
    ----------
    lost
        Keys of those that are out of reach.
    """
    told = told_attributes(level, attributes)
    key = TABLES[level].c.id
    statement = (
        select(*columns_of_match(level, told, facilities), key)
        .select_from(source_of(level))
        .where(key.in_(keys), *visible(level, facilities))
    )
    rows = connection.execute(statement).all()
    found = dict(zip([row[-1] for row in rows], to_matches(level, rows, told), strict=True))
    found |= {one: replace(found[one], is_in_reach=False) for one in lost if one in found}
    return tuple(found[one] for one in keys if one in found)


def keys_out_of_reach(
    connection: Connection, level: Level, keys: Sequence[int], nodes: AbstractSet[str]
) -> frozenset[int]:
    """Return which of these entities have instances that only one of `nodes` has."""
    key = {
        Level.PATIENT: study.c.patient_key,
        Level.STUDY: study.c.id,
        Level.SERIES: series.c.id,
        Level.IMAGE: instance.c.id,
    }[level]
    waiting = (instance.c.spool_node.in_(sorted(nodes)), instance.c.archived_at.is_(None))
    statement = select(key).select_from(source_of(Level.IMAGE)).where(*waiting, key.in_(keys)).distinct()
    return frozenset(connection.execute(statement).scalars())
