"""What a C-FIND asks for: an identifier, read by its information model into a query and a list of what to tell.

References
----------
PS3.4 C.4.1.1.3 (identifiers), C.4.1.2 and C.4.1.3 (hierarchical and relational queries), C.6 (information models)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pacs_gateway.dimse.data_set import ENCODED_VRS
from pacs_gateway.dimse.query.information_model import QUERY_RETRIEVE_LEVEL, InformationModel
from pacs_gateway.domain.attributes import BY_KEYWORD, BY_TAG, FIELD_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.character_set import CharacterSet
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Extensions, OneOf, Query
from pacs_gateway.domain.raw_data_set import RawDataSet, RawElement
from pacs_gateway.domain.time_span import OFFSETS, TIME_OF
from pacs_gateway.errors import InvalidQueryError, UnfitQueryError

SPECIFIC_CHARACTER_SET = 0x00080005
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET = 0x00080201
# About the query itself, or told of every match whoever asks; Storage Media File-Set ID and UID have no value here,
# for nothing is kept on media that somebody would have to fetch from a shelf.
_NO_KEYS = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        0x00080053,
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
        TIMEZONE_OFFSET,
    }
)
_MEDIA = frozenset({0x00880130, 0x00880140})
# A query with a single value or list for one of these is about something, and not about everything.
_NARROWING = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "AccessionNumber")


@dataclass(frozen=True, slots=True)
class Options:
    """How a query is to be understood: what was negotiated, and what the device's record says."""

    is_relational: bool = False
    is_combined: bool = False
    is_fuzzy: bool = False
    is_zoned: bool = False
    ignores_case: bool = False
    charset: str = ""
    """Character set of requests that name none."""

    @classmethod
    def agreed(cls, extended: bytes, *, ignores_case: bool, charset: str) -> "Options":
        """Return the options of service class application information (PS3.4 C.5.1.1)."""
        relational, combined, fuzzy, zoned, *_ = map(bool, (*extended, 0, 0, 0, 0))
        return cls(relational, combined, fuzzy, zoned, ignores_case, charset)


@dataclass(frozen=True, slots=True)
class FindRequest:
    """One C-FIND, understood."""

    query: Query
    attributes: tuple[Attribute, ...]
    """What each answer tells of the index."""
    blanks: tuple[tuple[int, str], ...]
    """Tags and VRs of what was asked for and is answered empty."""
    is_served_whole: bool
    """Whether every key is supported as it was asked for (status 0xFF00, else 0xFF01)."""
    charset: str
    """(0008,0005) of the request."""
    wants_availability: bool

    @property
    def is_narrow(self) -> bool:
        """Whether a key says which patient, examination or object is meant."""
        return any(isinstance(self.query.conditions.get(keyword), OneOf) for keyword in _NARROWING)

    @classmethod
    def read(cls, identifier: RawDataSet, model: InformationModel, options: Options) -> "FindRequest":
        """Return what `identifier` asks for.

        Raises
        ------
        UnfitQueryError
            It lacks a key that its level demands, or the model has no such level.
        InvalidQueryError
            A key is malformed.
        """
        level = model.level(identifier.code(QUERY_RETRIEVE_LEVEL))
        terms = identifier.code(SPECIFIC_CHARACTER_SET)
        keys = _Keys.sorted_out(identifier, level, CharacterSet(terms, options.charset))
        query = Query.build(
            level, keys.texts, extensions=Extensions(fuzzy=options.is_fuzzy), case_sensitive=not options.ignores_case
        )
        if not options.is_relational:
            _check_hierarchy(query, model)
        offset = _offset(identifier) if options.is_zoned else None
        query = query.with_time_spans(is_combined=options.is_combined, offset=offset)
        told = [*keys.attributes, *(BY_KEYWORD[one.unique_key] for one in (*model.above(level), level))]
        if options.is_zoned and level is not Level.PATIENT:
            # Times are told as they were recorded, with what they were recorded in.
            told.append(BY_TAG[TIMEZONE_OFFSET])
        # The hours of a day, whichever day it is, are not moved to another zone: they would be those of two days.
        is_zone_kept = offset is None or query.conditions.keys().isdisjoint(TIME_OF.values())
        if identifier.code(TIMEZONE_OFFSET) and not options.is_zoned:
            is_zone_kept = False
        return cls(
            query,
            tuple({attribute.tag: attribute for attribute in told}.values()),
            keys.blanks,
            keys.is_served_whole and is_zone_kept,
            terms,
            INSTANCE_AVAILABILITY in identifier.elements,
        )


