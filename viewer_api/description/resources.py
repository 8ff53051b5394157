"""What resources of a kind take and give: the media types and parameters that routes negotiate, told in one place.

Routes say their path and their purpose; which kind they are of is told by the last segment of the path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from pacs_gateway.dicomweb import dicom_json, dicom_xml
from pacs_gateway.domain.attributes import ATTRIBUTES, Attribute, Matching
from pacs_gateway.domain.levels import Level
from viewer_api.dicomweb.search import TOTAL
from viewer_api.dicomweb.search_request import FLAGS, INCLUDE, PAGING, is_matchable
from viewer_api.dicomweb.store_metadata import DECODERS
from viewer_api.errors import STATUSES
from viewer_api.negotiation import DICOM, MEDIA_TYPES, OCTETS, ZIP

JSON, TEXT, MULTIPART = "application/json", "text/plain", "multipart/related"
DATA_SETS = (dicom_json.MEDIA_TYPE, JSON, MULTIPART)
_IMAGES = ("image/jpeg", "image/png", "image/gif")
_DOCUMENTS = ("application/pdf", "text/html", TEXT, "text/xml", "model/stl", "model/obj", "model/mtl", "video/mp4")
_FRAMES = (MULTIPART, OCTETS, *dict.fromkeys(MEDIA_TYPES.values()))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, or a header of the answer."""

    name: str
    description: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Resource:
    """What an operation on a resource takes and gives."""

    produces: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    successes: tuple[HTTPStatus, ...] = (HTTPStatus.OK,)
    headers: tuple[Parameter, ...] = ()
    consumes: tuple[str, ...] = ()
    is_open: bool = False
    """Nobody has to say who asks."""

    @property
    def is_negotiated(self) -> bool:
        """Whether callers say which of the media types they take."""
        return not self.is_open and self.produces not in ((), (JSON,))

    @property
    def problems(self) -> tuple[HTTPStatus, ...]:
        """Statuses of answers that are problems (RFC 9457)."""
        bodily = {HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
        possible = set(STATUSES.values()) - set(self.successes)
        return () if self.is_open else tuple(sorted(possible if self.consumes else possible - bodily))


ACCEPT = Parameter("accept", "Media types in place of those of the Accept header (PS3.18 8.3.3.1).")
_ETAG = Parameter("ETag", "Names what was sent; with If-None-Match it is sent again only if it has changed.")
_VIEW = (
    Parameter("viewport", "Size to fit into, and the part to show: width,height[,x,y[,width,height]]."),
    Parameter("window", "Window: centre,width,function (linear, linear-exact, sigmoid)."),
    Parameter("quality", "Quality of JPEG, 1 to 100.", "integer"),
    Parameter("annotation", "What is written into the picture: patient, technique."),
    Parameter("iccprofile", "Which colour profile the picture carries: no, yes, srgb, adobergb, rommrgb, displayp3."),
)
_WADO = (
    Parameter("requestType", "WADO."),
    Parameter("studyUID", "Study Instance UID."),
    Parameter("seriesUID", "Series Instance UID."),
    Parameter("objectUID", "SOP Instance UID."),
    Parameter("contentType", "Media types in which the object is wished."),
    Parameter("transferSyntax", "Transfer syntax of the object."),
    Parameter("frameNumber", "Frame, from 1.", "integer"),
    Parameter("rows", "Most rows of the picture.", "integer"),
    Parameter("columns", "Most columns of the picture.", "integer"),
    Parameter("region", "Part of the picture: left,top,right,bottom as fractions."),
    Parameter("windowCenter", "Centre of the window.", "number"),
    Parameter("windowWidth", "Width of the window.", "number"),
    Parameter("imageQuality", "Quality of JPEG, 1 to 100.", "integer"),
    Parameter("imageAnnotation", "What is written into the picture: patient, technique."),
    Parameter("presentationSeriesUID", "Series Instance UID of the presentation state."),
    Parameter("presentationUID", "SOP Instance UID of the presentation state to show the image by."),
)
_SHOWN = (
    HTTPStatus.OK,
    HTTPStatus.PARTIAL_CONTENT,
    HTTPStatus.NOT_MODIFIED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)
FORMS: Mapping[Matching, str] = MappingProxyType(
    {
        Matching.UID: "UIDs, separated by commas or backslashes",
        Matching.TEXT: "text, with the wildcards * and ?",
        Matching.NAME: "name, with the wildcards * and ?; accents and component borders do not count",
        Matching.DATE: "date YYYYMMDD, or a range of dates with a hyphen",
        Matching.TIME: "time HHMMSS.FFFFFF, or a range of times with a hyphen",
        Matching.NUMBER: "whole number",
        Matching.CODES: "values, one of which is to be there, separated by commas or backslashes",
        Matching.ITEMS: "text in an item of the sequence, with the wildcards * and ?",
    }
)


def search_parameters(level: Level) -> tuple[Parameter, ...]:
    """Return the parameters of a search for entities of `level`; attributes may also be named by their tags."""
    keys = (one for row in ATTRIBUTES if is_matchable(row, level) for one in _keys(row))
    include = Parameter(INCLUDE, "Attributes to tell of: keywords or tags, separated by commas, or all.")
    paging = (Parameter(name, text, "integer") for name, text in PAGING.items())
    flags = (Parameter(name, text, "boolean") for name, text in FLAGS.items())
    return (*paging, include, *flags, *keys)


def _keys(row: Attribute) -> tuple[Parameter, ...]:
    form = f"{row.level.lower()} level: {FORMS[row.matching]}."
    if not row.items:
        return (Parameter(row.keyword, f"{row.hex}, {row.vr}, {form}"),)
    return tuple(
        Parameter(f"{row.keyword}.{one.keyword}", f"{row.hex}.{one.hex}, {one.vr}, {form}") for one in row.items
    )


def _search(level: Level) -> Resource:
    return Resource(
        DATA_SETS,
        search_parameters(level),
        (HTTPStatus.OK, HTTPStatus.NO_CONTENT),
        (
            Parameter(TOTAL, "How much is found on all pages together, where that costs little.", "integer"),
            Parameter("Warning", "299: what was left out."),
        ),
    )


_OBJECTS = Resource((MULTIPART, DICOM, ZIP))
_STORE = Resource(
    (dicom_json.MEDIA_TYPE, JSON, dicom_xml.MEDIA_TYPE),
    successes=(HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT),
    consumes=(MULTIPART, DICOM, *DECODERS),
)
_OPERATIONS = Resource((JSON,), successes=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE), is_open=True)

