"""Rendered resources and thumbnails: pictures and documents that a browser shows (PS3.18 8.3.5, 10.4.1.1.3)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import NotFoundError
from pacs_gateway.imaging.thumbnail import THUMBNAIL, middle_frame
from pacs_gateway.imaging.view import MediaType, View
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, not_modified, only_instance
from viewer_api.dicomweb.retrieve import FrameList, frame_numbers
from viewer_api.dicomweb.view_parameters import view_of
from viewer_api.errors import NotAcceptableError, NotOfferedError
from viewer_api.negotiation import Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS rendered"])

_IMAGES = (Offer("image/jpeg"), Offer("image/png"))
_DOCUMENT = Offer("application/pdf")
_PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
_DOCUMENT_TAG = "00420011"
_PDF_MAGIC = b"%PDF-"
# A picture belongs to a person: it is kept by that person's browser only, and asked after each time.
_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
# A document of unknown origin is shown in the browser's own viewer, where nothing of it can act in our name
# (promises B11). Browsers refuse to show PDF under `sandbox`, so everything it could load or run is shut instead.
_DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"


@router.get("/studies/{study}/rendered", summary="Rendered study: not offered")
def rendered_study(visitor: Reader, study: Uid) -> Response:
    """Refuse to render a whole study: a picture of which series would be a guess."""
    visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study)
    raise NotOfferedError("whole studies are not rendered: ask for a series, an instance or a frame")


@router.get("/studies/{study}/series/{series}/rendered", summary="Render the picture that stands for a series")
def rendered_series(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Render the middle frame of the middle image of a series."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study, series_uid=series)
    images = [instance for instance in instances if instance.frames and instance.frames.n_frames]
    if not images:
        raise NotFoundError("no image to show")
    return _instance(visitor, images[middle_frame(len(images))])


@router.get("/studies/{study}/series/{series}/instances/{instance}/rendered", summary="Render an instance")
def rendered_instance(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Render an image (of several frames the middle one) or hand out the document an instance encloses."""
    return _instance(visitor, only_instance(visitor, study, series, instance))


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered", summary="Render a frame")
def rendered_frame(visitor: Reader, study: Uid, series: Uid, instance: Uid, frame: FrameList) -> Response:
    """Render one frame, numbered from 1."""
    found = only_instance(visitor, study, series, instance)
    return _picture(visitor, found, _only_frame(frame, found))


@router.get("/studies/{study}/thumbnail", summary="Thumbnail of a study")
def study_thumbnail(visitor: Reader, study: Uid) -> Response:
    """Return the small picture of a study."""
    return _thumbnail(visitor, study, None, None)


@router.get("/studies/{study}/series/{series}/thumbnail", summary="Thumbnail of a series")
def series_thumbnail(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Return the small picture of a series."""
    return _thumbnail(visitor, study, series, None)


@router.get("/studies/{study}/series/{series}/instances/{instance}/thumbnail", summary="Thumbnail of an instance")
def instance_thumbnail(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Return the small picture of an instance."""
    return _thumbnail(visitor, study, series, instance)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/thumbnail", summary="Thumbnail of a frame"
)
def frame_thumbnail(visitor: Reader, study: Uid, series: Uid, instance: Uid, frame: FrameList) -> Response:
    """Return the small picture of a frame, numbered from 1."""
    found = only_instance(visitor, study, series, instance)
    index = _only_frame(frame, found)
    offer = choose(visitor.accepted, _IMAGES)
    view = replace(THUMBNAIL, media_type=MediaType(offer.media_type))
    return _drawn(visitor, found, index, view)


def _instance(visitor: Visitor, instance: StoredInstance) -> Response:
    if instance.sop_class_uid == _PDF_CLASS:
        return _document(visitor, instance)
    if instance.frames is None or not instance.frames.n_frames:
        raise NotAcceptableError("this object has no rendered form here")
    return _picture(visitor, instance, middle_frame(instance.frames.n_frames))


def _document(visitor: Visitor, instance: StoredInstance) -> Response:
    offer = choose(visitor.accepted, (_DOCUMENT,))
    document, _ = visitor.gateway.archive.retrieve.bulk(instance, _DOCUMENT_TAG)
    if not document.startswith(_PDF_MAGIC):
        raise NotAcceptableError("the enclosed document is not PDF")
    headers = {
        "Content-Disposition": 'inline; filename="document.pdf"',
        "Content-Security-Policy": _DOCUMENT_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
    }
    return Response(document, 200, headers, offer.media_type)


def _picture(visitor: Visitor, instance: StoredInstance, index: int) -> Response:
    offer = choose(visitor.accepted, _IMAGES)
    view = replace(view_of(visitor.request.query_params), media_type=MediaType(offer.media_type))
    return _drawn(visitor, instance, index, view)


def _drawn(visitor: Visitor, instance: StoredInstance, index: int, view: View) -> Response:
    facts = f"{instance.digest}-{index}-{view.to_json().decode()}"
    retrieve = visitor.gateway.archive.retrieve
    return _tagged(visitor, Offer(view.media_type), facts, lambda: retrieve.picture(instance, [index], view))


def _tagged(visitor: Visitor, offer: Offer, facts: str, make: Callable[[], bytes]) -> Response:
    etag = f'"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, **_CACHING}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=headers)
    return Response(make(), 200, headers, offer.media_type)


def _thumbnail(
    visitor: Visitor,
    study: str,
    series: str | None,
    instance: str | None,
) -> Response:
    offer = choose(visitor.accepted, _IMAGES[:1])
    found = visitor.gateway.archive.retrieve.thumbnail(
        visitor.scope, study_uid=study, series_uid=series, sop_uid=instance
    )
    return _tagged(visitor, offer, found.etag, lambda: found.body)


def _only_frame(text: str, instance: StoredInstance) -> int:
    """Return the number (0-based) of the one frame that `text` names."""
    numbers = frame_numbers(text, instance)
    if len(numbers) != 1:
        raise NotOfferedError("one frame is rendered at a time")
    return numbers[0] - 1
