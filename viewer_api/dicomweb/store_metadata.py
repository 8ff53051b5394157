"""The body of a store whose instances come as metadata, and their bulk data in parts of their own (PS3.18 10.5.1.4).

Parts come in any order and of any size: they are laid into one nameless file in the spool, and each instance is put
together from there once the body is complete. A bulk data URI means a part of the same body and nothing else.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson
from anyio.to_thread import run_sync

from pacs_gateway.archive.ingest import Ingest, Reception
from pacs_gateway.archive.scratch import Scratch
from pacs_gateway.dicomweb import dicom_json, dicom_xml, dicom_xml_reader
from pacs_gateway.dicomweb.composition import Identity, compose
from pacs_gateway.dicomweb.dicom_json import FailedReference
from pacs_gateway.dicomweb.json_data_set import BulkPart
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import Event, MessageTooLargeError, PartBegin, PartData
from pacs_gateway.domain.instance import Origin
from pacs_gateway.errors import GatewayError, InvalidInstanceError, InvalidMessageError, MismatchError
from viewer_api.dicomweb.answer import gathered
from viewer_api.dicomweb.bulk_media import transfer_syntax_of
from viewer_api.dicomweb.store_result import Result, failure_reason, stored
from viewer_api.errors import UnsupportedMediaTypeError
from viewer_api.negotiation import DICOM, OCTETS

MAX_METADATA_BYTES = 16 << 20
"""Of one part: it is read whole, and takes several times as much when it is."""
MAX_INSTANCES = 10_000
"""Of one body, as many as it may have parts (promises B15)."""
_MAX_VALUES = 300_000
"""Of one part, about: objects, lists and members are counted before anything is made of them."""
_PIECE_BYTES = 1 << 20
_N_COMMITTING = 8
"""Instances of one request that may wait for their commit while others are put together."""
_HEAD_BYTES = 64 * 1024
"""So much of a compressed frame tells its kind."""


def _json_objects(body: bytes) -> list[object]:
    """Return the data sets of a part in DICOM JSON.

    Raises
    ------
    InvalidInstanceError
        It cannot be read, or says too much.
    """
    # What is made of two bytes takes a hundred.
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise InvalidInstanceError(
            f"a part of metadata has more than {_MAX_VALUES} values: send fewer instances in each"
        )
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInstanceError("the metadata cannot be read as JSON") from error
    return found if isinstance(found, list) else [found]


def _xml_object(body: bytes) -> list[object]:
    """Return the data set of a part in the Native DICOM Model; errors as ``_json_objects``."""
    try:
        return [dicom_xml_reader.decode(body)]
    except InvalidMessageError as error:
        raise InvalidInstanceError(f"the metadata cannot be read: {error}") from error


# How the metadata parts of each media type become DICOM JSON objects.
DECODERS: Mapping[str, Callable[[bytes], list[object]]] = MappingProxyType(
    {dicom_json.MEDIA_TYPE: _json_objects, dicom_xml.MEDIA_TYPE: _xml_object}
)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is being read."""

    content_type: MediaType
    location: str
    offset: int