@dataclass(frozen=True, slots=True)
class _Keys:
    """The elements of an identifier by what becomes of them."""

    texts: Mapping[str, str]
    """Of what is matched, by keyword."""
    attributes: tuple[Attribute, ...]
    blanks: tuple[tuple[int, str], ...]
    is_served_whole: bool

    @classmethod
    def sorted_out(cls, identifier: RawDataSet, level: Level, charset: CharacterSet) -> "_Keys":
        levels = {level, *level.parents}
        texts: dict[str, str] = {}
        attributes: list[Attribute] = []
        blanks: list[tuple[int, str]] = []
        is_served_whole = True
        for tag, element in identifier.elements.items():
            if tag in _NO_KEYS or tag & 0xFFFF == 0:  # group lengths
                continue
            attribute = BY_TAG.get(tag)
            if attribute is None or attribute.level not in levels:
                blanks.append((tag, element.vr))
                is_served_whole = is_served_whole and tag in _MEDIA
                continue
            if attribute.items:
                attribute, text, is_known = _item_keys(attribute, element, charset)
                is_served_whole = is_served_whole and is_known
            else:
                text = _text(element, attribute.vr, charset)
            attributes.append(attribute)
            if attribute.matching is not Matching.NONE:
                texts[attribute.keyword] = text
            elif text and tag != TIMEZONE_OFFSET:
                is_served_whole = False
        return cls(texts, tuple(attributes), tuple(blanks), is_served_whole)


def _item_keys(attribute: Attribute, element: RawElement, charset: CharacterSet) -> tuple[Attribute, str, bool]:
    """Return a sequence with what of its items is asked for, the keys in its item, and whether all of them are known.

    A sequence without an item, or with an empty one, asks for everything (PS3.4 C.2.2.2.6).
    """
    if len(element.items) > 1:
        raise InvalidQueryError("a sequence of keys has more than one item", tag=attribute.tag)
    keys = element.items[0].elements if element.items else {}
    asked = tuple(one for one in attribute.items if one.tag in keys)
    fields = [
        _text(keys[one.tag], one.vr, charset).replace(FIELD_SEPARATOR, "") if one in asked else ""
        for one in attribute.items
    ]
    return replace(attribute, items=asked or attribute.items), FIELD_SEPARATOR.join(fields), len(asked) == len(keys)


def _text(element: RawElement, vr: str, charset: CharacterSet) -> str:
    if vr in ENCODED_VRS:
        return charset.decode(element.value)
    return element.value.decode("latin-1").strip("\0 ")


def _offset(identifier: RawDataSet) -> int | None:
    """Return the minutes east of UTC in which the keys are meant, None where they say nothing of it."""
    text = identifier.code(TIMEZONE_OFFSET)
    if text and text not in OFFSETS:
        raise InvalidQueryError("the timezone offset is not one", tag=TIMEZONE_OFFSET)
    return OFFSETS.get(text)


def _check_hierarchy(query: Query, model: InformationModel) -> None:
    """Check that every level above is pinned down by a single value of its unique key (PS3.4 C.4.1.2.1).

    The patient's is not demanded (decision 0019): who looks for a name in the Patient Root model leaves it out, and
    what is below has a key of its own.
    """
    for level in model.above(query.level):
        if level is Level.PATIENT:
            continue
        condition = query.conditions.get(level.unique_key)
        if not isinstance(condition, OneOf) or len(condition.values) != 1:
            attribute = BY_KEYWORD[level.unique_key]
            raise UnfitQueryError(f"{attribute.keyword} must be given as a single value", tag=attribute.tag)
