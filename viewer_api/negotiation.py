"""What the caller accepts and what it gets: Accept headers and ``accept`` parameters (PS3.18 8.7).

DICOMweb wraps most answers in ``multipart/related; type="..."`` and names the transfer syntax in a parameter of its
own, so a range here is the media type inside, whether it is wrapped, and the syntax asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from starlette.requests import Request

from pacs_gateway.dicomweb.media_type import MediaType, split_list
from pacs_gateway.errors import InvalidMessageError
from viewer_api.errors import NotAcceptableError

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
ZIP = "application/zip"
AS_STORED = "*"
"""Stands for the transfer syntax in which each object is kept."""
_MAX_RANGES = 64

# Media type of the stored bytes of a frame (PS3.18 Tables 8.7.3-3 to 8.7.3-5).
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.50": "image/jpeg",
        "1.2.840.10008.1.2.4.51": "image/jpeg",
        "1.2.840.10008.1.2.4.57": "image/jpeg",
        "1.2.840.10008.1.2.4.70": "image/jpeg",
        "1.2.840.10008.1.2.5": "image/dicom-rle",
        "1.2.840.10008.1.2.4.80": "image/jls",
        "1.2.840.10008.1.2.4.81": "image/jls",
        "1.2.840.10008.1.2.4.90": "image/jp2",
        "1.2.840.10008.1.2.4.91": "image/jp2",
        "1.2.840.10008.1.2.4.92": "image/jpx",
        "1.2.840.10008.1.2.4.93": "image/jpx",
        "1.2.840.10008.1.2.4.110": "image/jxl",
        "1.2.840.10008.1.2.4.111": "image/jxl",
        "1.2.840.10008.1.2.4.112": "image/jxl",
        "1.2.840.10008.1.2.4.201": "image/jphc",
        "1.2.840.10008.1.2.4.202": "image/jphc",
        "1.2.840.10008.1.2.4.203": "image/jphc",
        "1.2.840.10008.1.2.8.1": "application/x-deflate",
        "1.2.840.10008.1.2.4.100": "video/mpeg",
        "1.2.840.10008.1.2.4.100.1": "video/mpeg",
        "1.2.840.10008.1.2.4.101": "video/mpeg",
        "1.2.840.10008.1.2.4.101.1": "video/mpeg",
        "1.2.840.10008.1.2.4.102": "video/mp4",
        "1.2.840.10008.1.2.4.102.1": "video/mp4",
        "1.2.840.10008.1.2.4.103": "video/mp4",
        "1.2.840.10008.1.2.4.103.1": "video/mp4",
        "1.2.840.10008.1.2.4.104": "video/mp4",
        "1.2.840.10008.1.2.4.104.1": "video/mp4",
        "1.2.840.10008.1.2.4.105": "video/mp4",
        "1.2.840.10008.1.2.4.105.1": "video/mp4",
        "1.2.840.10008.1.2.4.106": "video/mp4",
        "1.2.840.10008.1.2.4.106.1": "video/mp4",
    }
)
# The syntax meant by a media type that names none (the "D" rows of the same tables).
_DEFAULT_SYNTAXES: Mapping[str, str] = MappingProxyType(
    {
        DICOM: EXPLICIT_LITTLE_ENDIAN,
        OCTETS: EXPLICIT_LITTLE_ENDIAN,
        # An archive is for media and workstations: what is in it is what was sent, in implicit VR too (PS3.10 7.1).
        ZIP: AS_STORED,
        "image/jpeg": "1.2.840.10008.1.2.4.70",
        "image/dicom-rle": "1.2.840.10008.1.2.5",
        "image/jls": "1.2.840.10008.1.2.4.80",
        "image/jp2": "1.2.840.10008.1.2.4.90",
        "image/jpx": "1.2.840.10008.1.2.4.92",
        "image/jxl": "1.2.840.10008.1.2.4.110",
        "image/jphc": "1.2.840.10008.1.2.4.201",
        "application/x-deflate": "1.2.840.10008.1.2.8.1",
        "video/mpeg": "1.2.840.10008.1.2.4.100",
        "video/mp4": "1.2.840.10008.1.2.4.102",
    }
)


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One member of an Accept header."""

    type: str
    subtype: str
    wrapped: bool | None
    """Inside multipart/related; None where the caller takes both (``*/*``)."""
    transfer_syntax: str
    """UID, ``*`` for as stored, or empty where none is named."""
    quality: float

    @property
    def specificity(self) -> tuple[bool, bool, bool]:
        """Sorts exact ranges behind wide ones."""
        return (self.type != "*", self.subtype != "*", self.transfer_syntax not in ("", "*"))

    def accepts(self, offer: "Offer") -> bool:
        """Return whether `offer` lies in this range."""
        if self.wrapped not in (None, offer.wrapped):
            return False
        kind, _, subtype = offer.media_type.partition("/")
        if self.type not in ("*", kind) or self.subtype not in ("*", subtype):
            return False
        if self.transfer_syntax == "*" or not offer.transfer_syntax:
            return True
        if self.transfer_syntax:
            return self.transfer_syntax == offer.transfer_syntax
        if self.subtype == "*":
            # Whoever takes anything has not said that it can decode anything (settled: Frames).
            return self.type != "*" or offer.transfer_syntax == EXPLICIT_LITTLE_ENDIAN
        return offer.transfer_syntax == _DEFAULT_SYNTAXES.get(offer.media_type)


