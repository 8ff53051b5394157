"""What leaves by the web: which forms of objects and frames are offered, and which of them suits; single frames.

How a data set is recoded is the archive's affair.
"""

from collections.abc import Sequence
from dataclasses import replace

from pacs_gateway.archive.egress import (
    BIG_ENDIAN,
    DEFLATED_EXPLICIT,
    IMPLICIT_LITTLE_ENDIAN,
    check_compressible,
    compressed_forms,
    described,
    forms,
    is_decodable,
    pixel_vr,
)
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import transcode
from pacs_gateway.imaging.compress import ENCODERS, encoded_description
from pacs_gateway.imaging.pixels import PixelDescription, frame_bits
from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import (
    AS_STORED,
    DICOM,
    EXPLICIT_LITTLE_ENDIAN,
    MEDIA_TYPES,
    OCTETS,
    ZIP,
    MediaRange,
    Offer,
    choose,
)

# These leave as explicit little endian whatever is asked (settled: Frames).
_ALWAYS_RECODED = frozenset({IMPLICIT_LITTLE_ENDIAN, BIG_ENDIAN})
_NO_LOSS = "; or transfer-syntax=*. Pictures are not made worse here: lossy ones come from /rendered"


def offers(instance: StoredInstance, *, wrapped: bool) -> tuple[Offer, ...]:
    """Return the forms in which an instance can leave, the default first; those that are compressed, if they fit."""
    stored = instance.transfer_syntax_uid
    found = []
    if EXPLICIT_LITTLE_ENDIAN in forms(instance):
        found.append(Offer(DICOM, wrapped, EXPLICIT_LITTLE_ENDIAN, is_stored=_leaves_explicit(stored)))
    if not _leaves_explicit(stored):
        found.append(Offer(DICOM, wrapped, stored, is_stored=True))
    found += [Offer(DICOM, wrapped, syntax) for syntax in compressed_forms(instance)]
    return tuple(found)


def zip_offers(instance: StoredInstance) -> tuple[Offer, ...]:
    """Return the forms in which an instance can be in an archive: as stored, whatever that is, the first."""
    syntaxes = dict.fromkeys(offer.transfer_syntax for offer in offers(instance, wrapped=False))
    return (Offer(ZIP, transfer_syntax=AS_STORED, is_stored=True), *(Offer(ZIP, False, syntax) for syntax in syntaxes))


def choose_fitting(
    accepted: Sequence[MediaRange], possible: Sequence[Offer], retrieve: Retrieve, instance: StoredInstance
) -> Offer:
    """Return the offer that suits the caller best, of those in which the pixels of an instance fit.

    Raises
    ------
    NotAcceptableError
        There is none.
    """
    problem = ""
    while True:
        try:
            offer = choose(accepted, possible)
        except NotAcceptableError as error:
            raise NotAcceptableError(problem or f"offered here: {_listed(possible)}{_NO_LOSS}") from error
        try:
            check_compressible(retrieve, instance, offer.transfer_syntax)
        except (InvalidInstanceError, UnsupportedSyntaxError) as error:
            problem = str(error)
            possible = [one for one in possible if one.transfer_syntax != offer.transfer_syntax]
        else:
            return offer


def _listed(possible: Sequence[Offer]) -> str:
    return ", ".join(sorted({_spelled(offer) for offer in possible}))


def _spelled(offer: Offer) -> str:
    inner = f'"{offer.media_type}"; transfer-syntax={offer.transfer_syntax}'
    return f"multipart/related; type={inner}" if offer.wrapped else inner.replace('"', "")


def frame_offers(instance: StoredInstance) -> tuple[Offer, ...]:
    """Return the forms in which frames of an instance can leave, the default first."""
    stored = instance.transfer_syntax_uid
    is_explicit = _leaves_explicit(stored) or stored == DEFLATED_EXPLICIT
    syntaxes = [] if is_explicit else [stored]
    syntaxes += [syntax for syntax in compressed_forms(instance) if syntax != DEFLATED_EXPLICIT]
    found: list[Offer] = []
    for wrapped in (True, False):
        if is_explicit or is_decodable(stored):
            found.append(Offer(OCTETS, wrapped, EXPLICIT_LITTLE_ENDIAN, is_stored=is_explicit))
        found += [
            Offer(media_type, wrapped, syntax, is_stored=syntax == stored)
            for syntax in syntaxes
            for media_type in dict.fromkeys((MEDIA_TYPES.get(syntax, OCTETS), OCTETS))
        ]
    return tuple(found)


class FrameReader:
    """Reads frames of one instance in one of its `frame_offers`."""

    def __init__(self, retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> None:
        self._retrieve = retrieve
        self._instance = retrieve.plain(instance)
        self._transfer_syntax_uid = transfer_syntax_uid
        self._description: PixelDescription | None = None

    def read(self, index: int) -> bytes:
        """Return one frame (0-based).

        Raises
        ------
        InvalidInstanceError, UnsupportedSyntaxError
            There are no such bytes, or they cannot be put into that form.
        """
        data = self._retrieve.frame(self._instance, index)
        if self._transfer_syntax_uid == self._instance.transfer_syntax_uid and not self._is_shared:
            return data
        if self._transfer_syntax_uid in ENCODERS:
            return self._encoded(data, index)
        table = self._instance.frames
        if table is None or table.kind is FrameKind.RAW:
            return data
        if table.kind is FrameKind.BITS:
            return _from_bit(data, index * table.stride % 8, table.stride)
        if table.kind is FrameKind.SWAP:
            description = self._described()
            vr = pixel_vr(self._retrieve, self._instance)
            first = index * table.stride % 2  # a frame of an odd length begins or ends inside a word
            return transcode.swap_words(data, description.bits_allocated, vr)[first : first + table.stride]
        return self._decoded(data)

    @property
    def _is_shared(self) -> bool:
        """Return whether bytes are shared with the neighbours of a frame."""
        return self._instance.frames is not None and self._instance.frames.kind is FrameKind.BITS

    def _decoded(self, data: bytes) -> bytes:
        description = self._described()
        decode = self._retrieve.guard.decode_stored
        pieces = b"".join(transcode.decompress([data], replace(description, n_frames=1), decode))
        return pieces[: (frame_bits(transcode.native_description(description)) + 7) // 8]

    def _encoded(self, data: bytes, index: int) -> bytes:
        description = self._described()
        encoded = encoded_description(description, self._transfer_syntax_uid)
        return self._retrieve.guard.recompress_frame(data, description, encoded, index=index)

    def _described(self) -> PixelDescription:
        if self._description is None:
            header = self._retrieve.header(self._instance)
            self._description = described(self._retrieve, self._instance, header)
        return self._description


def _leaves_explicit(stored: str) -> bool:
    return stored == EXPLICIT_LITTLE_ENDIAN or stored in _ALWAYS_RECODED


def _from_bit(data: bytes, first: int, n_bits: int) -> bytes:
    """Return `n_bits` bits from bit `first` on, moved to the start: frames of 1-bit pixels follow without gaps."""
    bits = int.from_bytes(data, "little") >> first & ((1 << n_bits) - 1)
    return bits.to_bytes((n_bits + 7) // 8, "little")
