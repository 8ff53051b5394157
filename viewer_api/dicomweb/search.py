"""QIDO-RS: searching for studies, series and instances (PS3.18 10.6)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson
from fastapi import APIRouter
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from starlette.responses import Response

from pacs_gateway.dicomweb import dicom_json
from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, BY_TAG, FIELD_SEPARATOR, Attribute, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import InvalidQueryError
from viewer_api.access import Visitor
from viewer_api.dependencies import Searcher, Uid
from viewer_api.negotiation import Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["QIDO-RS"])

_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"))
_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,9}")
# Read by others: content negotiation, and parameters whose absence changes nothing here.
_OTHER_PARAMETERS = frozenset({"accept", "charset"})
# Newer matching options (PS3.18 8.3.4.6, 8.3.4.7): asked for, they are not done, and that is said.
_OPTIONS_NOT_OFFERED = frozenset({"emptyvaluematching", "multiplevaluematching"})
_LISTS = frozenset({Matching.UID, Matching.CODES})
_PATHS: Mapping[Level, str] = MappingProxyType(
    {
        Level.STUDY: "/studies/{StudyInstanceUID}",
        Level.SERIES: "/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}",
        Level.IMAGE: "/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}",
    }
)
_TRUNCATED = "The number of results exceeded the maximum supported by the server. Additional results can be requested."


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The parameters of one search."""

    keys: Mapping[str, str]
    """Matching text by keyword."""
    attributes: tuple[Attribute, ...]
    """What each result tells."""
    limit: int | None
    offset: int
    is_fuzzy: bool
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
    wants_all = False
    for name, value in parameters:
        folded = name.lower()
        if folded == "includefield":
            wants_all = wants_all or "all" in value.split(",")
            asked += _include(value)
        elif folded in ("limit", "offset", "fuzzymatching"):
            if folded in options:
                raise InvalidQueryError(f"{folded} is given twice")
            options[folded] = value
        elif folded in _OPTIONS_NOT_OFFERED:
            ignored += [folded] if value.lower() != "false" else []
        elif folded not in _OTHER_PARAMETERS:
            attribute, position = _key_attribute(name)
            if attribute is None or not _is_matchable(attribute, level):
                ignored.append(attribute.keyword if attribute else _known_name(name))
            else:
                _add_key(keys, attribute, position, value)
                asked.append(attribute)
    return SearchRequest(
        keys,
        _returned(level, fixed, asked, wants_all=wants_all),
        _count(options["limit"], "limit") if "limit" in options else None,
        _count(options.get("offset", "0"), "offset"),
        _flag(options.get("fuzzymatching", "false")),
        tuple(dict.fromkeys(ignored)),
    )


def _include(value: str) -> list[Attribute]:
    """Return the known attributes of an includefield; those of other levels, or unknown here, are accepted quietly."""
    return [attribute for name in value.split(",") if (attribute := _attribute(name.strip())) is not None]


def _attribute(name: str) -> Attribute | None:
    return BY_TAG.get(int(name, 16)) if _HEX_TAG.fullmatch(name) else BY_KEYWORD.get(name)


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


def _is_matchable(attribute: Attribute, level: Level) -> bool:
    return attribute.matching is not Matching.NONE and (attribute.level is level or attribute.level in level.parents)


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
    return tuple(attribute for attribute in ATTRIBUTES if attribute.tag in wanted)


def _count(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidQueryError(f"{name} is not a whole number from 0")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidQueryError("fuzzymatching is true or false")
    return text.lower() == "true"


def _search(visitor: Visitor, level: Level, fixed: Mapping[str, str]) -> Response:
    offer = choose(visitor.accepted, _OFFERS)
    asked = parse(visitor.request.query_params.multi_items(), level, fixed)
    cap: int = visitor.request.app.state.config.search_limit
    is_capped = asked.limit is None or asked.limit > cap
    limit = cap if asked.limit is None else min(asked.limit, cap)
    query = Query.build(level, asked.keys, limit=limit, offset=asked.offset, fuzzy=asked.is_fuzzy)
    results, has_more = [], False
    if limit:
        page = visitor.gateway.archive.search.find(query, visitor.scope, asked.attributes)
        base = f"{str(visitor.request.base_url).rstrip('/')}/dicom-web"
        results = [_result(match.values, asked.attributes, base + _PATHS[level]) for match in page.matches]
        has_more = page.has_more
    response = Response(orjson.dumps(results), media_type=offer.media_type)
    for text in _warnings(asked, is_truncated=has_more and is_capped):
        response.headers.append("Warning", f'299 pacs-gateway "{text}"')
    return response


def _result(values: Mapping[str, str], attributes: Iterable[Attribute], url: str) -> dicom_json.JsonObject:
    encoded = dicom_json.encode(values, attributes)
    encoded["00081190"] = dicom_json.element("UR", url.format_map(values))
    return dict(sorted(encoded.items()))


def _warnings(asked: SearchRequest, *, is_truncated: bool) -> list[str]:
    texts = [_TRUNCATED] if is_truncated else []
    if asked.ignored:
        texts.append(f"Not supported here and left out: {', '.join(asked.ignored)}.")
    return texts


@router.get("/studies", summary="Search for studies")
def studies(visitor: Searcher) -> Response:
    """Search for studies."""
    return _search(visitor, Level.STUDY, {})


@router.get("/series", summary="Search for series of all studies")
def series(visitor: Searcher) -> Response:
    """Search for series of all studies."""
    return _search(visitor, Level.SERIES, {})


@router.get("/instances", summary="Search for instances of all studies")
def instances(visitor: Searcher) -> Response:
    """Search for instances of all studies."""
    return _search(visitor, Level.IMAGE, {})


@router.get("/studies/{study}/series", summary="Search for series of a study")
def series_of_study(visitor: Searcher, study: Uid) -> Response:
    """Search for series of a study."""
    return _search(visitor, Level.SERIES, {"StudyInstanceUID": study})


@router.get("/studies/{study}/instances", summary="Search for instances of a study")
def instances_of_study(visitor: Searcher, study: Uid) -> Response:
    """Search for instances of a study."""
    return _search(visitor, Level.IMAGE, {"StudyInstanceUID": study})


@router.get("/studies/{study}/series/{series}/instances", summary="Search for instances of a series")
def instances_of_series(visitor: Searcher, study: Uid, series: Uid) -> Response:
    """Search for instances of a series."""
    fixed = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    return _search(visitor, Level.IMAGE, fixed)
