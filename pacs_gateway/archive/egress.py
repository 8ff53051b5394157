"""A data set as it leaves the house: as stored, uncompressed, or compressed without loss.

What it says never changes: values are copied as they came, and pixels are compressed only in ways that can be undone,
so that nothing is lost that the stored object has. Everything is a generator of pieces, so that an object of any size
passes in little memory.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Self

from pydicom.dataset import Dataset

from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.scan import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.errors import GatewayError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import elements, transcode
from pacs_gateway.imaging.compress import ENCODERS, encoded_description
from pacs_gateway.imaging.decode import codec
from pacs_gateway.imaging.pixels import PixelDescription, describe_pixels
from pacs_gateway.imaging.recompress import check_nothing_is_lost, encapsulate, encoded_changes, recompress

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT = "1.2.840.10008.1.2.1.99"
_NATIVE = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, BIG_ENDIAN})
_STANDARD_PREFIX = "1.2.840.10008."
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
_FLOAT_VRS: Mapping[int, str] = MappingProxyType({FLOAT_PIXEL_DATA: "OF", DOUBLE_PIXEL_DATA: "OD"})
_LONG_HEAD_BYTES, _SHORT_HEAD_BYTES = 12, 8
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_SWAP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes to send, and how many where that is known before."""

    pieces: Iterator[bytes]
    length: int | None = None


def forms(instance: StoredInstance) -> tuple[str, ...]:
    """Return the transfer syntaxes in which an instance can leave: the stored one, then the uncompressed ones."""
    found = [instance.transfer_syntax_uid]
    if _can_be_recoded(instance):
        found += [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN]
    return tuple(dict.fromkeys(found))


def compressed_forms(instance: StoredInstance) -> tuple[str, ...]:
    """Return the transfer syntaxes, other than the stored one, into which the pixels of an instance may be compressed.

    Whether they really can be depends on what they are: ``check_compressible`` looks.
    """
    found = [DEFLATED_EXPLICIT] if _can_be_recoded(instance) else []
    if instance.frames is not None and _has_frames(instance) and is_decodable(instance.transfer_syntax_uid):
        found += ENCODERS
    return tuple(syntax for syntax in found if syntax != instance.transfer_syntax_uid)


def _has_frames(instance: StoredInstance) -> bool:
    """Return whether the frames of an instance can be told apart, those of a deflated one once it is inflated."""
    has_ranges = instance.frames is not None and bool(instance.frames.ranges)
    return has_ranges or (instance.frames is not None and instance.transfer_syntax_uid == DEFLATED_EXPLICIT)


