"""An instance as it leaves the house: a head of our own, the data set as stored or in explicit little endian.

The stored head carries where the object came from and stays inside; the preamble is zeros again, whatever came in
(promises B11). Everything is a generator of pieces, so that an object of any size passes in little memory.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.domain.part10 import FileMeta, encode_head
from pacs_gateway.errors import GatewayError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import transcode
from pacs_gateway.imaging.decode import codec
from pacs_gateway.imaging.pixels import PixelDescription, describe_pixels, frame_bits
from viewer_api.negotiation import DICOM, EXPLICIT_LITTLE_ENDIAN, MEDIA_TYPES, OCTETS, Offer

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99"})
# These leave as explicit little endian whatever is asked (settled: Frames).
_ALWAYS_RECODED = frozenset({IMPLICIT_LITTLE_ENDIAN, BIG_ENDIAN})
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
_SWAP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes to send, and how many where that is known before."""

    pieces: Iterator[bytes]
    length: int | None = None


def offers(instance: StoredInstance, *, wrapped: bool) -> tuple[Offer, ...]:
    """Return the forms in which an instance can leave, the default first."""
    stored = instance.transfer_syntax_uid
    found = []
    if _can_be_explicit(instance):
        found.append(Offer(DICOM, wrapped, EXPLICIT_LITTLE_ENDIAN, is_stored=_leaves_explicit(stored)))
    if not _leaves_explicit(stored):
        found.append(Offer(DICOM, wrapped, stored, is_stored=True))
    return tuple(found)


