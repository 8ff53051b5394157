"""Stored objects to little endian, VR explicit or implicit, so that a large one never lies in memory whole.

The header is encoded anew from its bytes (`encode_header`), then the native pixel data element follows
(`pixel_element`), its value swapped (`swap_words`) or decompressed frame by frame (`decompress`), and what stood behind
it (`encode_trailer`). Values are copied as they came: text in any character set, numbers as they were written, only
byte order and framing change.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_data_element
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.decode import Decoder, decode_stored, decoded_photometric
from pacs_gateway.imaging.pixels import FloatKind, PixelDescription, frame_bits

_PIXEL_GROUP = 0x7FE0
"""All of it, the extended offset table too, belongs to the pixel data and is written with it."""
_PIXEL_TAGS: Mapping[FloatKind | None, int] = MappingProxyType(
    {None: 0x7FE00010, FloatKind.FLOAT: 0x7FE00008, FloatKind.DOUBLE: 0x7FE00009}
)
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_PADDING = 0xFFFCFFFC
"""Data Set Trailing Padding (PS3.10 7.2): of the file it was in."""
_MAX_LENGTH = 0xFFFFFFFE
_MAX_SHORT_LENGTH = 0xFFFE
_MAX_DEPTH = 64
# PS3.5 7.3: the units whose bytes are swapped between the byte orders
_UNITS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("US", "SS", "OW", "AT"), 2)
    | dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4)
    | dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
)
# PS3.6 leaves the choice open; implicit little endian is OW throughout (PS3.5 A.1), signs follow the pixels.
_AMBIGUOUS: Mapping[str, str] = MappingProxyType({"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"})
_SPACE_PADDED = STANDARD_VR - set(_UNITS) - {"UI", "OB", "UN", "SQ"}


def encode_header(
    header: Dataset, changes: Mapping[str, str | int] = MappingProxyType({}), *, implicit: bool = False
) -> bytes:
    """Encode the data set's elements before the pixel data in little endian.

    Parameters
    ----------
    header
        As read with ``stop_before_pixels``, from whichever transfer syntax.
    changes
        Keyword to value of elements to replace or add, as `native_changes` gives them.
    implicit
        Whether the VR is left out (PS3.5 A.1).

    Raises
    ------
    InvalidInstanceError
        An element is malformed so that its bytes cannot be told apart.
    """
    replaced = {_tag(keyword): DataElement(_tag(keyword), dictionary_VR(keyword), v) for keyword, v in changes.items()}
    return _Encoder(header, implicit=implicit).encode(header, replaced, depth=0)


def encode_trailer(trailer: Dataset, header: Dataset, *, implicit: bool = False) -> bytes:
    """Encode the elements behind the pixel data, as `encode_header` does those before; padding is left out."""
    return _Encoder(header, implicit=implicit).encode(trailer, {}, depth=0)


def pixel_element(tag: int, vr: str, length: int, *, implicit: bool = False) -> bytes:
    """Encode the start of a native pixel data element whose value has `length` bytes (even).

    Raises
    ------
    UnsupportedSyntaxError
        The value is too long for the 32-bit length of a native element.
    """
    if length > _MAX_LENGTH:
        raise UnsupportedSyntaxError("the pixel data is too long to be native")
    return _implicit_head(tag, length) if implicit else _element_head(tag, vr, length)


def pixel_tag(description: PixelDescription) -> int:
    """Return the tag of the element that holds such pixels."""
    return _PIXEL_TAGS[description.float_kind]


def pixel_vr(description: PixelDescription) -> str:
    """Return the VR of native pixel data in explicit VR little endian (PS3.5 A.2)."""
    floats = {FloatKind.FLOAT: "OF", FloatKind.DOUBLE: "OD"}
    if description.float_kind:
        return floats[description.float_kind]
    return "OW" if description.bits_allocated > 8 else "OB"


def native_length(description: PixelDescription) -> int:
    """Return the bytes of all native frames, padded to even."""
    n_bytes = (frame_bits(description) * description.n_frames + 7) // 8
    return n_bytes + n_bytes % 2


def swap_words(chunk: bytes, bits_allocated: int, vr: str) -> bytes:
    """Return big-endian pixel data as little endian; `chunk` holds whole units of at most 8 bytes.

    Notes
    -----
    Pixels of 8 bits and less are swapped only where they were packed into words (OW), PS3.5 7.3.
    """
    return elements.swap(chunk, max(bits_allocated // 8, 2 if vr == "OW" else 1))


def native_description(description: PixelDescription) -> PixelDescription:
    """Return the description that the frames from `decompress` have."""
    return replace(
        description,
        photometric_interpretation=decoded_photometric(description),
        planar_configuration=0,
        high_bit=description.bits_stored - 1,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def native_changes(description: PixelDescription) -> dict[str, str | int]:
    """Return the elements of the header that change, by keyword, when its frames are decompressed."""
    changes: dict[str, str | int] = {}
    if description.high_bit != description.bits_stored - 1:
        changes["HighBit"] = description.bits_stored - 1
    if description.samples_per_pixel > 1:
        changes["PhotometricInterpretation"] = decoded_photometric(description)
        changes["PlanarConfiguration"] = 0
    return changes


def decompress(
    frames: Iterable[bytes], description: PixelDescription, decode: Decoder = decode_stored
) -> Iterator[bytes]:
    """Yield the native little-endian pixel data of compressed `frames`, in pieces, padded to an even length.

    Together the pieces have the `native_length` of `native_description`.

    Raises
    ------
    InvalidInstanceError
        A frame cannot be decoded, or there are not as many as the header says.
    """
    n_frames = 0
    rest = np.empty(0, np.uint8)
    for index, data in enumerate(frames):
        frame = decode(data, description, index=index)
        n_frames = index + 1
        if n_frames > description.n_frames:
            break
        if description.bits_allocated == 1:
            piece, rest = _packed(np.concatenate([rest, frame.astype(np.uint8).ravel()]))
            yield piece
        else:
            yield frame.astype(frame.dtype.newbyteorder("<")).tobytes()
    if n_frames != description.n_frames:
        raise InvalidInstanceError("there are not as many frames as NumberOfFrames says")
    n_bytes = (frame_bits(native_description(description)) * n_frames + 7) // 8
    yield np.packbits(rest, bitorder="little").tobytes() + bytes(n_bytes % 2)


def _packed(bits: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    """Return the whole bytes of `bits` and the bits left over: 1-bit frames follow without gaps (PS3.5 8.1.1)."""
    whole = len(bits) - len(bits) % 8
    return np.packbits(bits[:whole], bitorder="little").tobytes(), bits[whole:]


class _Encoder:
    """Encodes one data set and what is nested in it; `header` is the outermost, which says the pixels' sign."""

    def __init__(self, header: Dataset, *, implicit: bool) -> None:
        self._implicit = implicit
        self._is_signed = elements.integer(header, "PixelRepresentation") == 1
        self._header = header

    def encode(self, dataset: Dataset, replaced: Mapping[int, DataElement], *, depth: int) -> bytes:
        if depth > _MAX_DEPTH:
            raise InvalidInstanceError(f"sequences are nested more than {_MAX_DEPTH} deep")
        encoded = []
        for tag in sorted({*map(int, dataset.keys()), *replaced}):
            # group 2 belongs to the file, and group lengths (retired, PS3.5 7.2) would be wrong from here on
            if tag >> 16 <= 2 or not tag & 0xFFFF or tag == _PADDING or (depth == 0 and tag >> 16 == _PIXEL_GROUP):
                continue
            with elements.malformed(f"({tag >> 16:04X},{tag & 0xFFFF:04X})"):
                stored = replaced.get(tag) or dataset.get_item(tag)
                encoded.append(self._element(dataset, tag, stored, depth))
        return b"".join(encoded)

    def _element(self, dataset: Dataset, tag: int, stored: DataElement | RawDataElement, depth: int) -> bytes:
        vr = self._vr(stored, tag)
        if vr == "SQ":
            return self._sequence(dataset[tag].value, tag, depth)
        if not isinstance(stored, RawDataElement):
            return self._converted(stored)
        value = stored.value or b""
        if not stored.is_little_endian:
            value = elements.swap(value, _UNITS.get(vr, 1))
        if len(value) % 2:
            value += b" " if vr in _SPACE_PADDED else b"\0"
        if self._implicit:
            return _implicit_head(tag, len(value)) + value
        if vr not in EXPLICIT_VR_LENGTH_32 and len(value) > _MAX_SHORT_LENGTH:
            vr = "UN"  # PS3.5 6.2.2: what is too long for a 16-bit length
        return _element_head(tag, vr, len(value)) + value

    def _sequence(self, found: object, tag: int, depth: int) -> bytes:
        datasets = found if isinstance(found, Sequence) else ()
        contents = (self.encode(item, {}, depth=depth + 1) for item in datasets)
        value = b"".join(_implicit_head(_ITEM, len(content)) + content for content in contents)
        if not self._implicit:
            return _element_head(tag, "SQ", len(value)) + value
        if tag >> 16 & 1:
            # Without its VR a private sequence is known for one by its undefined length alone (PS3.5 7.5).
            return _implicit_head(tag, _UNDEFINED) + value + _implicit_head(_SEQUENCE_END, 0)
        return _implicit_head(tag, len(value)) + value

    def _converted(self, element: DataElement) -> bytes:
        """Encode an element that somebody has read through pydicom, or made, and that has no bytes of its own."""
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, self._implicit
        charsets = [str(value) for value in elements.values(self._header, "SpecificCharacterSet")]
        write_data_element(file, correct_ambiguous_vr_element(element, self._header, True), charsets or "iso8859")
        return file.getvalue()

    def _vr(self, element: DataElement | RawDataElement, tag: int) -> str:
        if element.VR is not None:
            return element.VR if element.VR in STANDARD_VR or not isinstance(element, RawDataElement) else "UN"
        if tag >> 16 & 1:  # private: only the creators are known for sure (PS3.5 7.8.1)
            return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
        if vr == "US or SS":
            return "SS" if self._is_signed else "US"
        return _AMBIGUOUS.get(vr, vr)


def _element_head(tag: int, vr: str, length: int) -> bytes:
    """Encode tag, VR and length of an element (PS3.5 7.1.2)."""
    form = "<HH2sHL" if vr in EXPLICIT_VR_LENGTH_32 else "<HH2sH"
    reserved = (0,) if vr in EXPLICIT_VR_LENGTH_32 else ()
    return struct.pack(form, tag >> 16, tag & 0xFFFF, vr.encode("ascii"), *reserved, length)


def _implicit_head(tag: int, length: int) -> bytes:
    """Encode tag and length of an item, or of an element without its VR (PS3.5 7.1.3 and 7.5)."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag
