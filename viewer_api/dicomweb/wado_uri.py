"""WADO-URI: one object by its parameters, as DICOM or as something a browser shows (PS3.18 9).

The older of the two services, still spoken by many viewers and hospital systems. It shows what WADO-RS shows, to whom
WADO-RS shows it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from pacs_gateway.archive.part10_file import part10
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.archive.video import is_video
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.errors import InputError, NotFoundError
from pacs_gateway.imaging.view import MediaType
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, only_instance
from viewer_api.dicomweb.answer import Part, single
from viewer_api.dicomweb.documents import document, document_offers
from viewer_api.dicomweb.egress import choose_fitting, offers
from viewer_api.dicomweb.picture import IMAGES, is_image, picture, shown_frames
from viewer_api.dicomweb.presentation import is_about, is_state
from viewer_api.dicomweb.retrieve import location_of
from viewer_api.dicomweb.view_parameters import count_of, uri_view_of
from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import DICOM, MediaRange, Offer, choose, ranges

router = APIRouter(tags=["WADO-URI"])

_DICOM = Offer(DICOM)
_STATE_NAMES = frozenset({"presentationUID", "presentationSeriesUID"})
_WINDOW_NAMES = frozenset({"windowCenter", "windowWidth"})
_NO = frozenset({"", "no"})


@router.get("/wado", summary="One object by WADO-URI")
def wado(visitor: Reader) -> Response:
    """Return an object, its picture, or the document it encloses."""
    parameters = visitor.request.query_params
    if parameters.get("requestType") != "WADO":
        raise InputError("requestType must be WADO")
    if parameters.get("anonymize", "").lower() not in _NO:
        raise NotAcceptableError("anonymized objects are not offered here")
    study, series, instance = (_uid(parameters, name) for name in ("studyUID", "seriesUID", "objectUID"))
    found = only_instance(visitor, study, series, instance)
    offer = _chosen(visitor, parameters, found)
    if offer == _DICOM:
        return _object(visitor, found, parameters)
    if "transferSyntax" in parameters:
        raise InputError("transferSyntax is for application/dicom")
    if offer in IMAGES:
        return _picture(visitor, found, parameters, MediaType(offer.media_type))
    return document(visitor, found, offer)


def _uid(parameters: Mapping[str, str], name: str) -> str:
    if not parameters.get(name):
        raise InputError(f"{name} is missing")
    return check_uid(parameters[name], name)


def _chosen(visitor: Visitor, parameters: Mapping[str, str], instance: StoredInstance) -> Offer:
    """Return as what an object is to leave: `contentType` first, then what the caller accepts (PS3.18 9.1.2.2.1)."""
    possible = _offers(instance)
    asked = ranges([parameters["contentType"]]) if parameters.get("contentType") else ()
    # Among equals the one that is named first is preferred.
    steps = [(one,) for one in sorted(asked, key=lambda one: -one.quality)] if asked else [visitor.accepted]
    for accepted in steps:
        with suppress(NotAcceptableError):
            return choose(accepted, possible)
    raise NotAcceptableError(f"offered here: {', '.join(offer.media_type for offer in possible)}")


def _offers(instance: StoredInstance) -> Sequence[Offer]:
    """Return the forms of an object, the one that is meant when none is named first (PS3.18 9.1.2.2.1.1)."""
    shown = document_offers(instance) or (IMAGES if is_image(instance) else ())
    is_clip = is_video(instance.transfer_syntax_uid) or (instance.frames is not None and instance.frames.n_frames > 1)
    return (_DICOM, *shown) if is_clip else (*shown, _DICOM)


def _object(visitor: Visitor, instance: StoredInstance, parameters: Mapping[str, str]) -> Response:
    syntax = parameters.get("transferSyntax", "")
    asked = MediaRange("application", "dicom", False, check_uid(syntax, "transferSyntax") if syntax else "", 1.0)
    retrieve = visitor.gateway.archive.retrieve
    # Without one named explicit little endian is meant; what cannot be decoded leaves as it is kept (PS3.18 9.1.2.2.2).
    accepted = (asked,) if syntax else (asked, replace(asked, transfer_syntax="*", quality=0.5))
    offer = choose_fitting(accepted, offers(instance, wrapped=False), retrieve, instance)
    return single(Part(offer, location_of(visitor, instance), part10(retrieve, instance, offer.transfer_syntax)))


def _picture(
    visitor: Visitor, instance: StoredInstance, parameters: Mapping[str, str], media_type: MediaType
) -> Response:
    n_frames = instance.frames.n_frames if instance.frames else 0
    number = count_of(parameters, "frameNumber", low=1, high=2**31 - 1)
    if number is not None and number > n_frames:
        raise NotFoundError(f"the instance has {n_frames} frames")
    indices = shown_frames(instance, media_type) if number is None else [number - 1]
    view = replace(uri_view_of(parameters), media_type=media_type)
    return picture(visitor, instance, indices, view, _state(visitor, instance, parameters))


def _state(visitor: Visitor, image: StoredInstance, parameters: Mapping[str, str]) -> StoredInstance | None:
    """Return the presentation state by which an image is to be shown, None where none is asked for."""
    if not _STATE_NAMES & parameters.keys():
        return None
    if _WINDOW_NAMES & parameters.keys():
        raise InputError("a presentation state has the window")
    series, instance = (_uid(parameters, name) for name in ("presentationSeriesUID", "presentationUID"))
    state = only_instance(visitor, image.study_uid, series, instance)
    if not is_state(state) or not is_about(visitor, state, image):
        raise InputError("presentationUID does not name a presentation state of this object")
    return state
