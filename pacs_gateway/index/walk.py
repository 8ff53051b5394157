"""Going through the studies of a search, the newest first, until a page is full.

The list of studies that is looked through is the sparsest of those that the query's conditions give (postings.py). It
is taken in stretches, each long enough to hold what is missing as far as can be told from those before: first the keys
of the studies on it, from an index alone, and then what is to be known of these. Either statement is about a small part
of an index, or about rows by their keys: its cost does not depend on what a planner believes.
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
    by_whole_name,
    everything,
    of_facilities,
    of_modalities,
    of_name,
)

SHORT = 1000
"""A list that is not longer is looked through at once."""
_DEPTHS = {Level.STUDY: 1.0, Level.SERIES: 0.5, Level.IMAGE: 0.05}
"""Studies that have to be looked at, about, for each entity of a level."""
_LEAST, _GROWTH, _ENOUGH = 50, 16, 0.9
_MORE = 1.2
"""Some of the studies on a list have nothing to show, or marks without the words."""
_PROBE = 20_000
"""Of so many studies is learned how many more it takes to find something rare."""
_DENSE = 0.5
"""A list of more of all studies than that is not worth the detour."""
_FILTERED = 0.1
"""What an entry of a list that tells by itself what is of interest costs, beside one whose study is looked at."""
_LEAST_SHARE = 0.02
_MOST_KEYS = 1000
"""So many studies are named in a statement, one by one."""


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
    density: float = 1.0
    """Part of all studies that the list shows, about."""
    share: float = 1.0
    """Part of these that is found, about."""


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
    postings = list(of_name(connection, name.name, name.form)) if name is not None else []
    if facilities is not None:
        postings.append(of_facilities(sorted(facilities)))
    if (made := of_modalities(connection, query)) is not None:
        postings.append(made)
    whole = by_whole_name(name.name) if name is not None else None
    if whole is None and (not postings or (len(postings) == 1 and postings[0].is_single)):
        return Route(postings[0] if postings else everything(), days, is_at_once=False)
    return _shortest(connection, [*postings, *([whole] if whole is not None else [])], days) or _sparsest(
        connection, postings, days
    )


def short_list(connection: Connection, name: NameInForm) -> Select[int] | None:
    """Return the studies on the shortest list that a name gives, None where that is a long one."""
    days, whole = Days(), by_whole_name(name.name)
    listed = of_name(connection, name.name, name.form)
    route = _shortest(connection, [*listed, *([whole] if whole is not None else [])], days)
    return None if route is None else route.posting.entries(days)


def _shortest(connection: Connection, postings: Sequence[Posting], days: Days) -> Route | None:
    """Return the way through the shortest list, if it is short enough to be looked through at once."""
    sizes = _sizes(connection, postings, days)
    n_entries, posting = min(zip(sizes, postings, strict=True), key=lambda pair: pair[0], default=(SHORT, None))
    return None if posting is None or n_entries >= SHORT else Route(posting, days, is_at_once=True)


def _sparsest(connection: Connection, postings: Sequence[Posting], days: Days) -> Route:
    """Return the way through the list that has the fewest entries where the newest thousand studies are."""
    newest, _ = _split(connection, everything(), days, SHORT)
    shares = [n_entries / SHORT for n_entries in _sizes(connection, postings, newest)]
    costs = [share * (_FILTERED if posting.filters else 1.0) for share, posting in zip(shares, postings, strict=True)]
    best = min(range(len(costs)), key=costs.__getitem__, default=None)
    if best is None or costs[best] >= _DENSE:
        return Route(everything(), days, is_at_once=False, share=max(prod(shares), _LEAST_SHARE))
    density = max(shares[best], 1 / SHORT)
    share = max(prod(shares) / density, _LEAST_SHARE)
    if postings[best].filters:
        return Route(postings[best], days, is_at_once=False, density=density * share)
    return Route(postings[best], days, is_at_once=False, density=density, share=share)


def _sizes(connection: Connection, postings: Sequence[Posting], days: Days) -> Sequence[int]:
    """Return the lengths of lists, a long one's as what is long."""
    if not postings:
        return ()
    lengths = []
    for posting in postings:
        some = select(posting.study_key).select_from(posting.source).where(*posting.within(days)).limit(SHORT)
        lengths.append(select(func.count()).select_from(some.subquery()).scalar_subquery())
    return tuple(connection.execute(select(*lengths)).one())


