"""What a search asks for: the parameters of QIDO-RS, read into what the index and the metadata can answer.

References
----------
PS3.18 8.3.4 (query parameters), 10.6.1 (request), PS3.4 C.2.2.2 (matching)
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, tag_for_keyword

from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, BY_TAG, FIELD_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Extensions
from pacs_gateway.errors import InvalidQueryError

PAGING = {
    "limit": "Most results of the answer.",
    "offset": "How many results to leave out before the first one.",
}
FLAGS = {
    "fuzzymatching": "Names match by the beginnings of their words, in any order, with or without accents.",
    "emptyvaluematching": 'A key of two quotation marks ("") finds what has no value.',
    "multiplevaluematching": "A key may list texts, names or numbers between backslashes, one of which is to match.",
}
INCLUDE = "includefield"

_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,9}")
# Read by content negotiation.
_OTHER_PARAMETERS = frozenset({"accept", "charset"})
_LISTS = frozenset({Matching.UID, Matching.CODES})
_TIMEZONE = BY_KEYWORD["TimezoneOffsetFromUTC"]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The parameters of one search."""

    keys: Mapping[str, str]
    """Matching text by keyword."""
    attributes: tuple[Attribute, ...]
    """What each result tells from the index."""
    details: frozenset[str]
    """Tags of what each result tells from the metadata of its instance."""
    limit: int | None
    offset: int
    extensions: Extensions
    ignored: tuple[str, ...]
    """What was asked for and is not done, in the caller's words that were recognised."""


def parse(parameters: Iterable[tuple[str, str]], level: Level, fixed: Mapping[str, str]) -> SearchRequest:
    """Read the query of a search.

    Parameters
    ----------
    parameters
        Decoded names and values, in order.
    fixed
        Keys that the path gives.

    Raises
    ------
    InvalidQueryError
        A parameter is unknown, malformed or given twice.

    Notes
    -----
    An attribute of the standard that cannot be matched here is left out and told of in a Warning, as C-FIND answers
    0xFF01; a name that is no attribute at all is refused, for a mistyped filter must not show everybody.
    """
    options: dict[str, str] = {}
    keys = dict(fixed)
    ignored: list[str] = []
    asked: list[Attribute] = []
    included: list[str] = []
    for name, value in parameters:
        folded = name.lower()
        if folded == INCLUDE:
            included += [field.strip() for field in value.split(",")]
        elif folded in PAGING or folded in FLAGS:
            if folded in options:
                raise InvalidQueryError(f"{folded} is given twice")
            options[folded] = value
        elif folded not in _OTHER_PARAMETERS:
            attribute, position = _key_attribute(name)
            if attribute is None or not is_matchable(attribute, level):
                ignored.append(attribute.keyword if attribute else _known_name(name))
            else:
                _add_key(keys, attribute, position, value)
                asked.append(attribute)
    asked += [attribute for field in included if (attribute := _attribute(field.partition(".")[0])) is not None]
    flags = {name: _flag(name, options.get(name, "false")) for name in FLAGS}
    return SearchRequest(
        keys,
        _returned(level, fixed, asked, wants_all="all" in included),
        _details(included) if level is Level.IMAGE else frozenset(),
        _count(options["limit"], "limit") if "limit" in options else None,
        _count(options.get("offset", "0"), "offset"),
        Extensions(flags["fuzzymatching"], flags["emptyvaluematching"], flags["multiplevaluematching"]),
        tuple(dict.fromkeys(ignored)),
    )


def is_matchable(attribute: Attribute, level: Level) -> bool:
    """Return whether entities of `level` are found by `attribute`."""
    return attribute.matching is not Matching.NONE and (attribute.level is level or attribute.level in level.parents)


def _attribute(name: str) -> Attribute | None:
    return BY_TAG.get(int(name, 16)) if _HEX_TAG.fullmatch(name) else BY_KEYWORD.get(name)


def _details(included: Iterable[str]) -> frozenset[str]:
    """Return the tags of what the index does not have; what is no attribute is left out quietly.

    With a private element goes the one that names its creator (PS3.18 10.6.3.3).
    """
    tags = set()
    for field in included:
        name = field.partition(".")[0]
        tag = int(name, 16) if _HEX_TAG.fullmatch(name) else tag_for_keyword(name)
        if tag is not None and tag not in BY_TAG:
            tags.add(f"{tag:08X}")
            if tag >> 16 & 1:
                tags.add(f"{tag >> 16:04X}00{tag >> 8 & 0xFF:02X}")
    return frozenset(tags)


def _key_attribute(name: str) -> tuple[Attribute | None, int]:
    """Return the attribute that a parameter names, and for one of a sequence's items its position in them."""
    outer, _, inner = name.partition(".")
    attribute = _attribute(outer)
    if attribute is None or bool(inner) != bool(attribute.items):
        # A sequence is matched by what is in its items alone.
        return None, 0
    if not inner:
        return attribute, 0
    item = next((one for one in attribute.items if inner.upper() == one.hex or inner == one.keyword), None)
    return (attribute, item.position) if item else (None, 0)


def _add_key(keys: dict[str, str], attribute: Attribute, position: int, value: str) -> None:
    """Add a key; those for attributes of an item are one."""
    if attribute.items:
        fields = keys.get(attribute.keyword, FIELD_SEPARATOR * (len(attribute.items) - 1)).split(FIELD_SEPARATOR)
        is_given, fields[position] = bool(fields[position]), value.replace(FIELD_SEPARATOR, "")
        value = FIELD_SEPARATOR.join(fields)
    else:
        is_given = attribute.keyword in keys
    if is_given:
        raise InvalidQueryError(f"{attribute.keyword} is given twice")
    keys[attribute.keyword] = value.replace(",", "\\") if attribute.matching in _LISTS else value


def _known_name(name: str) -> str:
    """Return the name of an attribute that the standard has and this index has not."""
    for part in name.split("."):
        is_known = dictionary_has_tag(int(part, 16)) if _HEX_TAG.fullmatch(part) else tag_for_keyword(part) is not None
        if not is_known:
            raise InvalidQueryError("a query parameter is neither an attribute nor an option of a search")
    return name


def _returned(
    level: Level, fixed: Mapping[str, str], asked: Iterable[Attribute], *, wants_all: bool
) -> tuple[Attribute, ...]:
    """Return what a result tells: the level's attributes, and those above that the path does not give (10.6.3.3)."""
    levels = {level} | ({Level.PATIENT} if level is Level.STUDY else set())
    if "StudyInstanceUID" not in fixed:
        levels |= {Level.PATIENT, Level.STUDY}
    if level is Level.IMAGE and "SeriesInstanceUID" not in fixed:
        levels.add(Level.SERIES)
    wanted = {a.tag for a in ATTRIBUTES if a.level in levels and (a.default or wants_all)}
    wanted |= {a.tag for a in asked if a.level is level or a.level in level.parents}
    # The unique keys of the path complete the identity of every result.
    wanted |= {BY_KEYWORD[one.unique_key].tag for one in (*level.parents, level) if one is not Level.PATIENT}
    wanted.add(_TIMEZONE.tag)
    return tuple(attribute for attribute in ATTRIBUTES if attribute.tag in wanted)


def _count(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidQueryError(f"{name} is not a whole number from 0")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidQueryError(f"{name} is true or false")
    return text.lower() == "true"
