"""Rendered resources: what is kept, as something a browser shows (PS3.18 10.4.1.1.3, 8.7.4).

One picture is asked for more often than all of them: a study or series is shown by the image that stands for it, and
by every one of its instances only to whoever accepts ``multipart/related``.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fastapi import APIRouter
from starlette.responses import Response

from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import InputError
from pacs_gateway.imaging.view import MediaType, View
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, only_instance
from viewer_api.dicomweb.answer import Part, multipart_related
from viewer_api.dicomweb.documents import document, document_offers
from viewer_api.dicomweb.picture import IMAGES, draw, is_image, picture, shown_frames
from viewer_api.dicomweb.presentation import Subject, is_state, subjects
from viewer_api.dicomweb.retrieve import FrameList, frame_numbers, location_of
from viewer_api.dicomweb.view_parameters import view_of
from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import MediaRange, Offer, choose

_log = logging.getLogger(__name__)

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS rendered"])

_PARTS = tuple(replace(offer, wrapped=True) for offer in IMAGES)
_ONE_FRAME = (*IMAGES, *_PARTS)
# Several frames are one thing only where they move.
_FRAMES = (*_PARTS, Offer(MediaType.GIF))


@dataclass(frozen=True, slots=True)
class _Shot:
    """What one part of an answer shows."""

    location: str
    image: StoredInstance
    indices: Sequence[int]
    """Frames (0-based): the first is shown, as GIF all."""
    state: StoredInstance | None = None
    """The presentation state that it is shown by."""


@router.get("/studies/{study}/rendered", summary="Render a study")
def rendered_study(visitor: Reader, study: Uid) -> Response:
    """Render the image that stands for a study, or every image of it into one part each."""
    return _several(visitor, study, None)


@router.get("/studies/{study}/series/{series}/rendered", summary="Render a series")
def rendered_series(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Render the image that stands for a series, or every image of it into one part each."""
    return _several(visitor, study, series)


@router.get("/studies/{study}/series/{series}/instances/{instance}/rendered", summary="Render an instance")
def rendered_instance(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Render an image (of several frames the middle one, as GIF all) or hand out what an instance encloses."""
    found = only_instance(visitor, study, series, instance)
    offers = document_offers(found)
    if offers:
        return document(visitor, found, _chosen(visitor.accepted, offers))
    if is_state(found):
        return _presented(visitor, found)
    if not is_image(found):
        raise NotAcceptableError("this object has no rendered form here")
    offer = _chosen(visitor.accepted, _ONE_FRAME)
    return _images(visitor, [found], offer) if offer.wrapped else _picture(visitor, found, offer)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", summary="Render frames")
def rendered_frames(visitor: Reader, study: Uid, series: Uid, instance: Uid, frames: FrameList) -> Response:
    """Render frames, numbered from 1: each into a part of its own, or all into one GIF."""
    found = only_instance(visitor, study, series, instance)
    indices = [number - 1 for number in frame_numbers(frames, found)]
    offer = _chosen(visitor.accepted, _ONE_FRAME if len(indices) == 1 else _FRAMES)
    view = _view(visitor, offer)
    if not offer.wrapped:
        return picture(visitor, found, indices, view)

    def parts() -> Iterator[Part]:
        for index in indices:
            yield _part(f"{location_of(visitor, found)}/frames/{index + 1}", draw(visitor, found, [index], view), offer)

    return multipart_related(parts())


def _presented(visitor: Visitor, state: StoredInstance) -> Response:
    """Return what a presentation state shows: the first image that it names, or every one in a part of its own."""
    offer = _chosen(visitor.accepted, _ONE_FRAME)
    shots = (_shot(visitor, subject, state, offer) for subject in subjects(visitor, state) if is_image(subject.image))
    if offer.wrapped:
        return _multipart(visitor, shots, offer)
    first = next(shots, None)
    if first is None:
        raise NotAcceptableError("no image that this presentation state names is here")
    return picture(visitor, first.image, first.indices, _view(visitor, offer), state)


def _shot(visitor: Visitor, subject: Subject, state: StoredInstance, offer: Offer) -> _Shot:
    meant = subject.frames if offer.media_type == MediaType.GIF else subject.frames[:1]
    indices = meant or shown_frames(subject.image, offer.media_type)
    return _Shot(location_of(visitor, state), subject.image, indices, state)


def _several(visitor: Visitor, study: str, series: str | None) -> Response:
    offer = _chosen(visitor.accepted, _ONE_FRAME)
    retrieve = visitor.gateway.archive.retrieve
    if not offer.wrapped:
        return _picture(visitor, retrieve.representative(visitor.scope, study_uid=study, series_uid=series), offer)
    return _images(visitor, retrieve.instances(visitor.scope, study_uid=study, series_uid=series), offer)


def _images(visitor: Visitor, instances: Sequence[StoredInstance], offer: Offer) -> Response:
    shots = (
        _Shot(location_of(visitor, instance), instance, shown_frames(instance, offer.media_type))
        for instance in instances
        if is_image(instance)
    )
    return _multipart(visitor, shots, offer)


def _picture(visitor: Visitor, instance: StoredInstance, offer: Offer) -> Response:
    return picture(visitor, instance, shown_frames(instance, offer.media_type), _view(visitor, offer))


def _multipart(visitor: Visitor, shots: Iterator[_Shot], offer: Offer) -> Response:
    """Return a part for each image that can be shown.

    Raises
    ------
    InputError
        None can; this says why the last of them cannot.
    """
    view = _view(visitor, offer)
    problem: InputError = NotAcceptableError("there is no image to show")

    def parts() -> Iterator[Part]:
        nonlocal problem
        for shot in shots:
            try:
                drawn = draw(visitor, shot.image, shot.indices, view, shot.state)
            except InputError as error:
                # One that is broken must not take the others away.
                _log.info("instance %d is left out of a rendered answer: %s", shot.image.id, error)
                problem = error
                continue
            yield _part(shot.location, drawn, offer)

    made = parts()
    first = next(made, None)
    if first is None:
        raise problem
    return multipart_related(chain((first,), made))


def _part(location: str, drawn: bytes, offer: Offer) -> Part:
    return Part(offer, f"{location}/rendered", Payload(iter((drawn,)), len(drawn)))


def _view(visitor: Visitor, offer: Offer) -> View:
    return replace(view_of(visitor.request.query_params), media_type=MediaType(offer.media_type))


def _chosen(accepted: Sequence[MediaRange], offers: Sequence[Offer]) -> Offer:
    try:
        return choose(accepted, offers)
    except NotAcceptableError as error:
        spelt = dict.fromkeys(
            f'multipart/related; type="{o.media_type}"' if o.wrapped else o.media_type for o in offers
        )
        raise NotAcceptableError(f"offered here: {', '.join(spelt)}") from error