@dataclass(frozen=True, slots=True)
class Offer:
    """One form in which an answer can be given."""

    media_type: str
    wrapped: bool = False
    transfer_syntax: str = ""
    is_stored: bool = False
    """As stored: what ``transfer-syntax=*`` asks for."""


def ranges(accept: Iterable[str], parameter: Iterable[str] = ()) -> tuple[MediaRange, ...]:
    """Return what the caller accepts.

    Parameters
    ----------
    accept
        Values of the Accept headers.
    parameter
        Values of the ``accept`` query parameter, which takes the place of the header (PS3.18 8.3.3.1).
    """
    members = [member for value in (list(parameter) or accept) for member in split_list(value)]
    if not members:
        return (MediaRange("*", "*", None, "", 1.0),)
    return tuple(found for member in members[:_MAX_RANGES] if (found := _range(member)) is not None)


def choose(accepted: Sequence[MediaRange], offers: Sequence[Offer]) -> Offer:
    """Return the offer that suits the caller best; among equals the first.

    Raises
    ------
    NotAcceptableError
        When none suits.

    References
    ----------
    RFC 9110 12.5.1: the most specific range that matches an offer gives its quality.
    """
    best: tuple[tuple[float, tuple[bool, bool, bool], bool], Offer] | None = None
    for offer in offers:
        matching = [one for one in accepted if one.accepts(offer)]
        if not matching:
            continue
        judge = max(matching, key=lambda one: one.specificity)
        rank = (judge.quality, judge.specificity, offer.is_stored and judge.transfer_syntax == "*")
        if judge.quality > 0 and (best is None or rank > best[0]):
            best = rank, offer
    if best is None:
        raise NotAcceptableError("none of the accepted media types is offered here")
    return best[1]


def takes_gzip(request: Request) -> bool:
    """Return whether the caller takes gzip (RFC 9110 12.5.3)."""
    for member in request.headers.get("accept-encoding", "").split(","):
        coding, _, quality = member.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _range(member: str) -> MediaRange | None:
    """Return one member, None where it cannot be read: the others still count."""
    try:
        media = MediaType.parse(member)
        quality = float(media.parameters.get("q", "1"))
        inner, wrapped = media, False
        if media.type == "multipart":
            inner, wrapped = MediaType.parse(media.parameters.get("type", "*/*")), True
    except (InvalidMessageError, ValueError):
        return None
    if not 0 <= quality <= 1:
        return None
    # Some clients put the parameter on the inner type.
    syntax = media.parameters.get("transfer-syntax") or inner.parameters.get("transfer-syntax", "")
    anything = not wrapped and inner.type == "*"
    return MediaRange(inner.type, inner.subtype, None if anything else wrapped, syntax, quality)
