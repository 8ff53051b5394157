"""QIDO-RS: searching for studies, series and instances (PS3.18 10.6)."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.search import Match, Page
from pacs_gateway.dicomweb import dicom_json, dicom_xml
from pacs_gateway.dicomweb.dicom_json import JsonObject
from pacs_gateway.domain.attributes import Attribute, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import Searcher, Uid
from viewer_api.dicomweb.answer import Part, multipart_related
from viewer_api.dicomweb.search_request import SearchRequest, parse
from viewer_api.negotiation import Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["QIDO-RS"])

TOTAL = "X-Total-Count"

_XML = Offer(dicom_xml.MEDIA_TYPE, wrapped=True)
_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"), _XML)
_PATHS: Mapping[Level, str] = MappingProxyType(
    {
        Level.STUDY: "/studies/{StudyInstanceUID}",
        Level.SERIES: "/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}",
        Level.IMAGE: "/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}",
    }
)
# What no row holds, and each result tells.
_COMPUTED = (
    Attribute("InstanceAvailability", 0x00080056, "CS", Level.STUDY, Matching.NONE, None),
    Attribute("RetrieveURL", 0x00081190, "UR", Level.STUDY, Matching.NONE, None),
)
_TIMEZONE_OFFSET, _RETRIEVE_URL = "00080201", "00081190"
# Further results are counted up to here; a larger total is not told.
_COUNTED_AT_MOST = 1000
# Metadata of more series are not looked into for one answer.
_MOST_SERIES = 100
_TRUNCATED = "The number of results exceeded the maximum supported by the server. Additional results can be requested."


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


def _search(visitor: Visitor, level: Level, fixed: Mapping[str, str]) -> Response:
    offer = choose(visitor.accepted, _OFFERS)
    asked = parse(visitor.request.query_params.multi_items(), level, fixed)
    cap: int = visitor.request.app.state.config.search_limit
    is_capped = asked.limit is None or asked.limit > cap
    limit = cap if asked.limit is None else min(asked.limit, cap)
    query = Query.build(level, asked.keys, limit=limit, offset=asked.offset, extensions=asked.extensions)
    search = visitor.gateway.archive.search
    page = search.find(query, visitor.scope, asked.attributes, tells_reach=True) if limit else Page((), has_more=True)
    results, warnings = _results(visitor, level, page.matches, asked)
    response = _answer(offer, results)
    if page.has_more and is_capped:
        warnings.append(_TRUNCATED)
    for text in warnings:
        response.headers.append("Warning", f'299 pacs-gateway "{text}"')
    if (total := _total(visitor, query, page)) is not None:
        response.headers[TOTAL] = str(total)
    return response


def _results(
    visitor: Visitor, level: Level, matches: Sequence[Match], asked: SearchRequest
) -> tuple[list[JsonObject], list[str]]:
    """Return what is told of each match, and what is to be said about all."""
    url = f"{str(visitor.request.base_url).rstrip('/')}/dicom-web{_PATHS[level]}"
    warnings = [f"Not supported here and left out: {', '.join(asked.ignored)}."] if asked.ignored else []
    details = _details(visitor, matches, asked.details)
    if details is None:
        warnings.append("The results are of too many series: some attributes asked for by includefield are left out.")
    values = (_told(match, url) for match in matches)
    results = list(dicom_json.encode_all(values, (*asked.attributes, *_COMPUTED)))
    for n, (match, result) in enumerate(zip(matches, results, strict=True)):
        if not match.values["TimezoneOffsetFromUTC"]:
            # Present if known, says the standard, not empty.
            del result[_TIMEZONE_OFFSET]
        if details and (more := details.get(match.values["SOPInstanceUID"])):
            results[n] = dict(sorted((result | more).items()))
    return results, warnings


def _told(match: Match, url: str) -> Mapping[str, str]:
    reach = "ONLINE" if match.is_in_reach else "UNAVAILABLE"
    return {**match.values, "InstanceAvailability": reach, "RetrieveURL": url.format_map(match.values)}


def _details(visitor: Visitor, matches: Sequence[Match], tags: frozenset[str]) -> dict[str, JsonObject] | None:
    """Return attributes from the metadata of instances, by SOP Instance UID; None for too many series.

    The metadata of each series are read once.
    """
    wanted: dict[tuple[str, str], set[str]] = {}
    for match in matches if tags else ():
        of_series = match.values["StudyInstanceUID"], match.values["SeriesInstanceUID"]
        wanted.setdefault(of_series, set()).add(match.values["SOPInstanceUID"])
    if len(wanted) > _MOST_SERIES:
        return None
    found: dict[str, JsonObject] = {}
    for (study, series), sop_uids in wanted.items():
        try:
            (blob,) = visitor.gateway.archive.retrieve.metadata(visitor.scope, study_uid=study, series_uid=series)
        except NotFoundError:
            # It has gone since it was found.
            continue
        for uid, body in blob.find(sop_uids).items():
            data_set: JsonObject = orjson.loads(body)
            found[uid] = {tag: data_set[tag] for tag in tags & data_set.keys()}
    return found


def _answer(offer: Offer, results: Sequence[JsonObject]) -> Response:
    if offer is not _XML:
        return Response(orjson.dumps(results), media_type=offer.media_type)
    # A multipart body has at least one part: of nothing there is none (PS3.18 Table 10.6.3-1).
    return multipart_related(_documents(results)) if results else Response(status_code=204)


def _documents(results: Sequence[JsonObject]) -> Iterator[Part]:
    for result in results:
        document = dicom_xml.encode(result)
        location = dicom_json.first_value(result, _RETRIEVE_URL)
        yield Part(_XML, location, Payload(iter((document,)), len(document)))


def _total(visitor: Visitor, query: Query, page: Page) -> int | None:
    """Return how much is found on all pages together: on the last one, and where that is the question (``limit=0``).

    Counting takes longer than finding a page.
    """
    if query.limit:
        is_known = not page.has_more and (page.matches or not query.offset)
        return query.offset + len(page.matches) if is_known else None
    return visitor.gateway.archive.search.count(query, visitor.scope, at_most=_COUNTED_AT_MOST)
