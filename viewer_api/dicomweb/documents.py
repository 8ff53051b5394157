"""What objects enclose and browsers show as it is: documents, reports and video (PS3.18 8.7.4).

All of it was made by strangers. What a browser can show without running anything of it is shown in our pages' own
frames; everything else is a file to save (promises B11).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from starlette.responses import Response

from pacs_gateway.archive import bulk
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.archive.video import is_video
from pacs_gateway.dicomweb.dicom_json import JsonObject
from pacs_gateway.errors import NotFoundError
from viewer_api.access import Visitor
from viewer_api.dependencies import not_modified
from viewer_api.dicomweb.picture import CACHING, tagged
from viewer_api.dicomweb.report import report_html, report_text
from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import Offer
from viewer_api.ranges import ranged

_DOCUMENT_TAG = "00420011"
_MP4 = Offer("video/mp4")
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the objects of a class enclose."""

    media_type: str
    file_name: str
    magic: bytes | None = None
    """What makes a file of this kind one that is shown; None: it is only saved."""


_ENCLOSED: Mapping[str, _Kind] = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.104.1": _Kind("application/pdf", "document.pdf", b"%PDF-"),
        "1.2.840.10008.5.1.4.1.1.104.2": _Kind("text/xml", "document.xml"),
        "1.2.840.10008.5.1.4.1.1.104.3": _Kind("model/stl", "model.stl"),
        "1.2.840.10008.5.1.4.1.1.104.4": _Kind("model/obj", "model.obj"),
        "1.2.840.10008.5.1.4.1.1.104.5": _Kind("model/mtl", "model.mtl"),
    }
)
"""Storage SOP classes of encapsulated documents (PS3.3 A.45, A.85)."""
_TEXTS: Mapping[str, Callable[[JsonObject], bytes]] = MappingProxyType(
    {"text/html": report_html, "text/plain": report_text}
)
# Browsers refuse to show PDF under `sandbox`: everything it could load or run is shut instead.
_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; "
        "media-src 'self'; frame-ancestors 'self'",
        "X-Frame-Options": "SAMEORIGIN",
    }
)
_READ: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
        "X-Frame-Options": "SAMEORIGIN",
    }
)
_SAVED: Mapping[str, str] = MappingProxyType({"Content-Security-Policy": "sandbox; default-src 'none'"})


def document_offers(instance: StoredInstance) -> Sequence[Offer]:
    """Return as what an instance that is no picture can be shown, the default first; empty for pictures."""
    if instance.sop_class_uid in _ENCLOSED:
        return (Offer(_ENCLOSED[instance.sop_class_uid].media_type),)
    if instance.sop_class_uid.startswith(_REPORTS):
        return tuple(map(Offer, _TEXTS))
    return (_MP4,) if is_video(instance.transfer_syntax_uid) else ()


def document(visitor: Visitor, instance: StoredInstance, offer: Offer) -> Response:
    """Return an instance in one of its `document_offers`.

    Raises
    ------
    NotAcceptableError
        It does not hold what its class says.
    """
    if offer == _MP4:
        return _video(visitor, instance)
    if offer.media_type in _TEXTS:
        return _report(visitor, instance, offer.media_type)
    return _enclosed(visitor, instance, _ENCLOSED[instance.sop_class_uid])


def _enclosed(visitor: Visitor, instance: StoredInstance, kind: _Kind) -> Response:
    retrieve = visitor.gateway.archive.retrieve
    try:
        value = bulk.find(retrieve, instance, _DOCUMENT_TAG)
    except NotFoundError as error:
        raise NotAcceptableError("the object encloses no document") from error

    def read(offset: int, length: int) -> Iterator[bytes]:
        return bulk.read(retrieve, value, offset, offset + length)

    if kind.magic is not None and b"".join(read(0, min(len(kind.magic), value.length))) != kind.magic:
        raise NotAcceptableError(f"the enclosed document is not {kind.media_type}")
    place = "attachment" if kind.magic is None else "inline"
    headers = {"Content-Disposition": f'{place}; filename="{kind.file_name}"'}
    headers |= _SAVED if kind.magic is None else _SHOWN
    return _streamed(visitor, instance, _Stream(read, value.length, kind.media_type), headers)


def _report(visitor: Visitor, instance: StoredInstance, media_type: str) -> Response:
    def content() -> bytes:
        (blob,) = visitor.gateway.archive.retrieve.metadata(
            visitor.scope, study_uid=instance.study_uid, series_uid=instance.series_uid, sop_uid=instance.sop_uid
        )
        return _TEXTS[media_type](next(blob.objects()))

    answer = tagged(visitor, f"{media_type}; charset=utf-8", instance.digest, content)
    answer.headers.update(_READ)
    return answer


def _video(visitor: Visitor, instance: StoredInstance) -> Response:
    retrieve = visitor.gateway.archive.retrieve
    video = retrieve.video(instance)
    if video is None:
        raise NotAcceptableError("the stream is no MP4 file: its bytes are bulk data")

    def read(offset: int, length: int) -> Iterator[bytes]:
        for start, n_bytes in video.ranges(offset, length):
            yield from retrieve.stream(instance, start, n_bytes)

    return _streamed(visitor, instance, _Stream(read, video.size_bytes, _MP4.media_type), _SHOWN)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Something that may be too large to be held."""

    read: Callable[[int, int], Iterator[bytes]]
    """Returns the bytes of (offset, length)."""
    size_bytes: int
    media_type: str


def _streamed(visitor: Visitor, instance: StoredInstance, stream: _Stream, headers: Mapping[str, str]) -> Response:
    """Return a stream, or the range of it that is asked for, unless the caller has it."""
    etag = f'"{instance.digest[:32]}"'
    told = {**headers, "ETag": etag, **CACHING}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=told)
    return ranged(
        visitor.request, stream.read, size_bytes=stream.size_bytes, headers=told, media_type=stream.media_type
    )
