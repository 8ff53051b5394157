"""The body of a store whose parts are Part 10 files: each goes into the spool as it comes.

While one instance waits for its commit, the next is already being read.
"""

import asyncio
from collections.abc import Mapping
from io import BytesIO

from anyio.to_thread import run_sync
from pydicom.filereader import read_partial

from pacs_gateway.archive.describe import is_deflated
from pacs_gateway.archive.ingest import Ingest, Part10Reception
from pacs_gateway.dicomweb.dicom_json import FailedReference
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import Event, PartBegin, PartData
from pacs_gateway.domain.instance import Origin
from pacs_gateway.domain.part10 import FileMeta, decode_head
from pacs_gateway.errors import GatewayError, MismatchError
from pacs_gateway.imaging.elements import READ_ERRORS
from viewer_api.dicomweb.store_result import Result, failure_reason, stored
from viewer_api.errors import UnsupportedMediaTypeError
from viewer_api.negotiation import DICOM

_PIECE_BYTES = 1 << 20
_N_COMMITTING = 8
"""Instances of one request that may wait for their commit while others are read."""


class Part10Body:
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

    async def results(self) -> list[Result]:
        """Return what became of each part, once all is decided."""
        return await asyncio.gather(*self._results)

    async def close(self) -> None:
        """Drop what has come only in part; what was whole is kept."""
        if self._part is not None:
            self._part.discard()
        await asyncio.gather(*self._results)

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
        return stored(record)

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
    if meta is None or is_deflated(meta.transfer_syntax_uid):
        return ""
    try:
        found = read_partial(BytesIO(data), lambda tag, _vr, _length: tag > 0x0020000D, specific_tags=[0x0020000D])
        return str(found.get("StudyInstanceUID", ""))
    except READ_ERRORS:
        return ""
