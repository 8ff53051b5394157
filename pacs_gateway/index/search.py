"""Query to SQL: one compiler for both databases.

Rows are entities that have something to show, inside the facilities the caller may see; that predicate is part of
every query, not a filter behind it.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from pacs_gateway.database.lowered import lowered
from pacs_gateway.database.schema.archive import instance, patient, series, study
from pacs_gateway.database.schema.base import Text
from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, COUNTED, ITEM_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.names import has_accents
from pacs_gateway.domain.query import (
    AnyOf,
    Condition,
    HasItem,
    IsEmpty,
    NameIs,
    NameWords,
    OneOf,
    Query,
    Range,
    Wildcard,
)
from pacs_gateway.domain.time_span import OFFSETS, TIME_OF, TimeSpan
from pacs_gateway.index.arrival import LARGEST_NUMBER
from pacs_gateway.index.like import ESCAPE, escaped, item_pattern, like_pattern
from pacs_gateway.index.name_search import accents_agree, name_condition

_TABLES = {Level.PATIENT: patient, Level.STUDY: study, Level.SERIES: series, Level.IMAGE: instance}
_COMPUTED: Mapping[str, ColumnElement[object]] = {
    "ModalitiesInStudy": study.c.modalities,
    "SOPClassesInStudy": study.c.sop_classes,
    "NumberOfStudyRelatedSeries": study.c.n_series,
    "NumberOfStudyRelatedInstances": study.c.n_instances,
    "NumberOfSeriesRelatedInstances": series.c.n_instances,
}


@dataclass(frozen=True, slots=True)
class Match:
    """One found entity: attribute texts by keyword, of its level and those above."""

    level: Level
    values: Mapping[str, str]
    facility: str
    """Owner of the study; empty at the patient level."""
    is_flagged: bool
    """The study holds something that disagrees with its record."""
    is_in_reach: bool = True
    """Every instance of it can be read now, as far as that was asked for."""


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
    told = _told(query.level, attributes)
    key = _TABLES[query.level].c.id
    rows = connection.execute(compile_query(query, facilities=facilities, attributes=told).add_columns(key)).all()
    has_more = query.limit is not None and len(rows) > query.limit
    matches = {row[-1]: _match(query.level, row, told) for row in rows[: query.limit]}
    lost = keys_out_of_reach(connection, query.level, list(matches), silent) if silent else frozenset()
    matches |= {one: replace(matches[one], is_in_reach=False) for one in lost}
    return Page(tuple(matches.values()), has_more)


def count(connection: Connection, query: Query, *, facilities: frozenset[str] | None, at_most: int) -> int | None:
    """Return how much `query` finds on all pages together, None where that is more than `at_most`."""
    found = _selected(query, facilities).order_by(None).limit(at_most + 1).subquery()
    number = connection.execute(select(func.count()).select_from(found)).scalar_one()
    return number if number <= at_most else None


def find_keys(connection: Connection, query: Query, *, facilities: frozenset[str] | None) -> "array[int]":
    """Return the keys of the rows that `query` finds, in order; `fetch` tells of them piece by piece."""
    key = _TABLES[query.level].c.id
    statement = _selected(query, facilities).with_only_columns(key, maintain_column_froms=True)
    if query.limit is not None:
        statement = statement.limit(query.limit)
    return array("q", connection.execute(statement).scalars())


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
    told = _told(level, attributes)
    key = _TABLES[level].c.id
    statement = (
        select(*_columns(level, told, facilities), key)
        .select_from(_source(level))
        .where(key.in_(keys), *_visible(level, facilities))
    )
    found = {row[-1]: _match(level, row, told) for row in connection.execute(statement)}
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
    statement = select(key).select_from(_source(Level.IMAGE)).where(*waiting, key.in_(keys)).distinct()
    return frozenset(connection.execute(statement).scalars())


def compile_query(
    query: Query, *, facilities: frozenset[str] | None, attributes: Sequence[Attribute]
) -> Select[*tuple[object, ...]]:
    """Return the ``SELECT`` for `query`; it asks for one row more than the page holds."""
    statement = _selected(query, facilities).with_only_columns(
        *_columns(query.level, attributes, facilities), maintain_column_froms=True
    )
    statement = statement.offset(min(query.offset, LARGEST_NUMBER) or None)
    return statement.limit(min(query.limit, LARGEST_NUMBER - 1) + 1) if query.limit is not None else statement


def _selected(query: Query, facilities: frozenset[str] | None) -> Select[*tuple[object, ...]]:
    """Return a ``SELECT`` of the rows that `query` finds, in order, of which columns are still to be chosen."""
    statement = select(_TABLES[query.level].c.id).select_from(_source(query.level))
    statement = statement.where(*_visible(query.level, facilities))
    for keyword, condition in query.conditions.items():
        statement = statement.where(_predicate(query, BY_KEYWORD[keyword], condition))
    name = query.conditions.get("PatientName")
    if isinstance(name, NameIs | NameWords) and has_accents(name.text):
        # Whoever types accents means them: what agrees with them comes first.
        statement = statement.order_by(case((accents_agree(name), 0), else_=1))
    return statement.order_by(*_order(query.level))


def _told(level: Level, attributes: Collection[Attribute] | None) -> tuple[Attribute, ...]:
    levels = {*level.parents, level}
    if attributes is None:
        return tuple(a for a in ATTRIBUTES if a.level in levels and a.keyword not in COUNTED)
    return tuple(a for a in attributes if a.level in levels)


def _columns(
    level: Level, attributes: Iterable[Attribute], facilities: frozenset[str] | None
) -> list[ColumnElement[object]]:
    columns: list[ColumnElement[object]] = [_column(a, facilities).label(a.keyword) for a in attributes]
    if level is not Level.PATIENT:
        columns += [study.c.facility.label("_facility"), study.c.is_flagged.label("_flagged")]
    return columns


def _column(attribute: Attribute, facilities: frozenset[str] | None = None) -> ColumnElement[object]:
    if attribute.keyword in COUNTED:
        return _counted(attribute, facilities)
    if attribute.column is None:
        return _COMPUTED[attribute.keyword]
    return _TABLES[attribute.level].c[attribute.column]


def _counted(attribute: Attribute, facilities: frozenset[str] | None) -> ColumnElement[object]:
    """Return a number about all studies of a patient that the caller may see."""
    related = study.alias("related")
    number = {
        "NumberOfPatientRelatedStudies": func.count(),
        "NumberOfPatientRelatedSeries": func.coalesce(func.sum(related.c.n_series), 0),
        "NumberOfPatientRelatedInstances": func.coalesce(func.sum(related.c.n_instances), 0),
    }[attribute.keyword]
    visible = _visible_study(related, facilities)
    return select(number).select_from(related).where(related.c.patient_key == patient.c.id, *visible).scalar_subquery()


def _source(level: Level) -> FromClause:
    if level is Level.PATIENT:
        return patient
    source: FromClause = study.join(patient, patient.c.id == study.c.patient_key)
    if level in (Level.SERIES, Level.IMAGE):
        source = source.join(series, series.c.study_key == study.c.id)
    if level is Level.IMAGE:
        source = source.join(instance, instance.c.series_key == series.c.id)
    return source


def _visible(level: Level, facilities: frozenset[str] | None) -> list[ColumnElement[bool]]:
    """What a row needs to be shown at all."""
    of_study = _visible_study(study, facilities)
    if level is Level.PATIENT:
        return [select(study.c.id).where(study.c.patient_key == patient.c.id, *of_study).exists()]
    if level in (Level.SERIES, Level.IMAGE):
        of_study.append(series.c.n_instances > 0)
    if level is Level.IMAGE:
        of_study.append(instance.c.state == literal("current"))
    return of_study


def _visible_study(one: FromClause, facilities: frozenset[str] | None) -> list[ColumnElement[bool]]:
    visible: list[ColumnElement[bool]] = [one.c.n_instances > 0]
    if facilities is not None:
        visible.append(one.c.facility.in_(sorted(facilities)) if facilities else false())
    return visible


def _order(level: Level) -> list[ColumnElement[object]]:
    """Order of lists, the same in both databases (settled: Matching)."""
    if level is Level.PATIENT:
        return [patient.c.patient_name_fold, patient.c.identity]
    order: list[ColumnElement[object]] = [study.c.study_date.desc(), study.c.study_time.desc(), study.c.study_uid]
    if level in (Level.SERIES, Level.IMAGE):
        order += [func.coalesce(series.c.series_number, LARGEST_NUMBER), series.c.series_uid]
    if level is Level.IMAGE:
        order += [func.coalesce(instance.c.instance_number, LARGEST_NUMBER), instance.c.sop_uid]
    return order


def _predicate(query: Query, attribute: Attribute, condition: Condition) -> ColumnElement[bool]:
    column = _column(attribute)
    match condition:
        case AnyOf(conditions):
            return or_(*(_predicate(query, attribute, one) for one in conditions))
        case IsEmpty():
            return column.is_(None) if attribute.vr == "IS" else column == ""
        case NameIs() | NameWords():
            return name_condition(query.level, attribute.keyword, condition)
        case TimeSpan():
            return _span(column, _column(BY_KEYWORD[TIME_OF[attribute.keyword]]), condition)
        case Range(first, last):
            return _range(column, _earliest(first) if attribute.vr == "TM" else first, last)
        case HasItem(fields):
            return _has_item(column, attribute, fields, case_sensitive=query.case_sensitive)
        case Wildcard(pattern):
            return _like(column, attribute, pattern, case_sensitive=query.case_sensitive)
        case OneOf(values):
            return _one_of(column, attribute, values, case_sensitive=query.case_sensitive)


def _like(
    column: ColumnElement[object], attribute: Attribute, pattern: str, *, case_sensitive: bool
) -> ColumnElement[bool]:
    text, pattern = (column, pattern) if case_sensitive else (lowered(column), pattern.lower())
    if attribute.matching is Matching.CODES:
        return text.regexp_match(item_pattern([pattern]))
    return text.like(like_pattern(pattern), escape=ESCAPE)


def _has_item(
    column: ColumnElement[object], attribute: Attribute, fields: Mapping[int, OneOf | Wildcard], *, case_sensitive: bool
) -> ColumnElement[bool]:
    patterns = ["*"] * len(attribute.items)
    for position, condition in fields.items():
        patterns[position] = condition.pattern if isinstance(condition, Wildcard) else condition.values[0]
    text: ColumnElement[str] = cast(column, Text)
    if not case_sensitive:
        text, patterns = lowered(column), [pattern.lower() for pattern in patterns]
    framed = literal(ITEM_SEPARATOR) + text + literal(ITEM_SEPARATOR)
    # A sequence that is not there has no item: framed it would look like an empty one.
    return and_(column != "", framed.regexp_match(item_pattern(patterns)))


def _one_of(
    column: ColumnElement[object], attribute: Attribute, values: tuple[str, ...], *, case_sensitive: bool
) -> ColumnElement[bool]:
    case_sensitive |= attribute.vr == "UI"
    if attribute.column is None:  # a set framed by backslashes
        codes, wanted = (column, values) if case_sensitive else (lowered(column), [v.lower() for v in values])
        return or_(*(codes.like(f"%{escaped(ESCAPE + code + ESCAPE)}%", escape=ESCAPE) for code in wanted))
    if attribute.vr == "IS":
        return column.in_([number for number in map(int, values) if abs(number) <= LARGEST_NUMBER])
    if case_sensitive:
        return column.in_(values)
    # The key as typed is found by the column's index; whatever its case, by the second look.
    return or_(column.in_(values), lowered(column).in_([value.lower() for value in values]))


def _span(date: ColumnElement[object], time: ColumnElement[object], span: TimeSpan) -> ColumnElement[bool]:
    """Return whether a date and its time lie in `span`; by the days first, for which there may be an index."""
    moment = cast(date, Text).concat(time)
    first_day, last_day = span.days
    conditions = [date != "", date >= first_day, date <= last_day if last_day else true()]
    if span.first:
        conditions.append(moment >= _there(span, lambda ends: _earliest(ends[0], n_least=8)))
    if span.last:
        conditions.append(moment <= _there(span, lambda ends: f"{ends[1]}~"))
    return and_(*conditions)


def _there(span: TimeSpan, bound: Callable[[tuple[str, str]], str]) -> ColumnElement[str]:
    """Return a `bound` of `span` in the local time of each study."""
    here = literal(bound(span.at(None)), Text)
    if span.offset is None:
        return here
    elsewhere = {text: bound(span.at(minutes)) for text, minutes in OFFSETS.items() if minutes != span.offset}
    return case(elsewhere, value=study.c.timezone_offset, else_=here)


def _earliest(time: str, *, n_least: int = 2) -> str:
    """Return a time without the zeros at its end that say nothing: a value of 0830 lies in a range from 083000."""
    seconds, _, fraction = time.partition(".")
    fraction = fraction.rstrip("0")
    if fraction:
        return f"{seconds}.{fraction}"
    while len(seconds) > n_least and seconds.endswith("00"):
        seconds = seconds[:-2]
    return seconds


def _range(column: ColumnElement[object], first: str, last: str) -> ColumnElement[bool]:
    conditions = [column >= first] if first else [column != ""]
    if last:
        # 2359 stands for the whole minute: what it leaves out sorts behind it.
        conditions.append(column <= f"{last}~")
    return and_(*conditions)


def _match(level: Level, row: Row[*tuple[object, ...]], attributes: tuple[Attribute, ...]) -> Match:
    values = {a.keyword: _text(a, value) for a, value in zip(attributes, row, strict=False)}
    if level is Level.PATIENT:
        return Match(level, values, "", is_flagged=False)
    facility, is_flagged = row[len(attributes)], row[len(attributes) + 1]
    return Match(level, values, str(facility), bool(is_flagged))


def _text(attribute: Attribute, value: object) -> str:
    if value is None:
        return ""
    return str(value).strip("\\") if attribute.column is None else str(value)
