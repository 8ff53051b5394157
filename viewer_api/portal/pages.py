"""The study list and the image page."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, stat_result
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from pacs_gateway.access import Action
from pacs_gateway.archive.search import Match
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.names import display
from pacs_gateway.domain.query import Extensions, Query
from pacs_gateway.errors import InvalidQueryError, NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import Uid, not_modified
from viewer_api.portal.catalogue import Catalogue, catalogue_of
from viewer_api.portal.page import FOLDER, TAG, MayView, show
from viewer_api.viewer.install import current

router = APIRouter(tags=[TAG], include_in_schema=False)

SearchingReader = Annotated[Visitor, Depends(MayView(Action.SEARCH))]
ViewingReader = Annotated[Visitor, Depends(MayView(Action.READ))]

# What the choice offers; any other modality is found by the other fields (PS3.3 C.7.3.1.1.1).
MODALITIES = ("CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OT", "PT", "PX", "RF", "SC", "SR", "US", "XA")
_FIELDS = ("name", "id", "from", "to", "modality")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_PAGE = 10_000
_MAX_SERIES = 1000
# Kinds of objects without pixels: for them no thumbnail is asked for, only the icon behind it is shown.
_PICTURELESS = frozenset(
    {"AU", "DOC", "ECG", "EPS", "HD", "KO", "M3D", "PLAN", "PR", "REG", "RTPLAN", "RTSTRUCT", "SR"}
)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as the pages show one."""

    name: str
    patient_id: str
    sex: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class Row:
    """A study as the pages show one; dates and times as people write them."""

    uid: str
    person: Person
    date: str
    time: str
    description: str
    modalities: tuple[str, ...]
    facility: str
    n_series: str
    n_images: str
    is_flagged: bool
    has_picture: bool


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as the image page shows one."""

    uid: str
    number: str
    modality: str
    description: str
    n_images: str
    has_picture: bool


@router.get("/")
def study_list(visitor: SearchingReader) -> Response:
    """Show the list of studies with its search."""
    return show(visitor.request, "list.html", _list_facts(visitor), caller=visitor.caller)


@router.get("/list")
def study_rows(visitor: SearchingReader) -> Response:
    """Show the rows of the list alone: what an open list asks for every second, and gets only when it has changed."""
    response = show(visitor.request, "rows.html", _list_facts(visitor))
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response


@router.get("/studies/{study}")
def study_images(visitor: ViewingReader, study: Uid) -> Response:
    """Show the images of a study."""
    words = catalogue_of(visitor.request)
    search = visitor.gateway.archive.search
    found = search.find(Query.build(Level.STUDY, {"StudyInstanceUID": study}, limit=1), visitor.scope)
    if not found.matches:
        raise NotFoundError("no such study")
    series = search.find(Query.build(Level.SERIES, {"StudyInstanceUID": study}, limit=_MAX_SERIES), visitor.scope)
    rows = sorted((_series_row(match.values) for match in series.matches), key=_series_order)
    facts = {"study": _row(found.matches[0], words), "series": rows, "has_viewer": current() is not None}
    return show(visitor.request, "images.html", facts, caller=visitor.caller)


def static_files() -> StaticFiles:
    """Return what serves scripts, styles and pictures of our own."""
    return _OwnFiles(directory=FOLDER / "static")


class _OwnFiles(StaticFiles):
    """Files that a browser may keep, and asks about before it uses them: an upgrade shows at once."""

    def file_response(
        self, full_path: PathLike[str] | str, stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file, or that it has not changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        return response


def keys_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the matching keys for what somebody typed into the search.

    Raises
    ------
    InvalidQueryError
        A date is none.
    """
    keys = {"PatientName": fields["name"], "ModalitiesInStudy": fields["modality"]}
    if fields["id"]:
        # Typed from the left as people read numbers; with wildcards as they say.
        keys["PatientID"] = fields["id"] if re.search(r"[*?]", fields["id"]) else f"{fields['id']}*"
    ends = [_dicom_date(fields[name]) for name in ("from", "to")]
    if any(ends):
        keys["StudyDate"] = "-".join(ends)
    return {keyword: text for keyword, text in keys.items() if text}


def _list_facts(visitor: Visitor) -> dict[str, object]:
    words = catalogue_of(visitor.request)
    parameters = visitor.request.query_params
    fields = {name: parameters.get(name, "").strip() for name in _FIELDS}
    page = _page(parameters)
    size: int = visitor.request.app.state.config.page_size
    facts: dict[str, object] = {
        "fields": fields,
        "modalities": MODALITIES,
        "is_search": any(fields.values()),
        "page": page,
        "newer": _address(fields, page - 1) if page > 1 else "",
        "has_viewer": current() is not None,
    }
    try:
        query = Query.build(
            Level.STUDY, keys_of(fields), limit=size, offset=(page - 1) * size, extensions=Extensions(fuzzy=True)
        )
    except InvalidQueryError:
        return facts | {"rows": (), "older": "", "is_bad": True}
    found = visitor.gateway.archive.search.find(query, visitor.scope)
    rows = [_row(match, words) for match in found.matches]
    return facts | {"rows": rows, "older": _address(fields, page + 1) if found.has_more else "", "is_bad": False}


def _page(parameters: QueryParams) -> int:
    text = parameters.get("page", "1")
    return min(max(int(text), 1), _MAX_PAGE) if text.isascii() and text.isdecimal() and len(text) < 9 else 1


def _address(fields: Mapping[str, str], page: int) -> str:
    given = {name: text for name, text in fields.items() if text}
    return f"/?{urlencode(given | {'page': str(page)})}"


def _dicom_date(text: str) -> str:
    if text and not _ISO_DATE.fullmatch(text):
        raise InvalidQueryError("a date is not one")
    return text.replace("-", "")


def _row(match: Match, words: Catalogue) -> Row:
    values = match.values
    time = values.get("StudyTime", "")
    sex = values.get("PatientSex", "")
    birth_date = values.get("PatientBirthDate", "")
    modalities = tuple(code for code in values.get("ModalitiesInStudy", "").split("\\") if code)
    return Row(
        uid=values["StudyInstanceUID"],
        person=Person(
            name=display(values.get("PatientName", "")) or words("unnamed"),
            patient_id=values.get("PatientID", ""),
            sex=words(f"sex_{sex}") if sex in ("M", "F", "O") else "",
            birth_date=words("born", date=words.date(birth_date)) if birth_date else "",
        ),
        date=words.date(values.get("StudyDate", "")),
        time=f"{time[:2]}:{time[2:4]}" if time[:4].isdecimal() and len(time) >= 4 else "",
        description=values.get("StudyDescription", ""),
        modalities=modalities,
        facility=match.facility,
        n_series=values.get("NumberOfStudyRelatedSeries", "0"),
        n_images=values.get("NumberOfStudyRelatedInstances", "0"),
        is_flagged=match.is_flagged,
        has_picture=not _PICTURELESS.issuperset(modalities),
    )


def _series_row(values: Mapping[str, str]) -> SeriesRow:
    return SeriesRow(
        uid=values["SeriesInstanceUID"],
        number=values.get("SeriesNumber", ""),
        modality=values.get("Modality", ""),
        description=values.get("SeriesDescription", "") or values.get("ProtocolName", ""),
        n_images=values.get("NumberOfSeriesRelatedInstances", "0"),
        has_picture=values.get("Modality", "") not in _PICTURELESS,
    )


def _series_order(row: SeriesRow) -> tuple[bool, int, str]:
    """Sort by number, those without one last."""
    is_number = row.number.lstrip("-").isdecimal()
    return (not is_number, int(row.number) if is_number else 0, row.uid)
