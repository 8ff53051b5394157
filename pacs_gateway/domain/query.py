"""A query: level, matching keys, page. Text from the outside becomes typed conditions here, once.

References
----------
PS3.4 C.2.2.2 (matching), PS3.18 8.3.4 (query parameters)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from pacs_gateway.domain.attributes import BY_KEYWORD, FIELD_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.names import fold
from pacs_gateway.domain.time_span import TIME_OF, TimeSpan
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.domain.values import clean
from pacs_gateway.errors import InvalidQueryError

_DATE = re.compile(r"[0-9]{8}")
_OLD_DATE = re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
_TIME = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?")
_MAX_KEY_LENGTH = 1024
_MAX_VALUES = 1000


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these (single value, list of UIDs, any code of a set)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The value lies between these, both included; an empty text is an open end."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The value matches a pattern with ``*`` and ``?``."""

    pattern: str


@dataclass(frozen=True, slots=True)
class NameIs:
    """The folded name equals, or with wildcards matches, this text."""

    text: str


@dataclass(frozen=True, slots=True)
class NameWords:
    """Every word of this text is (the beginning of) a word of the name, in any order."""

    text: str


@dataclass(frozen=True, slots=True)
class HasItem:
    """One item of the sequence meets all of these, by the position of its values."""

    fields: Mapping[int, OneOf | Wildcard]


@dataclass(frozen=True, slots=True)
class IsEmpty:
    """There is no value."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these is met."""

    conditions: tuple[OneOf | Wildcard | NameIs | NameWords, ...]


