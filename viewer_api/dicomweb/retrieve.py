"""WADO-RS: studies, series, instances, their metadata, frames and bulk data (PS3.18 10.4)."""

import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.retrieve import MetadataBlob, Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.dicomweb import dicom_json
from pacs_gateway.errors import InputError, NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, not_modified, only_instance
from viewer_api.dicomweb.answer import Outline, Part, multipart_related, single
from viewer_api.dicomweb.egress import (
    FrameReader,
    choose_fitting,
    frame_offers,
    offers,
    part10,
    part10_length,
)
from viewer_api.negotiation import OCTETS, MediaRange, Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS"])

_METADATA_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"))
_BULK_OFFERS = (Offer(OCTETS), Offer(OCTETS, wrapped=True))
_MAX_FRAMES = 10_000
_FRAME = re.compile(r"[1-9][0-9]{0,8}")
# Addresses of elements as the metadata spells them: tags, and items of sequences between them.
TagPath = Annotated[str, Path(max_length=512, pattern=r"^[0-9A-Fa-f]{8}(/[0-9]{1,9}/[0-9A-Fa-f]{8})*$")]
FrameList = Annotated[str, Path(max_length=16_384)]


@router.get("/studies/{study}", summary="Retrieve a study")
def study_objects(visitor: Reader, study: Uid) -> Response:
    """Retrieve every instance of a study."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study)
    return _objects(visitor, instances)


@router.get("/studies/{study}/series/{series}", summary="Retrieve a series")
def series_objects(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Retrieve every instance of a series."""
    instances = visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study, series_uid=series)
    return _objects(visitor, instances)


@router.get("/studies/{study}/series/{series}/instances/{instance}", summary="Retrieve an instance")
def instance_object(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Retrieve one instance, as a multipart body or as a plain Part 10 file."""
    return _objects(visitor, [only_instance(visitor, study, series, instance)])


@router.get("/studies/{study}/metadata", summary="Retrieve the metadata of a study")
def study_metadata(visitor: Reader, study: Uid) -> Response:
    """Retrieve the metadata of every instance of a study."""
    return _metadata(visitor, study, None, None)


@router.get("/studies/{study}/series/{series}/metadata", summary="Retrieve the metadata of a series")
def series_metadata(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Retrieve the metadata of every instance of a series."""
    return _metadata(visitor, study, series, None)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/metadata", summary="Retrieve the metadata of an instance"
)
def instance_metadata(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Retrieve the metadata of one instance."""
    return _metadata(visitor, study, series, instance)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", summary="Retrieve frames")
def frames_of_instance(visitor: Reader, study: Uid, series: Uid, instance: Uid, frames: FrameList) -> Response:
    """Retrieve frames by number, from 1."""
    found = only_instance(visitor, study, series, instance)
    numbers = frame_numbers(frames, found)
    possible = [offer for offer in frame_offers(found) if offer.wrapped or len(numbers) == 1]
    retrieve = visitor.gateway.archive.retrieve
    offer = choose_fitting(visitor.accepted, possible, retrieve, found)
    reader = FrameReader(retrieve, found, offer.transfer_syntax)

    def parts() -> Iterator[Part]:
        for number in numbers:
            data = reader.read(number - 1)
            location = f"{_location(visitor, found)}/frames/{number}"
            yield Part(offer, location, Payload(iter((data,)), len(data)))

    return multipart_related(parts()) if offer.wrapped else single(next(parts()))


@router.get("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}", summary="Retrieve bulk data")
def bulk_data(visitor: Reader, study: Uid, series: Uid, instance: Uid, path: TagPath) -> Response:
    """Retrieve the value of one element, as metadata refers to it."""
    found = only_instance(visitor, study, series, instance)
    offer = choose(visitor.accepted, _BULK_OFFERS)
    value, _ = visitor.gateway.archive.retrieve.bulk(found, path)
    part = Part(offer, f"{_location(visitor, found)}/bulkdata/{path}", Payload(iter((value,)), len(value)))
    return multipart_related(iter((part,))) if offer.wrapped else single(part)


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


def _objects(visitor: Visitor, instances: Sequence[StoredInstance]) -> Response:
    if not instances:
        raise NotFoundError("nothing there")
    retrieve = visitor.gateway.archive.retrieve
    # Each leaves in the form that suits; the first that has none is told of before anything is sent.
    accepted, is_one = visitor.accepted, len(instances) == 1
    chosen = [(instance, _choose_form(accepted, retrieve, instance, is_one=is_one)) for instance in instances]

    outlines = [
        Outline(offer, _location(visitor, instance), part10_length(instance, offer.transfer_syntax))
        for instance, offer in chosen
    ]

    def parts() -> Iterator[Part]:
        for (instance, offer), outline in zip(chosen, outlines, strict=True):
            yield Part(offer, outline.location, part10(retrieve, instance, offer.transfer_syntax))

    return multipart_related(parts(), outlines) if chosen[0][1].wrapped else single(next(parts()))


def _choose_form(
    accepted: Sequence[MediaRange], retrieve: Retrieve, instance: StoredInstance, *, is_one: bool
) -> Offer:
    possible = offers(instance, wrapped=True)
    if is_one:
        possible += offers(instance, wrapped=False)
    return choose_fitting(accepted, possible, retrieve, instance)


def _location(visitor: Visitor, instance: StoredInstance) -> str:
    path = f"studies/{instance.study_uid}/series/{instance.series_uid}/instances/{instance.sop_uid}"
    return f"{str(visitor.request.base_url).rstrip('/')}/dicom-web/{path}"


def _metadata(
    visitor: Visitor,
    study: str,
    series: str | None,
    instance: str | None,
) -> Response:
    offer = choose(visitor.accepted, _METADATA_OFFERS)
    blobs = visitor.gateway.archive.retrieve.metadata(
        visitor.scope, study_uid=study, series_uid=series, sop_uid=instance
    )
    etag = _etag(blobs)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=headers)
    if len(blobs) == 1 and _takes_gzip(visitor.request):
        return Response(blobs[0].body, 200, headers | {"Content-Encoding": "gzip"}, offer.media_type)
    return StreamingResponse(_joined(blobs), 200, headers, offer.media_type)


def _etag(blobs: Sequence[MetadataBlob]) -> str:
    """Return a weak tag: the same facts may leave gzipped or not."""
    joined = "\n".join(blob.etag for blob in blobs)
    return f'W/"{hashlib.sha256(joined.encode()).hexdigest()[:32]}"'


def _joined(blobs: Sequence[MetadataBlob]) -> Iterator[bytes]:
    """Yield one JSON array of the members of several."""
    opening = b"["
    for blob in blobs:
        members = gzip.decompress(blob.body).strip()[1:-1]
        if members:
            yield opening + members
            opening = b","
    yield b"]" if opening == b"," else b"[]"


def _takes_gzip(request: Request) -> bool:
    """Return whether the caller takes gzip (RFC 9110 12.5.3)."""
    for member in request.headers.get("accept-encoding", "").split(","):
        coding, _, quality = member.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