_REMOVAL = Resource((), successes=(HTTPStatus.NO_CONTENT,))

RESOURCES: Mapping[tuple[str, str], Resource] = MappingProxyType(
    {
        ("get", "studies"): _search(Level.STUDY),
        ("get", "series"): _search(Level.SERIES),
        ("get", "instances"): _search(Level.IMAGE),
        ("post", "studies"): _STORE,
        ("post", "{study}"): _STORE,
        ("get", "{study}"): _OBJECTS,
        ("get", "{series}"): _OBJECTS,
        ("get", "{instance}"): _OBJECTS,
        ("delete", "{study}"): _REMOVAL,
        ("delete", "{series}"): _REMOVAL,
        ("delete", "{instance}"): _REMOVAL,
        ("post", "{code}"): _REMOVAL,
        ("get", "metadata"): Resource(DATA_SETS, successes=(HTTPStatus.OK, HTTPStatus.NOT_MODIFIED), headers=(_ETAG,)),
        ("get", "{frames}"): Resource(_FRAMES),
        ("get", "{path}"): Resource(
            (OCTETS, MULTIPART), (), (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED), (_ETAG,)
        ),
        ("get", "bulkdata"): Resource((MULTIPART,)),
        ("get", "rendered"): Resource((*_IMAGES, *_DOCUMENTS, MULTIPART), _VIEW, _SHOWN, (_ETAG,)),
        ("get", "thumbnail"): Resource(_IMAGES, _VIEW[:1], (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED), (_ETAG,)),
        ("get", "wado"): Resource((DICOM, *_IMAGES, *_DOCUMENTS), _WADO, _SHOWN, (_ETAG,)),
        ("get", "dicom-web"): Resource(("application/vnd.sun.wadl+xml", JSON), is_open=True),
        ("get", "pictures"): Resource((JSON,)),
        ("get", "healthz"): _OPERATIONS,
        ("get", "readyz"): _OPERATIONS,
        ("get", "metrics"): Resource((TEXT,), is_open=True),
    }
)


def resource_of(method: str, path: str) -> Resource:
    """Return what an operation takes and gives; a test demands that there is an entry for every route."""
    return RESOURCES.get((method, path.rstrip("/").rpartition("/")[2]), Resource(()))