Condition = AnyOf | HasItem | IsEmpty | OneOf | Range | Wildcard | NameIs | NameWords | TimeSpan


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a key can mean beyond what every caller means by it; a caller asks for each."""

    fuzzy: bool = False
    """Names match by words in any order (PS3.4 C.2.2.2.1.4)."""
    empty: bool = False
    """``""`` finds what has no value (PS3.4 C.2.2.2.7)."""
    multiple: bool = False
    """A key lists texts, names or numbers, one of which is to match (PS3.4 C.2.2.2.8)."""


_NONE = Extensions()
_EMPTY = '""'
_LISTED = frozenset({Matching.TEXT, Matching.NAME, Matching.NUMBER})
_MAY_BE_EMPTY = _LISTED | {Matching.DATE, Matching.TIME}


@dataclass(frozen=True, slots=True)
class Query:
    """What to find: entities of one level that meet every condition."""

    level: Level
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """By keyword, for attributes of this level and those above."""
    limit: int | None = None
    offset: int = 0
    case_sensitive: bool = False

    @classmethod
    def build(
        cls,
        level: Level,
        keys: Mapping[str, str],
        *,
        limit: int | None = None,
        offset: int = 0,
        extensions: Extensions = _NONE,
        case_sensitive: bool = False,
    ) -> Self:
        """Return the query for matching keys as they come from a wire.

        Parameters
        ----------
        keys
            Matching text by keyword; an empty one matches everything (universal matching).

        Raises
        ------
        InvalidQueryError
            An attribute cannot be matched at this level, or a key is malformed.
        """
        conditions = {}
        for keyword, text in keys.items():
            condition = parse_condition(_attribute(keyword, level), text, extensions)
            if condition is not None:
                conditions[keyword] = condition
        return cls(level, conditions, limit, offset, case_sensitive)

    def with_time_spans(self, *, is_combined: bool, offset: int | None) -> Self:
        """Return the query with ranges of dates as spans of time.

        Parameters
        ----------
        is_combined
            A range of a date and one of the time that goes with it are one: from the first moment to the last.
        offset
            Minutes east of UTC in which dates are meant, and times with them; None for the local time of each entity.
        """
        conditions = dict(self.conditions)
        for date, time in TIME_OF.items():
            days, hours = conditions.get(date), conditions.get(time) if is_combined else None
            if isinstance(days, Range) and (isinstance(hours, Range) or offset is not None):
                first, last = (hours.first, hours.last) if isinstance(hours, Range) else ("", "")
                conditions[date] = TimeSpan(days.first and days.first + first, days.last and days.last + last, offset)
                if hours is not None:
                    del conditions[time]
        return replace(self, conditions=conditions)


def _attribute(keyword: str, level: Level) -> Attribute:
    attribute = BY_KEYWORD.get(keyword)
    if attribute is None or attribute.matching is Matching.NONE:
        raise InvalidQueryError(f"{keyword if keyword.isalnum() else 'this attribute'} cannot be matched")
    if attribute.level is not level and attribute.level not in level.parents:
        raise InvalidQueryError(f"{keyword} cannot be matched at the {level} level")
    return attribute


def parse_condition(attribute: Attribute, text: str, extensions: Extensions = _NONE) -> Condition | None:
    """Return the condition a matching key stands for, None for universal matching.

    Raises
    ------
    InvalidQueryError
        The key is malformed for this attribute.
    """
    if attribute.matching is Matching.ITEMS:
        return _item(attribute, text)
    # As values are cleaned, so are keys: a browser may send decomposed letters, a stranger controls and surrogates.
    text = clean(text)
    if len(text) > _MAX_KEY_LENGTH and attribute.matching not in (Matching.UID, Matching.CODES):
        raise InvalidQueryError(f"the key for {attribute.keyword} is too long", tag=attribute.tag)
    if extensions.empty and text == _EMPTY and attribute.matching in _MAY_BE_EMPTY:
        return IsEmpty()
    if extensions.multiple and "\\" in text and attribute.matching in _LISTED:
        conditions = [_value(attribute, value, fuzzy=extensions.fuzzy) for value in _values(attribute, text)]
        # Of a list, one value that matches everything is enough.
        return None if None in conditions else AnyOf(tuple(filter(None, conditions)))
    match attribute.matching:
        case Matching.UID if not _is_universal(text):
            return _uids(attribute, text)
        case Matching.CODES if not _is_universal(text):
            is_pattern = attribute.vr == "CS" and _is_pattern(text) and "\\" not in text
            return Wildcard(text) if is_pattern else OneOf(_values(attribute, text))
        case Matching.DATE if not _is_universal(text):
            return _range(attribute, _OLD_DATE.sub(r"\1\2\3", text), _DATE)
        case Matching.TIME if not _is_universal(text):
            return _range(attribute, text.replace(":", ""), _TIME)
        case _:
            return _value(attribute, text, fuzzy=extensions.fuzzy)


def _value(attribute: Attribute, text: str, *, fuzzy: bool) -> OneOf | Wildcard | NameIs | NameWords | None:
    """Return the condition of one value, which may be one of several; None for universal matching."""
    if _is_universal(text) or (attribute.matching is Matching.NAME and _is_blank(text)):
        return None
    if attribute.matching is Matching.NAME:
        words = text.replace("*", " ").replace("?", " ")
        return NameWords(words) if fuzzy and fold(words) else NameIs(text)
    return _number(attribute, text) if attribute.matching is Matching.NUMBER else _text(text)


def _is_universal(text: str) -> bool:
    return text in ("", "*")


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _text(text: str) -> OneOf | Wildcard:
    return Wildcard(text) if _is_pattern(text) else OneOf((text,))


def _item(attribute: Attribute, text: str) -> HasItem | None:
    """Return the condition for an item of keys, written as the items of a sequence are."""
    keys = [clean(key) for key in text.split(FIELD_SEPARATOR)]
    if len(keys) > len(attribute.items) or any(len(key) > _MAX_KEY_LENGTH for key in keys):
        raise InvalidQueryError(f"the key for {attribute.keyword} is too long", tag=attribute.tag)
    fields = {position: _text(key) for position, key in enumerate(keys) if key not in ("", "*")}
    return HasItem(fields) if fields else None


def _is_blank(name: str) -> bool:
    """Return whether a name key has borders and ``*`` only: ``^^^^`` is how some workstations write an empty one."""
    return not fold(name).strip("* ")


def _values(attribute: Attribute, text: str) -> tuple[str, ...]:
    values = tuple(value.strip(" ") for value in text.split("\\") if value.strip(" "))
    if not values or len(values) > _MAX_VALUES:
        raise InvalidQueryError(f"the key for {attribute.keyword} lists no values, or too many", tag=attribute.tag)
    return values


def _uids(attribute: Attribute, text: str) -> OneOf:
    values = _values(attribute, text)
    if not all(is_uid(value) for value in values):
        raise InvalidQueryError(f"the key for {attribute.keyword} is not a UID", tag=attribute.tag)
    return OneOf(values)


def _number(attribute: Attribute, text: str) -> OneOf:
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", text):
        raise InvalidQueryError(f"the key for {attribute.keyword} is not a number", tag=attribute.tag)
    return OneOf((str(int(text)),))


def _range(attribute: Attribute, text: str, form: re.Pattern[str]) -> Range:
    first, dash, last = (part.strip(" ") for part in text.partition("-"))
    if not dash:
        last = first
    if not (first or last) or any(end and form.fullmatch(end) is None for end in (first, last)):
        problem = f"the key for {attribute.keyword} is not a date or time, or a range of them"
        raise InvalidQueryError(problem, tag=attribute.tag)
    return Range(first, last)
