"""Going through the studies of a search, the newest first, until a page is full.

The list of studies that is looked through is the sparsest of those that the query's conditions give (postings.py). It
is taken in stretches of days, each long enough to hold what is missing as far as can be told from those before: every
stretch is one statement over a small part of an index, and its cost does not depend on what a planner believes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from sqlalchemy import CTE, Connection, Row, Select, func, select

from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import NameIs, NameWords, Query
from pacs_gateway.index.postings import (
    Days,
    Posting,
    by_key,
    everything,
    of_facilities,
    of_modalities,
    of_name,
)

SHORT = 1000
"""A list that is not longer is looked through at once."""
_DEPTHS = {Level.STUDY: 1.0, Level.SERIES: 0.5, Level.IMAGE: 0.05}
"""Studies that have to be looked at, about, for each entity of a level."""
_LEAST, _GROWTH = 50, 16
_DENSE = 0.5
"""A list of more of all studies than that is not worth the detour."""
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class NameInForm:
    """What a patient's name must meet."""

    name: NameIs | NameWords
    form: Callable[[str], str]
    """Folded, or with its accents."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which list is looked through, and how."""

    posting: Posting
    days: Days
    is_at_once: bool
    others: Sequence[Posting] = ()
    """Lists of words that the studies are on, too."""
    measure: Posting | None = None
    """The list whose entries say how long a stretch of days is."""
    density: float = 1.0
    """Entries of the list looked through for each of the list that measures, about."""
    share: float = 1.0
    """Part of the entries that is on the other lists too, about."""

    def listed(self, days: Days) -> CTE:
        """Return the studies to look at."""
        entries = self.posting.entries(days)
        for other in self.others:
            entries = entries.where(other.has(self.posting.study_key))
        return entries.cte("listed").prefix_with("MATERIALIZED")


def find_route(
    connection: Connection,
    query: Query,
    facilities: frozenset[str] | None,
    name: NameInForm | None,
) -> Route:
    """Return how to look for what `query` finds."""
    days = Days.of(query)
    if (named := by_key(query)) is not None:
        return Route(named, days, is_at_once=True)
    worded = of_name(connection, name.name, name.form) if name is not None else []
    postings = list(worded)
    if facilities is not None:
        postings.append(of_facilities(sorted(facilities)))
    if (made := of_modalities(connection, query)) is not None:
        postings.append(made)
    route = _shortest(connection, postings, days) or _sparsest(connection, postings, days)
    others = [one for one in worded if one is not route.posting and one.is_quick_to_ask]
    return replace(route, others=others)


def short_list(connection: Connection, name: NameInForm) -> Select[int] | None:
    """Return the studies on the shortest list that a name gives, None where that is a long one."""
    days = Days()
    route = _shortest(connection, of_name(connection, name.name, name.form), days)
    return None if route is None else route.posting.entries(days)


def _shortest(connection: Connection, postings: Sequence[Posting], days: Days) -> Route | None:
    """Return the way through the shortest list, if it is short enough to be looked through at once."""
    sizes = _sizes(connection, postings, days)
    n_entries, posting = min(zip(sizes, postings, strict=True), key=lambda pair: pair[0], default=(SHORT, None))
    return None if posting is None or n_entries >= SHORT else Route(posting, days, is_at_once=True)


def _sparsest(connection: Connection, postings: Sequence[Posting], days: Days) -> Route:
    """Return the way through the list that has the fewest entries where the newest thousand studies are."""
    whole = everything()
    mark = _mark(connection, whole, days, SHORT)
    newest = Days(mark or days.first, days.below)
    shares = [n_entries / SHORT for n_entries in _sizes(connection, postings, newest)]
    density, posting = min(zip(shares, postings, strict=True), key=lambda pair: pair[0], default=(1.0, whole))
    share = max(prod(shares) / max(density, 1 / SHORT), _LEAST_SHARE)
    if density >= _DENSE:
        return Route(whole, days, is_at_once=False, measure=whole, share=max(prod(shares), _LEAST_SHARE))
    if posting.is_single:
        return Route(posting, days, is_at_once=False, measure=posting, share=share)
    return Route(posting, days, is_at_once=False, measure=whole, density=max(density, 1 / SHORT), share=share)


def _sizes(connection: Connection, postings: Sequence[Posting], days: Days) -> Sequence[int]:
    """Return the lengths of lists, a long one's as what is long."""
    if not postings:
        return ()
    lengths = []
    for posting in postings:
        some = (
            select(posting.study_key).select_from(posting.source).where(*posting.within(days)).limit(SHORT).subquery()
        )
        lengths.append(select(func.count()).select_from(some).scalar_subquery())
    return tuple(connection.execute(select(*lengths)).one())


def _mark(connection: Connection, posting: Posting, days: Days, depth: int) -> str | None:
    """Return the date of the entry at `depth` of a list, None where it is not so long."""
    assert posting.date is not None
    date = select(posting.date).select_from(posting.source).where(*posting.within(days))
    return connection.execute(date.order_by(posting.date.desc()).limit(1).offset(depth)).scalar_one_or_none()


Statement = Callable[[CTE], Select[*tuple[object, ...]]]
"""Makes, of the studies to look at, the statement that returns what is found of them in order."""


def walk(
    connection: Connection, route: Route, statement: Statement, level: Level, *, offset: int, n_rows: int | None
) -> tuple[list[Row[*tuple[object, ...]]], int]:
    """Return the rows from `offset` on, and how much of the offset is left when there are none.

    Parameters
    ----------
    n_rows
        So many at most; None for all.
    """
    rows: list[Row[*tuple[object, ...]]] = []
    for days in _stretches(connection, route, level, offset=offset, n_rows=n_rows, rows=rows):
        n_missing = None if n_rows is None else n_rows - len(rows)
        page, offset = take(connection, statement(route.listed(days)), offset=offset, n_rows=n_missing)
        rows += page
    return rows, offset


def take(
    connection: Connection, found: Select[*tuple[object, ...]], *, offset: int, n_rows: int | None
) -> tuple[list[Row[*tuple[object, ...]]], int]:
    """Return rows of a statement from `offset` on, and how much of the offset is left when there are none."""
    rows = list(connection.execute(found.offset(offset or None).limit(n_rows)).all())
    if rows or not offset:
        return rows, 0
    number = select(func.count()).select_from(found.order_by(None).subquery())
    return rows, offset - connection.execute(number).scalar_one()


def _stretches(
    connection: Connection,
    route: Route,
    level: Level,
    *,
    offset: int,
    n_rows: int | None,
    rows: Sequence[object],
) -> Iterator[Days]:
    """Yield stretches of days, the newest first, until `rows` are as many as are wanted."""
    if route.is_at_once or n_rows is None or route.measure is None:
        yield route.days
        return
    days, n_seen = route.days, 0.0
    depth = max(_LEAST, (offset + n_rows) * _DEPTHS[level]) / route.density / route.share
    while len(rows) < n_rows:
        mark = _mark(connection, route.measure, days, round(depth))
        yield Days(mark or days.first, days.below)
        if not mark:
            return
        days = Days(days.first, mark)
        n_seen += depth
        rate = max(len(rows), 0.5) / n_seen
        depth = min(max((n_rows - len(rows)) / rate, 2 * n_seen), _GROWTH * n_seen)
