"""WADO-RS: bulk data, one value as metadata refer to it or all there are (PS3.18 10.4.1.1.4).

One value is streamed from the ranges it lies in, and ranges of it too. Pixels are bulk data as well: native ones as the
value of their element, encapsulated ones frame by frame.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from pacs_gateway.archive import bulk
from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.dicomweb import dicom_json
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.errors import NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, not_modified, only_instance
from viewer_api.dicomweb.answer import ATTACHMENT, Part, gathered, multipart_related
from viewer_api.dicomweb.egress import choose_fitting, frame_offers
from viewer_api.dicomweb.retrieve import frame_parts, location_of
from viewer_api.negotiation import EXPLICIT_LITTLE_ENDIAN, OCTETS, Offer, choose
from viewer_api.ranges import ranged

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS"])

# What is no pixels has no transfer syntax but that of its bytes, which are little endian (PS3.18 8.7.3.3.1).
_VALUE = Offer(OCTETS, transfer_syntax=EXPLICIT_LITTLE_ENDIAN, is_stored=True)
_WRAPPED = Offer(OCTETS, wrapped=True, transfer_syntax=EXPLICIT_LITTLE_ENDIAN, is_stored=True)
_PIXEL_DATA = "7FE00010"
_FLOATING = frozenset({"7FE00008", "7FE00009"})
"""Pixels that are floating-point numbers: in no other syntax than that of the object."""
_SOP_INSTANCE_UID = "00080018"
_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
# Addresses of elements as the metadata spells them: tags, and items of sequences between them.
_TAG_PATH = r"[0-9A-Fa-f]{8}(?:/[0-9]{1,9}/[0-9A-Fa-f]{8})*"
_REFERENCE = re.compile(rf"/bulkdata/({_TAG_PATH})")
TagPath = Annotated[str, Path(max_length=512, pattern=f"^{_TAG_PATH}$")]


@router.get("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}", summary="Retrieve bulk data")
def bulk_data(visitor: Reader, study: Uid, series: Uid, instance: Uid, path: TagPath) -> Response:
    """Retrieve the value of one element, as metadata refers to it."""
    found = only_instance(visitor, study, series, instance)
    if path.upper() == _PIXEL_DATA and _is_encapsulated(found):
        return multipart_related(_pixels(visitor, found))
    offer = choose(visitor.accepted, (_VALUE, _WRAPPED))
    value = bulk.find(visitor.gateway.archive.retrieve, found, path)
    if offer.wrapped:
        return multipart_related(iter((_part(visitor, found, path, value),)))
    return _single(visitor, found, path, value)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/bulkdata", summary="Retrieve an instance's bulk data"
)
def bulk_data_of_instance(visitor: Reader, study: Uid, series: Uid, instance: Uid) -> Response:
    """Retrieve all bulk data of an instance."""
    return _all(visitor, [only_instance(visitor, study, series, instance)])


@router.get("/studies/{study}/series/{series}/bulkdata", summary="Retrieve bulk data of a series")
def bulk_data_of_series(visitor: Reader, study: Uid, series: Uid) -> Response:
    """Retrieve all bulk data of a series."""
    retrieve = visitor.gateway.archive.retrieve
    return _all(visitor, retrieve.instances(visitor.scope, study_uid=study, series_uid=series))


@router.get("/studies/{study}/bulkdata", summary="Retrieve bulk data of a study")
def bulk_data_of_study(visitor: Reader, study: Uid) -> Response:
    """Retrieve all bulk data of a study."""
    return _all(visitor, visitor.gateway.archive.retrieve.instances(visitor.scope, study_uid=study))


def _single(visitor: Visitor, instance: StoredInstance, path: str, value: bulk.BulkValue) -> Response:
    etag = f'"{hashlib.sha256(f"{instance.digest}/{path.upper()}".encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, **_CACHING, **ATTACHMENT}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Location"] = _location(visitor, instance, path)

    def read(offset: int, length: int) -> Iterator[bytes]:
        return gathered(bulk.read(visitor.gateway.archive.retrieve, value, offset, offset + length))

    return ranged(visitor.request, read, size_bytes=value.length, headers=headers, media_type=OCTETS)


def _all(visitor: Visitor, instances: Sequence[StoredInstance]) -> Response:
    """Return every value that metadata refer to, and the pixels, part by part."""
    choose(visitor.accepted, (_WRAPPED, *(offer for one in instances for offer in frame_offers(one) if offer.wrapped)))

    found = _parts(visitor, instances)
    first = next(found, None)
    if first is None:
        raise NotFoundError("no bulk data")
    return multipart_related(chain((first,), found))


def _parts(visitor: Visitor, instances: Sequence[StoredInstance]) -> Iterator[Part]:
    retrieve = visitor.gateway.archive.retrieve
    by_uid = {instance.sop_uid: instance for instance in instances}
    sop_uid = instances[0].sop_uid if len(instances) == 1 else None
    for study, series in dict.fromkeys((instance.study_uid, instance.series_uid) for instance in instances):
        for blob in retrieve.metadata(visitor.scope, study_uid=study, series_uid=series, sop_uid=sop_uid):
            for one in blob.objects():
                instance = by_uid.get(dicom_json.first_value(one, _SOP_INSTANCE_UID) or "")
                if instance is not None:
                    yield from _of_instance(visitor, instance, one)


def _of_instance(visitor: Visitor, instance: StoredInstance, metadata: Mapping[str, object]) -> Iterator[Part]:
    retrieve = visitor.gateway.archive.retrieve
    # What the worker made before metadata referred to pixels may still be there.
    paths = [path for path in _paths(metadata) if path != _PIXEL_DATA]
    for path in paths:
        yield _part(visitor, instance, path, bulk.find(retrieve, instance, path))
    if _is_encapsulated(instance):
        yield from _pixels(visitor, instance)
    elif instance.frames is not None and _FLOATING.isdisjoint(paths):
        yield _part(visitor, instance, _PIXEL_DATA, bulk.find(retrieve, instance, _PIXEL_DATA))


def _paths(one: Mapping[str, object]) -> Iterator[str]:
    """Yield the paths of the bulk data that a data set in JSON refers to."""
    for element in one.values():
        if not isinstance(element, Mapping):
            continue
        reference = _REFERENCE.search(str(element.get("BulkDataURI", "")))
        if reference is not None:
            yield reference[1]
        items = element.get("Value") if element.get("vr") == "SQ" else None
        for item in items if isinstance(items, Sequence) else ():
            yield from _paths(item)


def _pixels(visitor: Visitor, instance: StoredInstance) -> Iterator[Part]:
    """Yield the frames of an instance, as they are or decoded."""
    possible = [offer for offer in frame_offers(instance) if offer.wrapped]
    offer = choose_fitting(visitor.accepted, possible, visitor.gateway.archive.retrieve, instance)
    n_frames = instance.frames.n_frames if instance.frames else 0
    return frame_parts(visitor, instance, offer, range(1, n_frames + 1))


def _part(visitor: Visitor, instance: StoredInstance, path: str, value: bulk.BulkValue) -> Part:
    pieces = bulk.read(visitor.gateway.archive.retrieve, value)
    return Part(_WRAPPED, _location(visitor, instance, path), Payload(pieces, value.length))


def _location(visitor: Visitor, instance: StoredInstance, path: str) -> str:
    return f"{location_of(visitor, instance)}/bulkdata/{path}"


def _is_encapsulated(instance: StoredInstance) -> bool:
    return instance.frames is not None and instance.frames.kind is FrameKind.FRAGMENTS
