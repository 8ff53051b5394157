"""Thumbnails: small pictures that are made when images arrive, and looked up when lists are shown (PS3.18 10.4.1.1.5).

No object is opened for them where the picture is kept and large enough.
"""

from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import InputError
from pacs_gateway.imaging.thumbnail import THUMBNAIL, middle_frame, rescaled
from pacs_gateway.imaging.view import MediaType, View
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, only_instance
from viewer_api.dicomweb.picture import IMAGES, draw, picture, tagged
from viewer_api.dicomweb.retrieve import FrameList, frame_numbers
from viewer_api.dicomweb.view_parameters import viewport_of
from viewer_api.negotiation import choose

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS thumbnails"])


@router.get("/studies/{study}/thumbnail", summary="Thumbnail of a study")
def study_thumbnail(visitor: Reader, study: Uid) -> Response:
    """Return the small picture of a study."""
    return _thumbnail(visitor, study)


@router.get("/studies/{study}/series/{series}/thumbnail", summary="Thumbnail of a series")
def series_thumbnail(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Return the small picture of a series."""
    return _thumbnail(visitor, study, series)


@router.get("/studies/{study}/series/{series}/instances/{instance}/thumbnail", summary="Thumbnail of an instance")
def instance_thumbnail(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Return the small picture of an instance."""
    return _thumbnail(visitor, study, series, instance)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", summary="Thumbnail of a frame"
)
def frame_thumbnail(visitor: Reader, study: Uid, series: Uid, instance: Uid, frames: FrameList) -> Response:
    """Return the small picture of a frame, numbered from 1."""
    found = only_instance(visitor, study, series, instance)
    numbers = frame_numbers(frames, found)
    if len(numbers) != 1:
        raise InputError("a thumbnail is of one frame")
    return picture(visitor, found, [numbers[0] - 1], _view(visitor))


def _thumbnail(visitor: Visitor, study: str, series: str | None = None, instance: str | None = None) -> Response:
    view = _view(visitor)
    retrieve = visitor.gateway.archive.retrieve
    kept = retrieve.thumbnail(visitor.scope, study_uid=study, series_uid=series, sop_uid=instance)

    def content() -> bytes:
        if view == THUMBNAIL:
            return kept.body
        small = rescaled(kept.body, view)
        return small if small is not None else _drawn(visitor, _shown(visitor, study, series, instance), view)

    return tagged(visitor, view.media_type, f"{kept.etag} {view.to_json().decode()}", content)


def _shown(visitor: Visitor, study: str, series: str | None, instance: str | None) -> StoredInstance:
    if series is not None and instance is not None:
        return only_instance(visitor, study, series, instance)
    return visitor.gateway.archive.retrieve.representative(visitor.scope, study_uid=study, series_uid=series)


def _drawn(visitor: Visitor, instance: StoredInstance, view: View) -> bytes:
    n_frames = instance.frames.n_frames if instance.frames else 0
    return draw(visitor, instance, [middle_frame(n_frames)], view)


def _view(visitor: Visitor) -> View:
    media_type = MediaType(choose(visitor.accepted, IMAGES).media_type)
    viewport = viewport_of(visitor.request.query_params) or THUMBNAIL.viewport
    return replace(THUMBNAIL, media_type=media_type, viewport=viewport)