class MetadataBody:
    """Takes the parts of one body; see the module.

    Parameters
    ----------
    composing
        Bounds how many requests put instances together at once: each holds a part of metadata in memory.
    """

    def __init__(self, ingest: Ingest, origin: Origin, study: str, kind: str, *, composing: asyncio.Semaphore) -> None:
        self._ingest = ingest
        self._origin = origin
        self._study = study
        self._kind = kind
        self._composing = composing
        self._committing = asyncio.Semaphore(_N_COMMITTING)
        self._scratch: Scratch | None = None
        self._part: _Part | None = None
        self._gathered = bytearray()
        self._n_bytes = 0
        self._metadata: list[tuple[int, int]] = []
        self._bulk: dict[str, list[BulkPart]] = {}
        self._results: list[asyncio.Task[Result]] = []

    async def take(self, event: Event) -> None:
        """Do what an event of the reader asks for."""
        if isinstance(event, PartBegin):
            content_type, location = _looked_at(event.headers, self._kind)
            self._part = _Part(content_type, location, self._n_bytes)
        elif isinstance(event, PartData):
            self._gathered += event.data
            self._n_bytes += len(event.data)
            self._check_metadata()
            if len(self._gathered) >= _PIECE_BYTES:
                await run_sync(self._flush)
        else:
            await run_sync(self._end_part)

    async def results(self) -> list[Result]:
        """Put the instances together and return what became of each, once all is decided."""
        for offset, length in self._metadata:
            async with self._composing:
                await self._take_in(offset, length)
        return await asyncio.gather(*self._results)

    async def close(self) -> None:
        """Drop the parts."""
        await asyncio.gather(*self._results, return_exceptions=True)
        if self._scratch is not None:
            self._scratch.close()

    def _check_metadata(self) -> None:
        part = self._part
        is_metadata = part is not None and part.content_type.essence == self._kind
        if part is not None and is_metadata and self._n_bytes - part.offset > MAX_METADATA_BYTES:
            raise MessageTooLargeError(f"a part of metadata is larger than {MAX_METADATA_BYTES} bytes")

    def _flush(self) -> None:
        if self._scratch is None:
            self._scratch = self._ingest.scratch()
        self._scratch.append(bytes(self._gathered))
        self._gathered.clear()

    def _end_part(self) -> None:
        self._flush()
        part, self._part = self._part, None
        assert part is not None
        assert self._scratch is not None
        length = self._n_bytes - part.offset
        if part.content_type.essence == self._kind:
            self._metadata.append((part.offset, length))
            return
        head = self._scratch.read(part.offset, min(length, _HEAD_BYTES))
        syntax = transfer_syntax_of(part.content_type, head)
        self._bulk.setdefault(part.location, []).append(BulkPart(part.offset, length, syntax))

    async def _take_in(self, offset: int, length: int) -> None:
        """Put the instances of one part of metadata together, one after the other."""
        decoded = await run_sync(self._decoded, offset, length)
        if len(self._results) + len(decoded) > MAX_INSTANCES:
            raise MessageTooLargeError(f"the body has more than {MAX_INSTANCES} instances")
        for dataset in decoded:
            await self._committing.acquire()
            received = await run_sync(self._received, dataset)
            self._results.append(asyncio.create_task(self._finish(dataset, received)))

    def _decoded(self, offset: int, length: int) -> list[object]:
        """Return the data sets of a part; what cannot be read stands for one that cannot be kept."""
        assert self._scratch is not None
        try:
            return DECODERS[self._kind](self._scratch.read(offset, length))
        except GatewayError as error:
            return [error]

    def _received(self, dataset: object) -> Reception | GatewayError:
        """Return an instance written to the spool, or why it cannot be."""
        assert self._scratch is not None
        reception: Reception | None = None
        try:
            if isinstance(dataset, GatewayError):
                raise dataset
            composed = compose(dataset, _Bulk(self._scratch, self._bulk))
            if self._study not in ("", composed.identity.study_uid):
                raise MismatchError("the instance is not of the study in the path")
            reception = self._ingest.receive(
                transfer_syntax_uid=composed.transfer_syntax_uid,
                origin=self._origin,
                sop_class_uid=composed.identity.sop_class_uid,
                sop_instance_uid=composed.identity.sop_instance_uid,
            )
            for piece in gathered(composed.data_set):
                reception.write(piece)
        except GatewayError as error:
            if reception is not None:
                reception.discard()
            return error
        return reception

    async def _finish(self, dataset: object, received: Reception | GatewayError) -> Result:
        try:
            return await run_sync(_finished, dataset, received)
        finally:
            self._committing.release()


class _Bulk:
    """The bulk data parts of a body."""

    def __init__(self, scratch: Scratch, parts: Mapping[str, list[BulkPart]]) -> None:
        self._scratch = scratch
        self._parts = parts

    def find(self, uri: str) -> list[BulkPart]:
        """Return the parts at a URI: of that very location, or of its frames (PS3.18 8.6.1.2)."""
        if uri in self._parts:
            return self._parts[uri]
        found: list[BulkPart] = []
        while frame := self._parts.get(f"{uri}/frames/{len(found) + 1}"):
            found.append(frame[0])
        return found

    def stream(self, part: BulkPart) -> Iterator[bytes]:
        """Yield the bytes of a part."""
        return self._scratch.stream(part.offset, part.length)


def _finished(dataset: object, received: Reception | GatewayError) -> Result:
    """Make an instance durable and findable, or say why not."""
    try:
        if isinstance(received, GatewayError):
            raise received
        return stored(received.finish(wait_for_index=True).record)
    except GatewayError as error:
        identity = Identity.of(dataset)
        return FailedReference(failure_reason(error), identity.sop_class_uid, identity.sop_instance_uid)


def _looked_at(headers: Mapping[str, str], kind: str) -> tuple[MediaType, str]:
    """Return the type and location of a part; what says neither is metadata.

    Raises
    ------
    UnsupportedMediaTypeError, InvalidMessageError
        It is neither metadata nor bulk data that can be referred to.
    """
    location = headers.get("content-location", "")
    content_type = MediaType.parse(headers.get("content-type", OCTETS if location else kind))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("a part must not be content-encoded")
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise UnsupportedMediaTypeError("a part must not be encoded for transfer")
    if content_type.essence in (DICOM, *DECODERS) and content_type.essence != kind:
        raise UnsupportedMediaTypeError(f"a part is neither {kind} nor bulk data")
    if content_type.essence != kind and not location:
        raise InvalidMessageError("a part of bulk data has no Content-Location")
    return content_type, location
