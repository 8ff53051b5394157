"""Going through the studies of a search, the newest first, until a page is full.

The list of studies that is looked through is the sparsest of those that the query's conditions give (postings.py). It
is taken in stretches of days, each long enough to hold what is missing as far as can be told from those before: every
stretch is one statement over a small part of an index, and its cost does not depend on what a planner believes.
"""

from collections.abc import Callable, Sequence
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
_OF_ONE_NAME = 20_000
"""So is a longer one of people of one name: each stretch of days would go through all of them again."""
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
    route = (
        _shortest(connection, postings, days)
        or _of_one_name(connection, worded, days)
        or _sparsest(connection, postings, days)
    )
    if route.posting.is_exact:
        return route
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


def _of_one_name(connection: Connection, postings: Sequence[Posting], days: Days) -> Route | None:
    """Return the way through the studies of everybody of one name, unless half the world is called so."""
    for posting in postings:
        if posting.is_exact:
            (n_entries,) = _sizes(connection, [posting], days, at_most=_OF_ONE_NAME)
            return Route(posting, days, is_at_once=True) if n_entries < _OF_ONE_NAME else None
    return None


def _sparsest(connection: Connection, postings: Sequence[Posting], days: Days) -> Route:
    """Return the way through the list that has the fewest entries where the newest thousand studies are."""
    whole = everything()
    newest, _ = _split(connection, whole, days, SHORT, with_time=False)
    shares = [n_entries / SHORT for n_entries in _sizes(connection, postings, newest)]
    density, posting = min(zip(shares, postings, strict=True), key=lambda pair: pair[0], default=(1.0, whole))
    share = max(prod(shares) / max(density, 1 / SHORT), _LEAST_SHARE)
    if density >= _DENSE:
        return Route(whole, days, is_at_once=False, measure=whole, share=max(prod(shares), _LEAST_SHARE))
    if posting.is_single:
        return Route(posting, days, is_at_once=False, measure=posting, share=share)
    return Route(posting, days, is_at_once=False, measure=whole, density=max(density, 1 / SHORT), share=share)


def _sizes(connection: Connection, postings: Sequence[Posting], days: Days, *, at_most: int = SHORT) -> Sequence[int]:
    """Return the lengths of lists, a long one's as what is long."""
    if not postings:
        return ()
    lengths = []
    for posting in postings:
        some = (
            select(posting.study_key).select_from(posting.source).where(*posting.within(days)).limit(at_most).subquery()
        )
        lengths.append(select(func.count()).select_from(some).scalar_subquery())
    return tuple(connection.execute(select(*lengths)).one())


def _split(
    connection: Connection, posting: Posting, days: Days, depth: int, *, with_time: bool
) -> tuple[Days, Days | None]:
    """Return the newest days that have the first `depth` entries of a list, and those behind them, if there are any."""
    assert posting.date is not None
    columns, order = [posting.date], [posting.date.desc()]
    if with_time and posting.time is not None:
        columns.append(posting.time)
        order.append(posting.time.desc())
    entries = select(*columns).select_from(posting.source).where(*posting.within(days)).order_by(*order)
    mark = connection.execute(entries.limit(1).offset(depth)).first()
    if mark is None or not mark[0]:  # what has no date is not divided
        return days, None
    date, time = mark[0], mark[1] if len(mark) > 1 else ""
    newest = replace(days, first=date, first_time=time)
    return newest, replace(days, below=date, below_time=time)


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
    if n_rows is None or route.is_at_once or route.measure is None:
        return take(connection, statement(route.listed(route.days)), offset=offset, n_rows=n_rows)
    rows: list[Row[*tuple[object, ...]]] = []
    days: Days | None = route.days
    n_wanted, n_seen = offset + n_rows, 0.0
    # What is passed over is counted first; only then something is fetched and sorted.
    depth = max(_LEAST, (offset or n_rows) * _DEPTHS[level]) / route.density / route.share
    while days is not None and len(rows) < n_rows:
        newest, days = _split(connection, route.measure, days, round(depth), with_time=route.posting.time is not None)
        page, offset = take(connection, statement(route.listed(newest)), offset=offset, n_rows=n_rows - len(rows))
        rows += page
        n_seen += depth
        n_missing = n_rows - len(rows)
        rate = max(n_wanted - offset - n_missing, 0.5) / n_seen
        depth = min(max((offset or n_missing) / rate, _LEAST), _GROWTH * n_seen)
        if not page and not offset:
            depth = max(depth, 2 * n_seen)
    return rows, offset


def take(
    connection: Connection, found: Select[*tuple[object, ...]], *, offset: int, n_rows: int | None
) -> tuple[list[Row[*tuple[object, ...]]], int]:
    """Return rows of a statement from `offset` on, and how much of the offset is left when there are none."""
    if offset:
        number = found.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
        n_found = connection.execute(number).scalar_one()
        if n_found <= offset:
            return [], offset - n_found
    return list(connection.execute(found.offset(offset or None).limit(n_rows)).all()), 0
