"""STOW-RS: taking instances in as Part 10 files (PS3.18 10.5).

The body is read piece by piece and written to the spool as it comes, by threads, while the event loop serves others.
While one instance waits for its commit, the next is already being read.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from io import BytesIO
from types import MappingProxyType

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydicom.filereader import read_partial
from starlette.responses import Response

from pacs_gateway.archive.egress import DEFLATED
from pacs_gateway.archive.ingest import Ingest, Part10Reception
from pacs_gateway.dicomweb import dicom_json, multipart
from pacs_gateway.dicomweb.dicom_json import FailedReference, StoredReference
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import Event, Limits, MessageTooLargeError, MultipartReader, PartBegin, PartData
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.domain.part10 import FileMeta, decode_head
from pacs_gateway.errors import (
    CapacityError,
    GatewayError,
    InvalidInstanceError,
    InvalidMessageError,
    InvalidUidError,
    MismatchError,
    RefusedError,
    UnsupportedSyntaxError,
)
from viewer_api.access import Visitor
from viewer_api.dependencies import Sender, Uid
from viewer_api.errors import RETRY_AFTER_S, UnsupportedMediaTypeError
from viewer_api.negotiation import DICOM, Offer, choose

router = APIRouter(prefix="/dicom-web", tags=["STOW-RS"])

_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"))
_PIECE_BYTES = 1 << 20
_N_COMMITTING = 8
"""Instances of one request that may wait for their commit while others are read."""
_SILENCE_S = 60.0
"""How long a body may say nothing before it is given up."""

OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
# Failure Reason (0008,1197): the same codes as a C-STORE's status (settled: Statuses; PS3.4 B.2.3).
FAILURE_REASONS: Mapping[type[GatewayError], int] = MappingProxyType(
    {
        InvalidInstanceError: 0xC000,
        InvalidUidError: 0xC000,
        MismatchError: 0xA900,
        CapacityError: OUT_OF_RESOURCES,
        RefusedError: 0x0124,
        UnsupportedSyntaxError: 0x0122,
        GatewayError: PROCESSING_FAILURE,
    }
)


@router.post("/studies", summary="Store instances")
async def store(visitor: Sender) -> Response:
    """Store instances of any study."""
    return await _store(visitor, "")


@router.post("/studies/{study}", summary="Store instances of a study")
async def store_in_study(visitor: Sender, study: Uid) -> Response:
    """Store instances of one study."""
    return await _store(visitor, study)


def failure_reason(error: GatewayError) -> int:
    """Return the Failure Reason of `error`."""
    return next(FAILURE_REASONS[kind] for kind in type(error).__mro__ if kind in FAILURE_REASONS)


async def _store(visitor: Visitor, study: str) -> Response:
    offer = choose(visitor.accepted, _OFFERS)
    request = visitor.request
    origin = Origin(Method.STOW, visitor.caller.facility, visitor.caller.name, visitor.address)
    body = _Body(visitor.gateway.archive.ingest, origin, study)
    limits = Limits(body_bytes=request.app.state.config.max_upload_bytes)
    reader = MultipartReader(_boundary(request, limits), limits=limits)
    try:
        async for piece in _pieces(request):
            for event in reader.feed(piece):
                await body.take(event)
        reader.close()
    finally:
        results = await body.close()
    if not results:
        raise InvalidMessageError("the body has no parts")
    root = f"{str(request.base_url).rstrip('/')}/dicom-web/studies/"
    return _answer(results, root, study, offer)


def _boundary(request: Request, limits: Limits) -> str:
    """Return the boundary of a body that can be taken, by its headers.

    Raises
    ------
    UnsupportedMediaTypeError, MessageTooLargeError, InvalidMessageError
        It cannot be taken.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("the body must not be content-encoded")
    try:
        content_type = MediaType.parse(request.headers.get("content-type", ""))
    except InvalidMessageError as error:
        raise UnsupportedMediaTypeError("the body has no readable Content-Type") from error
    kind = content_type.parameters.get("type", DICOM).lower()
    if content_type.essence != "multipart/related" or kind != DICOM:
        raise UnsupportedMediaTypeError(
            f'send Part 10 files as multipart/related; type="{DICOM}": metadata with separate bulk data is not taken'
        )
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limits.body_bytes:
        raise MessageTooLargeError(f"the body is larger than {limits.body_bytes} bytes")
    return multipart.boundary_of(content_type)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(_SILENCE_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise InvalidMessageError("the body stopped coming") from error
        yield piece


Result = StoredReference | FailedReference
"""``retrieve_url`` of a stored reference is relative to the studies here."""


class _Body:
    """Takes the parts of one body, in order."""

    def __init__(self, ingest: Ingest, origin: Origin, study: str) -> None:
        self._ingest = ingest
        self._origin = origin
        self._study = study
        self._part: _Part | None = None
        self._results: list[asyncio.Task[Result]] = []
        self._committing = asyncio.Semaphore(_N_COMMITTING)

    async def take(self, event: Event) -> None:
        """Do what an event of the reader asks for."""
        if isinstance(event, PartBegin):
            _check_part(event.headers)
            self._part = _Part(self._ingest, self._origin, self._study)
            return
        assert self._part is not None
        if isinstance(event, PartData):
            if self._part.gather(event.data):
                await run_sync(self._part.flush)
            return
        await self._committing.acquire()
        self._results.append(asyncio.create_task(self._finish(self._part)))
        self._part = None

    async def close(self) -> list[Result]:
        """Drop what has come only in part; return what became of the rest once all is decided."""
        if self._part is not None:
            self._part.discard()
        return await asyncio.gather(*self._results)

    async def _finish(self, part: "_Part") -> Result:
        try:
            return await run_sync(part.finish)
        finally:
            self._committing.release()


class _Part:
    """One instance on its way in; its methods block and run in threads, one after the other."""

    def __init__(self, ingest: Ingest, origin: Origin, study: str) -> None:
        self._ingest = ingest
        self._origin = origin
        self._study = study
        self._gathered: list[bytes] = []
        self._n_gathered = 0
        self._reception: Part10Reception | None = None
        self._meta: FileMeta | None = None
        self._error: GatewayError | None = None

    def gather(self, data: bytes) -> bool:
        """Keep `data` for the next flush; return whether it is time for one."""
        if self._error is None:
            self._gathered.append(data)
            self._n_gathered += len(data)
        return self._n_gathered >= _PIECE_BYTES

    def flush(self) -> None:
        """Write what has been gathered; an error is kept for the end, the rest of the part is passed over."""
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._n_gathered = 0
        try:
            if self._reception is None:
                self._begin(data)
            assert self._reception is not None
            self._reception.write(data)
        except GatewayError as error:
            self._error = error
            self.discard()

    def finish(self) -> Result:
        """Make the instance durable and findable, or say why not."""
        if self._error is None:
            self.flush()
        try:
            if self._error is not None:
                raise self._error
            assert self._reception is not None
            record = self._reception.finish(wait_for_index=True).record
        except GatewayError as error:
            self.discard()
            meta = self._meta or FileMeta("", "", "")
            return FailedReference(failure_reason(error), meta.sop_class_uid, meta.sop_instance_uid)
        path = f"{record.study_uid}/series/{record.series_uid}/instances/{record.sop_instance_uid}"
        return StoredReference(record.sop_class_uid, record.sop_instance_uid, path)

    def discard(self) -> None:
        """Drop what was written. Idempotent."""
        if self._reception is not None:
            self._reception.discard()

    def _begin(self, data: bytes) -> None:
        decoded = decode_head(data)
        if decoded is not None:
            self._meta = decoded[0]
        if self._study and _study_of(data, self._meta) != self._study:
            raise MismatchError("the instance is not of the study in the path")
        self._reception = self._ingest.receive_part10(self._origin)


def _check_part(headers: Mapping[str, str]) -> None:
    """Refuse a part that is no Part 10 file, by its headers.

    Raises
    ------
    UnsupportedMediaTypeError
        It says that it is something else.
    """
    if MediaType.parse(headers.get("content-type", DICOM)).essence != DICOM:
        raise UnsupportedMediaTypeError(f"a part is not {DICOM}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("a part must not be content-encoded")


def _study_of(data: bytes, meta: FileMeta | None) -> str:
    """Return the Study Instance UID in the first bytes of a file; empty where it is not to be found there."""
    if meta is None or meta.transfer_syntax_uid in DEFLATED:
        return ""
    try:
        found = read_partial(BytesIO(data), lambda tag, _vr, _length: tag > 0x0020000D, specific_tags=[0x0020000D])
        return str(found.get("StudyInstanceUID", ""))
    except Exception:  # pydicom raises what its readers meet in hostile bytes
        return ""


def _answer(results: list[Result], root: str, study: str, offer: Offer) -> Response:
    stored = [
        StoredReference(one.sop_class_uid, one.sop_instance_uid, root + one.retrieve_url)
        for one in results
        if isinstance(one, StoredReference)
    ]
    failed = [one for one in results if isinstance(one, FailedReference)]
    response = dicom_json.store_response(stored, failed, study_url=root + study if study and stored else "")
    status, headers = _status(len(stored), failed)
    return Response(orjson.dumps(response), status, headers, offer.media_type)


def _status(n_stored: int, failed: list[FailedReference]) -> tuple[int, dict[str, str]]:
    """Return the status of a store (PS3.18 Table 10.5.3-1) and the headers that belong to it."""
    if not failed:
        return HTTPStatus.OK, {}
    if n_stored:
        return HTTPStatus.ACCEPTED, {}
    if all(one.reason in (OUT_OF_RESOURCES, PROCESSING_FAILURE) for one in failed):
        return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)}
    return HTTPStatus.CONFLICT, {}
