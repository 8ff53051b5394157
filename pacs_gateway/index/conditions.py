"""What each condition of a query means in SQL, for both databases."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, case, cast, literal, or_, true

from pacs_gateway.database.lowered import lowered
from pacs_gateway.database.schema.archive import instance, patient, series, study
from pacs_gateway.database.schema.base import Text
from pacs_gateway.database.unindexed import unindexed
from pacs_gateway.domain.attributes import BY_KEYWORD, ITEM_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.levels import Level
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
from pacs_gateway.index.name_search import name_condition

T = TypeVar("T")

TABLES = {Level.PATIENT: patient, Level.STUDY: study, Level.SERIES: series, Level.IMAGE: instance}
_COMPUTED: Mapping[str, ColumnElement[object]] = {
    "ModalitiesInStudy": study.c.modalities,
    "SOPClassesInStudy": study.c.sop_classes,
    "NumberOfStudyRelatedSeries": study.c.n_series,
    "NumberOfStudyRelatedInstances": study.c.n_instances,
    "NumberOfSeriesRelatedInstances": series.c.n_instances,
}
# Columns that stand in lower case beside themselves.
_LOWER: Mapping[str, ColumnElement[str]] = {
    "patient_id": patient.c.patient_id_lower,
    "accession_number": study.c.accession_number_lower,
}


def column_of(attribute: Attribute) -> ColumnElement[object]:
    """Return the column that holds an attribute."""
    if attribute.column is None:
        return _COMPUTED[attribute.keyword]
    return TABLES[attribute.level].c[attribute.column]


def tested(level: Level, column: ColumnElement[T], of: Level) -> ColumnElement[T]:
    """Return a column of the level `of` as it is looked at in a search for entities of `level`.

    Which studies are looked at is said by the lists that the search goes by (postings.py), and not to be thought over
    by the database.
    """
    is_above = of is Level.STUDY or (of is Level.PATIENT and level is not Level.PATIENT)
    return unindexed(column) if is_above else column


def _tested(query: Query, attribute: Attribute) -> ColumnElement[object]:
    return tested(query.level, column_of(attribute), attribute.level)


def _lowered(query: Query, column: ColumnElement[object], attribute: Attribute) -> ColumnElement[str]:
    kept = _LOWER.get(attribute.column or "")
    return lowered(column) if kept is None else tested(query.level, kept, attribute.level)


def condition_of(query: Query, attribute: Attribute, condition: Condition) -> ColumnElement[bool]:
    """Return what a row must meet."""
    return condition_on(_tested(query, attribute), query, attribute, condition)


def condition_on(
    column: ColumnElement[object], query: Query, attribute: Attribute, condition: Condition
) -> ColumnElement[bool]:
    """Return what a `column` that holds the attribute must meet."""
    match condition:
        case AnyOf(conditions):
            return or_(*(condition_on(column, query, attribute, one) for one in conditions))
        case IsEmpty():
            return column.is_(None) if attribute.vr == "IS" else column == ""
        case NameIs() | NameWords():
            return name_condition(query.level, attribute.keyword, condition)
        case TimeSpan():
            return _span(column, _tested(query, BY_KEYWORD[TIME_OF[attribute.keyword]]), condition)
        case Range(first, last):
            return _range(column, _earliest(first) if attribute.vr == "TM" else first, last)
        case HasItem(fields):
            return _has_item(column, attribute, fields, case_sensitive=query.case_sensitive)
        case Wildcard(pattern):
            return _like(query, column, attribute, pattern)
        case OneOf(values):
            return _one_of(query, column, attribute, values)


def _like(query: Query, column: ColumnElement[object], attribute: Attribute, pattern: str) -> ColumnElement[bool]:
    text, pattern = (column, pattern) if query.case_sensitive else (_lowered(query, column, attribute), pattern.lower())
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
    query: Query, column: ColumnElement[object], attribute: Attribute, values: tuple[str, ...]
) -> ColumnElement[bool]:
    case_sensitive = query.case_sensitive or attribute.vr == "UI"
    lower_values = [value.lower() for value in values]
    if attribute.column is None:  # a set framed by backslashes
        codes, wanted = (column, values) if case_sensitive else (lowered(column), lower_values)
        return or_(*(codes.like(f"%{escaped(ESCAPE + code + ESCAPE)}%", escape=ESCAPE) for code in wanted))
    if attribute.vr == "IS":
        return column.in_([number for number in map(int, values) if abs(number) <= LARGEST_NUMBER])
    if not case_sensitive:
        return _lowered(query, column, attribute).in_(lower_values)
    if attribute.column in _LOWER:  # the index is of that
        return and_(_lowered(query, column, attribute).in_(lower_values), column.in_(values))
    return column.in_(values)


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
