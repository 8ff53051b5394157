"""What leaves by the web: which forms are offered, objects as Part 10 files, single frames.

An object gets a head of our own: the stored one carries where it came from and stays inside, and the preamble is
zeros again, whatever came in (promises B11). How its data set is recoded is the archive's affair.
"""

from dataclasses import replace
from itertools import chain

from pacs_gateway.archive.egress import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT_LITTLE_ENDIAN,
    Payload,
    data_set,
    data_set_length,
    forms,
    is_decodable,
    pixel_vr,
)
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.domain.part10 import FileMeta, encode_head
from pacs_gateway.imaging import transcode
from pacs_gateway.imaging.pixels import PixelDescription, describe_pixels, frame_bits
from viewer_api.negotiation import DICOM, EXPLICIT_LITTLE_ENDIAN, MEDIA_TYPES, OCTETS, Offer

# These leave as explicit little endian whatever is asked (settled: Frames).
_ALWAYS_RECODED = frozenset({IMPLICIT_LITTLE_ENDIAN, BIG_ENDIAN})


def offers(instance: StoredInstance, *, wrapped: bool) -> tuple[Offer, ...]:
    """Return the forms in which an instance can leave, the default first."""
    stored = instance.transfer_syntax_uid
    found = []
    if EXPLICIT_LITTLE_ENDIAN in forms(instance):
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
    body = data_set(retrieve, instance, transfer_syntax_uid)
    length = None if body.length is None else len(head) + body.length
    return Payload(chain((head,), body.pieces), length)


def part10_length(instance: StoredInstance, transfer_syntax_uid: str) -> int | None:
    """Return the length in bytes of what ``part10`` gives, None where only making it tells."""
    length = data_set_length(instance, transfer_syntax_uid)
    return None if length is None else len(_head(instance, transfer_syntax_uid)) + length


def _head(instance: StoredInstance, transfer_syntax_uid: str) -> bytes:
    return encode_head(FileMeta(instance.sop_class_uid, instance.sop_uid, transfer_syntax_uid))


def frame_offers(instance: StoredInstance) -> tuple[Offer, ...]:
    """Return the forms in which frames of an instance can leave, the default first."""
    stored = instance.transfer_syntax_uid
    is_explicit = _leaves_explicit(stored) or stored in DEFLATED
    found: list[Offer] = []
    for wrapped in (True, False):
        if is_explicit or is_decodable(stored):
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
            description = self._described(pixel_vr(self._retrieve, self._instance))
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


def _from_bit(data: bytes, first: int, n_bits: int) -> bytes:
    """Return `n_bits` bits from bit `first` on, moved to the start: frames of 1-bit pixels follow without gaps."""
    bits = int.from_bytes(data, "little") >> first & ((1 << n_bits) - 1)
    return bits.to_bytes((n_bits + 7) // 8, "little")