def _split(connection: Connection, measure: Posting, days: Days, depth: int) -> tuple[Days, Days | None]:
    """Return the newest days that have the first `depth` entries of a list, and those behind them, if there are any."""
    mark = connection.execute(measure.moments(days).limit(1).offset(depth)).first()
    if mark is None or not mark[0]:  # what has no date is not divided
        return days, None
    date, time = mark
    return replace(days, first=date, first_time=time), replace(days, below=date, below_time=time)


Studies = CTE | Sequence[int]
"""Studies to look at, as a list or by their keys."""
Statement = Callable[[Studies], Select[*tuple[object, ...]]]
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
    if n_rows is None or route.is_at_once:
        return take(connection, statement(_listed(route.posting.entries(route.days))), offset=offset, n_rows=n_rows)
    rows: list[Row[*tuple[object, ...]]] = []
    days: Days | None = route.days
    n_wanted, n_seen = offset + n_rows, 0.0
    depth = max(_LEAST, n_wanted * _DEPTHS[level] * _MORE) / route.share
    while days is not None and len(rows) < n_rows:
        studies, days = _stretch(connection, route, days, round(depth))
        page, offset = take(connection, statement(studies), offset=offset, n_rows=n_rows - len(rows))
        rows += page
        n_seen += depth
        n_missing = offset + n_rows - len(rows)
        rate = max(n_wanted - n_missing, 0.5) / n_seen
        depth = min(max(n_missing * _MORE / rate, _LEAST), _GROWTH * n_seen)
        if not page and not offset:
            depth = max(depth, 2 * n_seen)
    return rows, offset


def _stretch(connection: Connection, route: Route, days: Days, depth: int) -> tuple[Studies, Days | None]:
    """Return about the first `depth` studies on the list, and the days behind them, if there are any."""
    posting = route.posting
    if depth <= _MOST_KEYS:
        keys, behind = _first_keys(connection, route, days, depth)
        if keys or behind is None:
            return keys, behind
    measure, n_entries = (posting, depth) if posting.is_single else (everything(), round(depth / route.density))
    newest, behind = _split(connection, measure, days, n_entries)
    return _listed(posting.entries(newest)), behind


def _first_keys(connection: Connection, route: Route, days: Days, depth: int) -> tuple[list[int], Days | None]:
    """Return at most the first `depth` studies on the list, and the days behind; none if too many are of one moment.

    A list that is one piece of an index ends where there are enough; the entries of another are in several pieces, and
    sorted: its days are divided by all studies.
    """
    keys: list[int] = []
    n_entries, n_seen = min(round(depth / route.density), _PROBE), 0
    while True:
        newest, behind = (days, None) if route.posting.is_single else _split(connection, everything(), days, n_entries)
        n_missing = depth - len(keys)
        rows = connection.execute(route.posting.newest(newest).limit(n_missing + 1)).all()
        if len(rows) > n_missing:
            # Of one moment all or none: who comes first of them is not known here.
            kept = [row for row in rows if row[:2] != rows[-1][:2]]
            if kept:
                days = replace(days, below=kept[-1][0], below_time=kept[-1][1])
            return [*keys, *(row[2] for row in kept)], days
        keys += [row[2] for row in rows]
        if behind is None or len(keys) > depth * _ENOUGH:
            return keys, behind
        days, n_seen = behind, n_seen + n_entries
        n_entries = round(min((depth - len(keys)) * n_seen / max(len(keys), 1), _GROWTH * n_seen))


def _listed(entries: Select[int]) -> CTE:
    return entries.cte("listed").prefix_with("MATERIALIZED")


def take(
    connection: Connection, found: Select[*tuple[object, ...]], *, offset: int, n_rows: int | None
) -> tuple[list[Row[*tuple[object, ...]]], int]:
    """Return rows of a statement from `offset` on, and how much of the offset is left when there are none."""
    if offset <= SHORT:  # more of them are counted before they are fetched and sorted
        rows = list(connection.execute(found.offset(offset or None).limit(n_rows)).all())
        if rows or not offset:
            return rows, 0
    n_found = connection.execute(
        found.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
    ).scalar_one()
    if n_found <= offset:
        return [], offset - n_found
    return list(connection.execute(found.offset(offset).limit(n_rows)).all()), 0
