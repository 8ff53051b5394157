"""Answers made of parts, streamed: a part's content is asked for when its turn comes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from starlette.responses import Response

from pacs_gateway.archive.egress import Payload
from pacs_gateway.dicomweb import multipart
from pacs_gateway.dicomweb.media_type import MediaType
from viewer_api.negotiation import ZIP, Offer
from viewer_api.read_ahead import ReadAheadResponse

# What somebody else made is handed over as a file, never shown as a part of our site (promises B11).
ATTACHMENT = {"Content-Disposition": "attachment"}
_PIECE_BYTES = 1 << 20
# The head of a part or file, the header of its data set, the first frame and what stands before it.
_FIRST_PIECES = 4


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an answer."""

    offer: Offer
    location: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a part before its turn comes."""

    offer: Offer
    location: str
    length: int | None
    """Bytes of its content, None where only making it tells."""


def content_type(offer: Offer) -> str:
    """Return the content type that names the transfer syntax: a viewer that finds none guesses."""
    return f"{offer.media_type}; transfer-syntax={offer.transfer_syntax}" if offer.transfer_syntax else offer.media_type


def multipart_related(parts: Iterator[Part], outlines: Sequence[Outline] = ()) -> Response:
    """Return parts of one media type as one body; its closing delimiter tells a reader that it is whole.

    With the outlines of all parts the answer says how long it is, where all of them are known.
    """
    boundary = multipart.new_boundary()
    first = _begun(next(parts))
    parameters = {"type": first.offer.media_type, "boundary": boundary}
    if first.offer.transfer_syntax:
        parameters["transfer-syntax"] = first.offer.transfer_syntax
    headers = {"Content-Type": str(MediaType("multipart", "related", parameters)), **ATTACHMENT}
    lengths = [outline.length for outline in outlines]
    known = [length for length in lengths if length is not None]
    if known and len(known) == len(lengths):
        around = sum(len(_opening(outline.offer, outline.location, boundary)) for outline in outlines)
        headers["Content-Length"] = str(sum(known) + around + len(multipart.closing(boundary)))
    return _sent(_body(chain([first], parts), boundary), headers)


def single(part: Part) -> Response:
    """Return one thing without a frame around it."""
    part = _begun(part)
    headers = {"Content-Type": content_type(part.offer), "Content-Location": part.location, **ATTACHMENT}
    if part.payload.length is not None:
        headers["Content-Length"] = str(part.payload.length)
    return _sent(part.payload.pieces, headers)


def archive(payload: Payload) -> Response:
    """Return a ZIP archive; the name that a browser keeps it under says nothing of whom it is about."""
    headers = {"Content-Type": ZIP, "Content-Disposition": 'attachment; filename="dicom.zip"'}
    if payload.length is not None:
        headers["Content-Length"] = str(payload.length)
    first = list(islice(payload.pieces, _FIRST_PIECES))
    return _sent(chain(first, payload.pieces), headers)


def _begun(part: Part) -> Part:
    """Return the part with its first bytes made: what fails on the first frame still gets a status."""
    pieces = part.payload.pieces
    first = list(islice(pieces, _FIRST_PIECES))
    return replace(part, payload=Payload(chain(first, pieces), part.payload.length))


def _body(parts: Iterator[Part], boundary: str) -> Iterator[bytes]:
    for part in parts:
        yield _opening(part.offer, part.location, boundary)
        yield from part.payload.pieces
    yield multipart.closing(boundary)


def _opening(offer: Offer, location: str, boundary: str) -> bytes:
    return multipart.part_header(boundary, {"Content-Type": content_type(offer), "Content-Location": location})


def _sent(pieces: Iterator[bytes], headers: Mapping[str, str]) -> Response:
    """Return a body as an answer: at once where it is small, streamed where it is not."""
    begun: list[bytes] = []
    n_bytes = 0
    for piece in pieces:
        begun.append(piece)
        n_bytes += len(piece)
        if n_bytes >= _PIECE_BYTES:
            return ReadAheadResponse(chain(begun, pieces), headers)
    return Response(b"".join(begun), headers=dict(headers))


def gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer pieces: each is a change of threads, which costs as much as copying 1 MiB."""
    waiting: list[bytes] = []
    n_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        n_bytes += len(piece)
        if n_bytes >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, n_bytes = [], 0
    if waiting:
        yield b"".join(waiting)
