"""STOW-RS: taking instances in, as Part 10 files or as metadata with their bulk data apart (PS3.18 10.5).

The body is read piece by piece and written to the spool as it comes, by threads, while the event loop serves others.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from pacs_gateway.access.policy import reach
from pacs_gateway.dicomweb import dicom_json, dicom_xml, multipart
from pacs_gateway.dicomweb.dicom_json import FailedReference, StoredReference
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import (
    Event,
    Limits,
    MessageTooLargeError,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
)
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.errors import InvalidMessageError
from viewer_api.access import Visitor
from viewer_api.config import WebConfig
from viewer_api.dependencies import Sender, Uid
from viewer_api.dicomweb import store_metadata
from viewer_api.dicomweb.store_metadata import MetadataBody
from viewer_api.dicomweb.store_part10 import Part10Body
from viewer_api.dicomweb.store_result import Result, status
from viewer_api.errors import SlowBodyError, UnsupportedMediaTypeError
from viewer_api.negotiation import DICOM, Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["STOW-RS"])

_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"), Offer(dicom_xml.MEDIA_TYPE))
_MULTIPART = "multipart/related"


@router.post("/studies", summary="Store instances")
async def store(visitor: Sender) -> Response:
    """Store instances of any study."""
    return await _store(visitor, "")


@router.post("/studies/{study}", summary="Store instances of a study")
async def store_in_study(visitor: Sender, study: Uid) -> Response:
    """Store instances of one study."""
    return await _store(visitor, study)


async def _store(visitor: Visitor, study: str) -> Response:
    offer = choose(visitor.accepted, _OFFERS)
    request = visitor.request
    limits = Limits(body_bytes=request.app.state.config.max_upload_bytes)
    content_type = _content_type(request, limits)
    body = _body(visitor, content_type, study)
    try:
        async for event in _events(request, content_type, limits):
            await body.take(event)
        results = await body.results()
    finally:
        await body.close()
    if not results:
        raise InvalidMessageError("the body has no instances")
    root = f"{str(request.base_url).rstrip('/')}/dicom-web/studies/"
    return _answer(results, root, study, offer)


def _content_type(request: Request, limits: Limits) -> MediaType:
    """Return what a body that can be taken is, by its headers.

    Raises
    ------
    UnsupportedMediaTypeError, MessageTooLargeError
        It cannot be taken.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("the body must not be content-encoded")
    try:
        content_type = MediaType.parse(request.headers.get("content-type", ""))
    except InvalidMessageError as error:
        raise UnsupportedMediaTypeError("the body has no readable Content-Type") from error
    if _kind(content_type) not in (DICOM, *store_metadata.DECODERS):
        raise UnsupportedMediaTypeError(
            f'instances are taken as multipart/related; type="{DICOM}", or as metadata and bulk data with '
            + " or ".join(f'type="{one}"' for one in store_metadata.DECODERS)
        )
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limits.body_bytes:
        raise MessageTooLargeError(f"the body is larger than {limits.body_bytes} bytes")
    return content_type


def _kind(content_type: MediaType) -> str:
    """Return the media type of what the instances, or their metadata, are in."""
    if content_type.essence == _MULTIPART:
        return content_type.parameters.get("type", DICOM).lower()
    return content_type.essence


async def _events(request: Request, content_type: MediaType, limits: Limits) -> AsyncIterator[Event]:
    """Yield the parts of a body; one that is not multipart is a part by itself (PS3.18 8.6.1.1)."""
    if content_type.essence == _MULTIPART:
        reader = MultipartReader(multipart.boundary_of(content_type), limits=limits)
        async for piece in _pieces(request):
            for event in reader.feed(piece):
                yield event
        reader.close()
        return
    n_bytes = 0
    yield PartBegin({"content-type": str(content_type)})
    async for piece in _pieces(request):
        n_bytes += len(piece)
        if n_bytes > limits.body_bytes:
            raise MessageTooLargeError(f"the body is larger than {limits.body_bytes} bytes")
        yield PartData(piece)
    yield PartEnd()


def _body(visitor: Visitor, content_type: MediaType, study: str) -> Part10Body | MetadataBody:
    ingest = visitor.gateway.archive.ingest
    caller = visitor.caller
    origin = Origin(Method.STOW, caller.facility, caller.name, visitor.address, reach=reach(caller))
    kind = _kind(content_type)
    if kind == DICOM:
        return Part10Body(ingest, origin, study)
    return MetadataBody(ingest, origin, study, kind, composing=visitor.request.app.state.composing)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes, as long as it comes fast enough for the slowest of lines (promises B15).

    Only waiting for it counts: who sends fast to a gateway that is busy is not slow.

    Raises
    ------
    SlowBodyError
        It comes too slowly, or has stopped.
    """
    config: WebConfig = request.app.state.config
    stream = aiter(request.stream())
    n_bytes, waited_s = 0, 0.0
    while True:
        began_at = monotonic()
        try:
            async with asyncio.timeout(config.upload_piece_s - waited_s):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise SlowBodyError(
                f"the body comes too slowly: less than {config.upload_piece_bytes} bytes in {config.upload_piece_s:g} s"
            ) from error
        n_bytes += len(piece)
        waited_s += monotonic() - began_at
        if n_bytes >= config.upload_piece_bytes:
            n_bytes, waited_s = 0, 0.0
        yield piece


def _answer(results: list[Result], root: str, study: str, offer: Offer) -> Response:
    kept = [
        StoredReference(one.sop_class_uid, one.sop_instance_uid, root + one.retrieve_url)
        for one in results
        if isinstance(one, StoredReference)
    ]
    failed = [one for one in results if isinstance(one, FailedReference)]
    response = dicom_json.store_response(kept, failed, study_url=root + study if study and kept else "")
    code, headers = status(len(kept), failed)
    content = dicom_xml.encode(response) if offer.media_type == dicom_xml.MEDIA_TYPE else orjson.dumps(response)
    return Response(content, code, headers, offer.media_type)
