"""The reference matcher: what a query means, one entity at a time.

Nothing in production searches with it; it is the oracle that the SQL of ``index.search`` is tested against, and the
place to read what matching is here.

References
----------
PS3.4 C.2.2.2 (matching)
"""

import re
from collections.abc import Callable, Mapping

from pacs_gateway.domain.attributes import BY_KEYWORD, Attribute, Matching
from pacs_gateway.domain.names import accented, fold, has_accents, name_pattern
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


def matches(query: Query, values: Mapping[str, str]) -> bool:
    """Return whether an entity with `values` (by keyword, an absent one is empty) meets every condition."""
    return all(
        _meets(BY_KEYWORD[keyword], condition, values, case_sensitive=query.case_sensitive)
        for keyword, condition in query.conditions.items()
    )


def _lies_in(span: TimeSpan, date: str, time: str, values: Mapping[str, str]) -> bool:
    first, last = span.at(OFFSETS.get(values.get("TimezoneOffsetFromUTC", "")))
    moment = date + time
    begins = not first or _filled(moment) >= _filled(first)
    return date != "" and begins and (not last or moment <= last or moment.startswith(last))


def _filled(moment: str) -> str:
    seconds, _, fraction = moment.partition(".")
    return f"{seconds:0<14}.{fraction:0<6}"


def _meets(attribute: Attribute, condition: Condition, values: Mapping[str, str], *, case_sensitive: bool) -> bool:
    value = values.get(attribute.keyword, "")
    match condition:
        case IsEmpty():
            return value == ""
        case AnyOf(conditions):
            return any(_meets(attribute, one, values, case_sensitive=case_sensitive) for one in conditions)
        case TimeSpan():
            return _lies_in(condition, value, values.get(TIME_OF[attribute.keyword], ""), values)
        case OneOf(wanted):
            return _is_one_of(attribute, wanted, value, case_sensitive=case_sensitive or attribute.vr == "UI")
        case Range(first, last):
            # The empty value is unknown, and unknown lies in no range. An end stands for all it leaves out: 2359 for
            # the whole minute, at the beginning of a range for its first instant.
            begins = not first or _instant(attribute, value) >= _instant(attribute, first)
            return value != "" and begins and (not last or value <= last or value.startswith(last))
        case Wildcard(pattern):
            own = value.split("\\") if attribute.matching is Matching.CODES else [value]
            return any(_meets_pattern(pattern, one, case_sensitive=case_sensitive) for one in own)
        case HasItem(fields):
            return any(
                all(_field_meets(one, item[at], case_sensitive=case_sensitive) for at, one in fields.items())
                for item in attribute.item_values(value)
            )
        case NameIs() | NameWords():
            return _meets_name(condition, value, fold)


def _field_meets(condition: OneOf | Wildcard, value: str, *, case_sensitive: bool) -> bool:
    if isinstance(condition, Wildcard):
        return _meets_pattern(condition.pattern, value, case_sensitive=case_sensitive)
    return value in condition.values if case_sensitive else value.lower() in map(str.lower, condition.values)


def _meets_pattern(pattern: str, value: str, *, case_sensitive: bool) -> bool:
    return _like(pattern, value) if case_sensitive else _like(pattern.lower(), value.lower())


def _is_one_of(attribute: Attribute, wanted: tuple[str, ...], value: str, *, case_sensitive: bool) -> bool:
    own = set(value.split("\\")) if attribute.matching is Matching.CODES else {value}
    if attribute.matching is Matching.NUMBER:
        return value != "" and int(value) in {int(number) for number in wanted}
    if case_sensitive:
        return not own.isdisjoint(wanted)
    return not {one.lower() for one in own}.isdisjoint(one.lower() for one in wanted)


def _instant(attribute: Attribute, text: str) -> str:
    """Return a date or time with the components it leaves out at their beginning."""
    if attribute.matching is not Matching.TIME:
        return text
    seconds, _, fraction = text.partition(".")
    return f"{seconds:0<6}.{fraction:0<6}"


def accents_agree(query: Query, values: Mapping[str, str]) -> bool:
    """Return whether the patient's name of an entity that matches has the accents of the key: those come first."""
    condition, name = query.conditions.get("PatientName"), values.get("PatientName", "")
    if not isinstance(condition, NameIs | NameWords) or not has_accents(condition.text):
        return True
    return _meets_name(condition, name, accented)


def _meets_name(condition: NameIs | NameWords, name: str, form: Callable[[str], str]) -> bool:
    """Match words, the whole name with its family name first or last, or with wildcards any run of its words."""
    own, asked = form(name).split(), form(condition.text).split()
    if isinstance(condition, NameWords):
        return all(any(word.startswith(part) for word in own) for part in asked)
    pattern = name_pattern(condition.text, form)
    if pattern is None:
        return asked in (own, own[1:] + own[:1], own[-1:] + own[:-1])
    runs = (" ".join(own[start:end]) for start in range(len(own)) for end in range(start + 1, len(own) + 1))
    return any(_like(pattern, run) for run in runs)


def _like(pattern: str, value: str) -> bool:
    """Match ``*`` (any text, the empty one too) and ``?`` (any one character) (PS3.4 C.2.2.2.4)."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None