def check_compressible(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> None:
    """Look whether the pixels of an instance can be compressed into one of its `compressed_forms`.

    Raises
    ------
    InvalidInstanceError, UnsupportedSyntaxError
        They cannot.
    """
    if transfer_syntax_uid in ENCODERS and transfer_syntax_uid != instance.transfer_syntax_uid:
        instance = retrieve.plain(instance)
        header = retrieve.header(instance)
        check_nothing_is_lost(header)
        encoded_description(described(retrieve, instance, header), transfer_syntax_uid)


def described(retrieve: Retrieve, instance: StoredInstance, header: Dataset) -> PixelDescription:
    """Return what the pixels of an instance are; errors as ``describe_pixels``."""
    # Only in big endian does the VR matter, and there it can be read.
    vr = pixel_vr(retrieve, instance) if instance.transfer_syntax_uid == BIG_ENDIAN else ""
    return describe_pixels(header, instance.transfer_syntax_uid, vr=vr)


def is_decodable(transfer_syntax_uid: str) -> bool:
    """Return whether frames in a transfer syntax can be decoded."""
    try:
        codec(transfer_syntax_uid)
    except GatewayError:
        return False
    return True


def data_set(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> Payload:
    """Return the data set of an instance in one of its `forms` or `compressed_forms`; reading it raises as well.

    Raises
    ------
    InvalidInstanceError, UnsupportedSyntaxError
        It cannot be put into that form.
    UnavailableError
        Its bytes cannot be reached now.
    """
    length = data_set_length(instance, transfer_syntax_uid)
    if length is not None:
        return Payload(retrieve.stream(instance, instance.dataset_offset), length)
    if instance.transfer_syntax_uid == DEFLATED_EXPLICIT:
        return data_set(retrieve, retrieve.plain(instance), transfer_syntax_uid)
    if transfer_syntax_uid == DEFLATED_EXPLICIT:
        return Payload(_deflated(data_set(retrieve, instance, EXPLICIT_LITTLE_ENDIAN).pieces))
    if transfer_syntax_uid in ENCODERS:
        return Payload(_compressed(retrieve, instance, transfer_syntax_uid))
    return _recoded(retrieve, instance, implicit=transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN)


def data_set_length(instance: StoredInstance, transfer_syntax_uid: str) -> int | None:
    """Return the length in bytes of a data set that leaves as stored, None where only recoding tells."""
    stored = instance.transfer_syntax_uid
    is_plain = not (stored == DEFLATED_EXPLICIT or stored in _NATIVE or has_pixels(instance))
    # Without pixel data a data set of a compressed syntax is explicit little endian already (PS3.5 A.4).
    if transfer_syntax_uid == stored or (is_plain and transfer_syntax_uid == EXPLICIT_LITTLE_ENDIAN):
        return instance.size_bytes - instance.dataset_offset
    return None


def has_pixels(instance: StoredInstance) -> bool:
    """Return whether an instance has a pixel data element."""
    return instance.pixels_offset < instance.size_bytes


def pixel_vr(retrieve: Retrieve, instance: StoredInstance) -> str:
    """Return the VR that an explicit pixel data element names."""
    return retrieve.read(instance, instance.pixels_offset + 4, 2).decode("ascii", "replace")


def _can_be_recoded(instance: StoredInstance) -> bool:
    stored = instance.transfer_syntax_uid
    if stored in _NATIVE or stored == DEFLATED_EXPLICIT:
        return True
    if not has_pixels(instance):
        return stored.startswith(_STANDARD_PREFIX)
    return is_decodable(stored) and instance.frames is not None and instance.frames.kind is FrameKind.FRAGMENTS


def _recoded(retrieve: Retrieve, instance: StoredInstance, *, implicit: bool) -> Payload:
    header = retrieve.header(instance)
    if not has_pixels(instance):
        encoded = transcode.encode_header(header, implicit=implicit)
        return Payload(iter((encoded,)), len(encoded))
    recode = _native if instance.transfer_syntax_uid in _NATIVE else _decompressed
    pixels = recode(retrieve, instance, header, implicit=implicit)
    trailer = _trailer(retrieve, instance, pixels.end, header, implicit=implicit)
    pieces = chain((pixels.opening,), pixels.pieces, (trailer,) if trailer else ())
    return Payload(pieces, len(pixels.opening) + pixels.length + len(trailer))


def _trailer(retrieve: Retrieve, instance: StoredInstance, end: int, header: Dataset, *, implicit: bool) -> bytes:
    """Return what stands behind the pixel data, which ends at `end`."""
    if end >= instance.size_bytes:
        return b""
    return transcode.encode_trailer(retrieve.trailer(instance, end), header, implicit=implicit)


def _compressed(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> Iterator[bytes]:
    if instance.frames is None or not instance.frames.ranges:
        raise UnsupportedSyntaxError("the frames of this object cannot be told apart")
    header = retrieve.header(instance)
    check_nothing_is_lost(header)
    description = described(retrieve, instance, header)
    encoded = encoded_description(description, transfer_syntax_uid)
    yield transcode.encode_header(header, encoded_changes(encoded))
    frames = retrieve.frames(instance, list(range(instance.frames.n_frames)))
    yield from encapsulate(recompress(frames, description, encoded, retrieve.guard.recompress_frame))
    yield _trailer(retrieve, instance, _pixels_end(retrieve, instance), header, implicit=False)


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a data set deflated (PS3.5 A.5), padded to an even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    n_bytes = 0
    for piece in pieces:
        deflated = deflater.compress(piece)
        n_bytes += len(deflated)
        yield deflated
    ending = deflater.flush()
    yield ending + bytes((n_bytes + len(ending)) % 2)


@dataclass(frozen=True, slots=True)
class _Pixels:
    """An encoded header with the start of the pixel data element, and the value that follows."""

    opening: bytes
    pieces: Iterator[bytes]
    length: int
    end: int
    """Where the element ends in the stored file."""


def _decompressed(retrieve: Retrieve, instance: StoredInstance, header: Dataset, *, implicit: bool) -> _Pixels:
    if instance.frames is None or not instance.frames.ranges:
        raise UnsupportedSyntaxError("the frames of this object cannot be told apart")
    check_nothing_is_lost(header)
    description = describe_pixels(header, instance.transfer_syntax_uid)
    frames = retrieve.frames(instance, list(range(instance.frames.n_frames)))
    native = transcode.native_description(description)
    length = transcode.native_length(native)
    opening = transcode.encode_header(header, transcode.native_changes(description), implicit=implicit)
    opening += transcode.pixel_element(
        transcode.pixel_tag(native), transcode.pixel_vr(native), length, implicit=implicit
    )
    pieces = transcode.decompress(frames, description, retrieve.guard.decode_stored)
    return _Pixels(opening, pieces, length, _pixels_end(retrieve, instance))


def _pixels_end(retrieve: Retrieve, instance: StoredInstance) -> int:
    """Return where the pixel data of an instance, whose frames can be told apart, ends in the stored file."""
    assert instance.frames is not None
    if instance.frames.kind is not FrameKind.FRAGMENTS:
        head = retrieve.read(instance, instance.pixels_offset, _LONG_HEAD_BYTES)
        element = _PixelHead.parse(head, instance.transfer_syntax_uid)
        return min(instance.pixels_offset + element.n_bytes + element.length, instance.size_bytes)
    end = sum(instance.frames.ranges[-1][-1])
    if instance.size_bytes - end <= len(_SEQUENCE_END):
        return instance.size_bytes
    has_delimiter = retrieve.read(instance, end, len(_SEQUENCE_END)) == _SEQUENCE_END
    return end + len(_SEQUENCE_END) if has_delimiter else instance.size_bytes


def _native(retrieve: Retrieve, instance: StoredInstance, header: Dataset, *, implicit: bool) -> _Pixels:
    """Return native pixels whose framing and byte order alone change."""
    is_big = instance.transfer_syntax_uid == BIG_ENDIAN
    head = retrieve.read(instance, instance.pixels_offset, _LONG_HEAD_BYTES)
    element = _PixelHead.parse(head, instance.transfer_syntax_uid)
    start = instance.pixels_offset + element.n_bytes
    if element.length > instance.size_bytes - start:
        raise InvalidInstanceError("the pixel data is longer than the object")
    pieces = retrieve.stream(instance, start, element.length)
    if is_big:
        bits = describe_pixels(header, instance.transfer_syntax_uid, vr=element.vr).bits_allocated
        pieces = (transcode.swap_words(piece, bits, element.vr) for piece in _aligned(pieces, _SWAP_BYTES))
    opening = transcode.encode_header(header, implicit=implicit)
    opening += element.encode(header, implicit=implicit)
    return _Pixels(opening, pieces, element.length, start + element.length)


@dataclass(frozen=True, slots=True)
class _PixelHead:
    """The start of a native pixel data element."""

    tag: int
    vr: str
    """Empty in implicit VR."""
    length: int
    n_bytes: int
    """How many the head itself has (PS3.5 7.1)."""

    @classmethod
    def parse(cls, head: bytes, transfer_syntax_uid: str) -> Self:
        order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
        group, number, vr, short = struct.unpack_from(f"{order}HH2sH", head)
        tag = group << 16 | number
        if transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN:
            (length,) = struct.unpack_from("<L", head, 4)
            return cls(tag, "", length, _SHORT_HEAD_BYTES)
        name = vr.decode("ascii", "replace")
        if vr not in _LONG_VRS:
            return cls(tag, name, short, _SHORT_HEAD_BYTES)
        (length,) = struct.unpack_from(f"{order}L", head, 8)
        return cls(tag, name, length, _LONG_HEAD_BYTES)

    def encode(self, header: Dataset, *, implicit: bool) -> bytes:
        """Return the head in little endian."""
        is_wide = (elements.integer(header, "BitsAllocated") or 0) > 8
        vr = _FLOAT_VRS.get(self.tag) or ("OW" if is_wide else "OB")
        return transcode.pixel_element(self.tag, vr, self.length, implicit=implicit)


def _aligned(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of `size`, a multiple of every unit that is swapped."""
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % size
        if whole:
            yield rest[:whole]
            rest = rest[whole:]
    if rest:
        yield rest
