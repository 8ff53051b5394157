"""WADO-RS: studies, series, instances and frames (PS3.18 10.4)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.package import name_files, zip_archive
from pacs_gateway.archive.part10_file import part10, part10_length
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import InputError, NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, only_instance
from viewer_api.dicomweb.answer import Outline, Part, archive, multipart_related, single
from viewer_api.dicomweb.egress import (
    FrameReader,
    choose_fitting,
    frame_offers,
    offers,
    zip_offers,
)
from viewer_api.negotiation import AS_STORED, ZIP, Offer

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS"])

_MAX_FRAMES = 10_000
_FRAME = re.compile(r"[1-9][0-9]{0,8}")
Dicomdir = Annotated[bool, Query(description="Whether a ZIP archive contains a DICOMDIR.")]
FrameList = Annotated[str, Path(max_length=16_384)]


@router.get("/studies/{study}", summary="Retrieve a study")
def study_objects(visitor: Reader, study: Uid, *, dicomdir: Dicomdir = False) -> Response:
    """Retrieve every instance of a study."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study)
    return _objects(visitor, instances, with_dicomdir=dicomdir)


@router.get("/studies/{study}/series/{series}", summary="Retrieve a series")
def series_objects(visitor: Reader, study: Uid, series: Uid, *, dicomdir: Dicomdir = False) -> Response:
    """Retrieve every instance of a series."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study, series_uid=series)
    return _objects(visitor, instances, with_dicomdir=dicomdir)


@router.get("/studies/{study}/series/{series}/instances/{instance}", summary="Retrieve an instance")
def instance_object(visitor: Reader, study: Uid, series: Uid, instance: Uid, *, dicomdir: Dicomdir = False) -> Response:
    """Retrieve one instance, as a multipart body or as a plain Part 10 file."""
    return _objects(visitor, [only_instance(visitor, study, series, instance)], with_dicomdir=dicomdir)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", summary="Retrieve frames")
def frames_of_instance(visitor: Reader, study: Uid, series: Uid, instance: Uid, frames: FrameList) -> Response:
    """Retrieve frames by number, from 1."""
    found = only_instance(visitor, study, series, instance)
    numbers = frame_numbers(frames, found)
    possible = [offer for offer in frame_offers(found) if offer.wrapped or len(numbers) == 1]
    retrieve = visitor.gateway.archive.retrieve
    offer = choose_fitting(visitor.accepted, possible, retrieve, found)
    parts = frame_parts(visitor, found, offer, numbers)
    return multipart_related(parts) if offer.wrapped else single(next(parts))


def frame_parts(visitor: Visitor, instance: StoredInstance, offer: Offer, numbers: Iterable[int]) -> Iterator[Part]:
    """Yield frames, numbered from 1, each made when its turn comes."""
    reader = FrameReader(visitor.gateway.archive.retrieve, instance, offer.transfer_syntax)
    for number in numbers:
        data = reader.read(number - 1)
        yield Part(offer, f"{location_of(visitor, instance)}/frames/{number}", Payload(iter((data,)), len(data)))


def frame_numbers(text: str, instance: StoredInstance) -> list[int]:
    """Return the frames of a list such as ``1,2,5``.

    Raises
    ------
    InputError
        It is no such list.
    NotFoundError
        The instance has no such frame.
    """
    numbers = text.split(",")
    if len(numbers) > _MAX_FRAMES or not all(_FRAME.fullmatch(number) for number in numbers):
        raise InputError("frames are numbers from 1, separated by commas")
    n_frames = instance.frames.n_frames if instance.frames else 0
    if max(map(int, numbers)) > n_frames:
        raise NotFoundError(f"the instance has {n_frames} frames")
    return [int(number) for number in numbers]


def _objects(visitor: Visitor, instances: Sequence[StoredInstance], *, with_dicomdir: bool) -> Response:
    if not instances:
        raise NotFoundError("nothing there")
    retrieve = visitor.gateway.archive.retrieve
    # Each leaves in the form that suits; the first that has none is told of before anything is sent.
    accepted, is_one = visitor.accepted, len(instances) == 1
    offer = choose_fitting(accepted, _possible(instances[0], is_one=is_one, as_zip=True), retrieve, instances[0])
    as_zip = offer.media_type == ZIP

    def form(instance: StoredInstance) -> Offer:
        possible = zip_offers(instance) if as_zip else _possible(instance, is_one=is_one)
        return choose_fitting(accepted, possible, retrieve, instance)

    chosen = [(instance, form(instance)) for instance in instances]
    if as_zip:
        return _zip(retrieve, chosen, with_dicomdir=with_dicomdir)
    outlines = [
        Outline(offer, location_of(visitor, instance), part10_length(instance, offer.transfer_syntax))
        for instance, offer in chosen
    ]

    def parts() -> Iterator[Part]:
        for (instance, offer), outline in zip(chosen, outlines, strict=True):
            yield Part(offer, outline.location, part10(retrieve, instance, offer.transfer_syntax))

    return multipart_related(parts(), outlines) if chosen[0][1].wrapped else single(next(parts()))


def _possible(instance: StoredInstance, *, is_one: bool, as_zip: bool = False) -> tuple[Offer, ...]:
    possible = offers(instance, wrapped=True)
    if is_one:
        possible += offers(instance, wrapped=False)
    return possible + zip_offers(instance) if as_zip else possible


def _zip(retrieve: Retrieve, chosen: Iterable[tuple[StoredInstance, Offer]], *, with_dicomdir: bool) -> Response:
    def syntax(instance: StoredInstance, offer: Offer) -> str:
        return instance.transfer_syntax_uid if offer.transfer_syntax == AS_STORED else offer.transfer_syntax

    files = name_files([[(instance, syntax(instance, offer)) for instance, offer in chosen]])
    return archive(zip_archive(retrieve, files, with_dicomdir=with_dicomdir))


def location_of(visitor: Visitor, instance: StoredInstance) -> str:
    """Return the address of an instance."""
    path = f"studies/{instance.study_uid}/series/{instance.series_uid}/instances/{instance.sop_uid}"
    return f"{str(visitor.request.base_url).rstrip('/')}/dicom-web/{path}"
