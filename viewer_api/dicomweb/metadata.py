"""WADO-RS: the metadata of studies, series and instances, as they were derived when those arrived (PS3.18 10.4.1.1.2).

A series' metadata leave as they are kept, compressed and unread. Those of several pass through one instance at a time:
they cannot be joined compressed, for neither browsers nor curl read more than the first member of a gzip stream.
"""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.metadata_blob import MetadataBlob
from pacs_gateway.dicomweb import dicom_json, dicom_xml
from viewer_api.access import Visitor
from viewer_api.dependencies import Reader, Uid, not_modified
from viewer_api.dicomweb.answer import Part, gathered, multipart_related
from viewer_api.negotiation import Offer, choose, takes_gzip

router = APIRouter(prefix="/dicom-web", tags=["WADO-RS"])

_XML = Offer(dicom_xml.MEDIA_TYPE, wrapped=True)
_OFFERS = (Offer(dicom_json.MEDIA_TYPE), Offer("application/json"), _XML)
_GZIP_WBITS = 31
# A third of the time of the usual level for a tenth more bytes.
_GZIP_LEVEL = 3


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


def _metadata(visitor: Visitor, study: str, series: str | None, instance: str | None) -> Response:
    offer = choose(visitor.accepted, _OFFERS)
    retrieve = visitor.gateway.archive.retrieve
    blobs = retrieve.metadata(visitor.scope, study_uid=study, series_uid=series, sop_uid=instance)
    etag = _etag(blobs, offer)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=headers)
    if offer is _XML:
        answer = multipart_related(_documents(visitor, blobs))
        answer.headers.update(headers)
        return answer
    return _json(visitor.request, blobs, offer, headers)


def _json(request: Request, blobs: Sequence[MetadataBlob], offer: Offer, headers: dict[str, str]) -> Response:
    if not takes_gzip(request):
        return StreamingResponse(_begun(gathered(_array(blobs))), 200, headers, offer.media_type)
    headers["Content-Encoding"] = "gzip"
    if len(blobs) == 1:
        return Response(blobs[0].read(), 200, headers, offer.media_type)
    return StreamingResponse(_begun(gathered(_zipped(_array(blobs)))), 200, headers, offer.media_type)


def _etag(blobs: Sequence[MetadataBlob], offer: Offer) -> str:
    """Return a weak tag: the same facts may leave gzipped or not; another model of them is another thing."""
    joined = "\n".join((dicom_xml.MEDIA_TYPE if offer is _XML else "", *(blob.etag for blob in blobs)))
    return f'W/"{hashlib.sha256(joined.encode()).hexdigest()[:32]}"'


def _array(blobs: Sequence[MetadataBlob]) -> Iterator[bytes]:
    """Yield one JSON array of the objects of several, piece by piece."""
    before = b"["
    for blob in blobs:
        for piece in blob.members():
            yield before + piece
            before = b","
    yield b"]"


def _documents(visitor: Visitor, blobs: Sequence[MetadataBlob]) -> Iterator[Part]:
    """Yield one document for each instance, made when its turn comes."""
    root = f"{str(visitor.request.base_url).rstrip('/')}/dicom-web"
    for blob in blobs:
        for one in blob.objects():
            uids = [dicom_json.first_value(one, tag) for tag in ("0020000D", "0020000E", "00080018")]
            location = "{}/studies/{}/series/{}/instances/{}/metadata".format(root, *uids)
            document = dicom_xml.encode(one)
            yield Part(_XML, location, Payload(iter((document,)), len(document)))


def _zipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    stream = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS)
    for piece in pieces:
        if zipped := stream.compress(piece):
            yield zipped
    yield stream.flush()


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same pieces with the first one made: what fails at the beginning still gets a status."""
    return chain((next(pieces),), pieces)