def part10(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> Payload:
    """Return the Part 10 file of an instance in one of its `offers`.

    Raises
    ------
    InvalidInstanceError, UnsupportedSyntaxError
        It cannot be put into that form.
    """
    head = _head(instance, transfer_syntax_uid)
    if _leaves_as_stored(instance, transfer_syntax_uid):
        length = part10_length(instance, transfer_syntax_uid)
        return Payload(_chain(head, retrieve.stream(instance, instance.dataset_offset)), length)
    if instance.transfer_syntax_uid in DEFLATED:
        return Payload(_chain(head, _inflate(retrieve.stream(instance, instance.dataset_offset))))
    return _recoded(retrieve, instance, head)


def part10_length(instance: StoredInstance, transfer_syntax_uid: str) -> int | None:
    """Return the length in bytes of what ``part10`` gives, None where only making it tells."""
    if not _leaves_as_stored(instance, transfer_syntax_uid):
        return None
    return len(_head(instance, transfer_syntax_uid)) + instance.size_bytes - instance.dataset_offset


def _head(instance: StoredInstance, transfer_syntax_uid: str) -> bytes:
    return encode_head(FileMeta(instance.sop_class_uid, instance.sop_uid, transfer_syntax_uid))


def _has_pixels(instance: StoredInstance) -> bool:
    return instance.pixels_offset < instance.size_bytes


def _leaves_as_stored(instance: StoredInstance, transfer_syntax_uid: str) -> bool:
    """Return whether nothing of the data set changes on its way out."""
    stored = instance.transfer_syntax_uid
    if transfer_syntax_uid == stored:
        return True
    # Without pixel data a data set of a compressed syntax is explicit little endian already (PS3.5 A.4).
    return not (stored in DEFLATED or stored in _ALWAYS_RECODED or _has_pixels(instance))


def frame_offers(instance: StoredInstance) -> tuple[Offer, ...]:
    """Return the forms in which frames of an instance can leave, the default first."""
    stored = instance.transfer_syntax_uid
    is_explicit = _leaves_explicit(stored) or stored in DEFLATED
    found: list[Offer] = []
    for wrapped in (True, False):
        if is_explicit or _is_decodable(stored):
            found.append(Offer(OCTETS, wrapped, EXPLICIT_LITTLE_ENDIAN, is_stored=is_explicit))
        if not is_explicit:
            found += [
                Offer(media_type, wrapped, stored, is_stored=True)
                for media_type in dict.fromkeys((MEDIA_TYPES.get(stored, OCTETS), OCTETS))
            ]
    return tuple(found)


class FrameReader:
    """Reads frames of one instance in one of its `frame_offers`."""

    def __init__(self, retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> None:
        self._retrieve = retrieve
        self._instance = instance
        self._is_stored = transfer_syntax_uid == instance.transfer_syntax_uid
        self._description: PixelDescription | None = None

    def read(self, index: int) -> bytes:
        """Return one frame (0-based).

        Raises
        ------
        InvalidInstanceError, UnsupportedSyntaxError
            There are no such bytes, or they cannot be put into that form.
        """
        data = self._retrieve.frame(self._instance, index)
        table = self._instance.frames
        if table is None or table.kind is FrameKind.RAW:
            return data
        if table.kind is FrameKind.BITS:
            return _from_bit(data, index * table.stride % 8, table.stride)
        if table.kind is FrameKind.SWAP:
            description = self._described(_pixel_vr(self._retrieve, self._instance))
            return transcode.swap_words(data, description.bits_allocated, description.vr)
        return data if self._is_stored else self._decoded(data)

    def _decoded(self, data: bytes) -> bytes:
        description = self._described()
        pieces = b"".join(transcode.decompress([data], replace(description, n_frames=1)))
        return pieces[: (frame_bits(transcode.native_description(description)) + 7) // 8]

    def _described(self, vr: str = "") -> PixelDescription:
        if self._description is None:
            header = self._retrieve.header(self._instance)
            self._description = describe_pixels(header, self._instance.transfer_syntax_uid, vr=vr)
        return self._description


def _leaves_explicit(stored: str) -> bool:
    return stored == EXPLICIT_LITTLE_ENDIAN or stored in _ALWAYS_RECODED


def _can_be_explicit(instance: StoredInstance) -> bool:
    stored = instance.transfer_syntax_uid
    return (
        _leaves_explicit(stored)
        or stored in DEFLATED
        or instance.pixels_offset >= instance.size_bytes
        or (_is_decodable(stored) and instance.frames is not None)
    )


def _is_decodable(transfer_syntax_uid: str) -> bool:
    try:
        codec(transfer_syntax_uid)
    except GatewayError:
        return False
    return True


def _recoded(retrieve: Retrieve, instance: StoredInstance, head: bytes) -> Payload:
    header = retrieve.header(instance)
    if not _has_pixels(instance):
        dataset = transcode.explicit_header(header)
        return Payload(iter((head, dataset)), len(head) + len(dataset))
    if instance.transfer_syntax_uid in _ALWAYS_RECODED:
        return _native(retrieve, instance, head, header)
    if instance.frames is None:
        raise UnsupportedSyntaxError("the frames of this object cannot be told apart")
    description = describe_pixels(header, instance.transfer_syntax_uid)
    n_frames = instance.frames.n_frames
    frames = retrieve.frames(instance, list(range(n_frames)))
    native = transcode.native_description(description)
    length = transcode.native_length(native)
    dataset = transcode.explicit_header(header, transcode.native_changes(description))
    opening = head + dataset + transcode.pixel_element(native, length)
    return Payload(_chain(opening, transcode.decompress(frames, description)), len(opening) + length)


def _native(retrieve: Retrieve, instance: StoredInstance, head: bytes, header: Dataset) -> Payload:
    """Return an implicit or big-endian object with native pixels: only framing and byte order change."""
    is_big = instance.transfer_syntax_uid == BIG_ENDIAN
    vr = _pixel_vr(retrieve, instance) if is_big else ""
    # Implicit: tag and 32-bit length; explicit: two bytes of VR, two reserved for long ones (PS3.5 7.1).
    value = instance.pixels_offset + (12 if vr.encode("ascii") in _LONG_VRS else 8)
    length_at = retrieve.read(instance, value - 4, 4)
    length = int.from_bytes(length_at, "big" if is_big else "little")
    if length > instance.size_bytes - value:
        raise InvalidInstanceError("the pixel data is longer than the object")
    description = describe_pixels(header, instance.transfer_syntax_uid, vr=vr)
    opening = head + transcode.explicit_header(header) + transcode.pixel_element(description, length)
    pieces = retrieve.stream(instance, value, length)
    if is_big:
        pieces = (
            transcode.swap_words(piece, description.bits_allocated, vr) for piece in _aligned(pieces, _SWAP_BYTES)
        )
    return Payload(_chain(opening, pieces), len(opening) + length)


def _pixel_vr(retrieve: Retrieve, instance: StoredInstance) -> str:
    """Return the VR that an explicit pixel data element names."""
    return retrieve.read(instance, instance.pixels_offset + 4, 2).decode("ascii", "replace")


def _from_bit(data: bytes, first: int, n_bits: int) -> bytes:
    """Return `n_bits` bits from bit `first` on, moved to the start: frames of 1-bit pixels follow without gaps."""
    bits = int.from_bytes(data, "little") >> first & ((1 << n_bits) - 1)
    return bits.to_bytes((n_bits + 7) // 8, "little")


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield an inflated data set (PS3.5 A.5); how far it may grow was checked when it came in."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            while piece and not inflater.eof:
                yield inflater.decompress(piece, _SWAP_BYTES)
                piece = inflater.unconsumed_tail
    except zlib.error as error:
        raise InvalidInstanceError("the data set is not deflated") from error


def _aligned(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
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


def _chain(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces
