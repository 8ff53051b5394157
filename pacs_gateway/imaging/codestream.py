"""What a compressed frame says about itself, read before a decoder allocates anything for it.

Only the first marker segments are read: size, samples, precision and, for JPEG, what tells the colour space.
"""

import struct
from dataclasses import dataclass

from pacs_gateway.errors import InvalidInstanceError

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOS, _APP0, _APP14 = 0xDA, 0xE0, 0xEE
# ITU-T T.81 Table B.1: start of frame markers are C0..CF without DHT (C4), JPG (C8) and DAC (CC); F7 is T.87's.
_SOF = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_JXL_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of one compressed frame."""

    rows: int
    columns: int
    samples: int
    """0 where the header does not say it cheaply (JPEG XL)."""
    precision: int
    """Bits per sample; 0 where the header does not say it cheaply."""
    component_ids: bytes = b""
    is_jfif: bool = False
    adobe_transform: int | None = None
    """Colour transform of an Adobe APP14 segment: 0 none, 1 YCbCr."""


def read_jpeg(data: bytes) -> Codestream:
    """Read the header of a JPEG or JPEG-LS frame (ITU-T T.81 Annex B, T.87 Annex C).

    Raises
    ------
    InvalidInstanceError
        It is none, or its end is missing.
    """
    if data[:2] != _SOI or data.rfind(_EOI) < 0:
        raise InvalidInstanceError("a JPEG frame is not complete")
    is_jfif, adobe = False, None
    position = 2
    while True:
        code, segment, position = _segment(data, position)
        if code == _APP0 and segment[:4] == b"JFIF":
            is_jfif = True
        elif code == _APP14 and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe = segment[11]
        elif code in _SOF:
            return _start_of_frame(segment, is_jfif=is_jfif, adobe=adobe)
        elif code == _SOS:
            raise InvalidInstanceError("a JPEG frame has no start of frame")


def read_jpeg2000(data: bytes) -> Codestream:
    """Read the header of a JPEG 2000 or HTJ2K frame, bare or in a JP2 file (ITU-T T.800 A.5.1 and I.5).

    Raises
    ------
    InvalidInstanceError
        It is none.
    """
    stream = _boxed(data, b"jP  ", (b"jp2c",))
    if stream[:4] != _SOC_SIZ or len(stream) < 43:
        raise InvalidInstanceError("a JPEG 2000 frame has no image size")
    x1, y1, x0, y0 = struct.unpack(">4I", stream[8:24])
    (samples,) = struct.unpack(">H", stream[40:42])
    return Codestream(y1 - y0, x1 - x0, samples, (stream[42] & 0x7F) + 1)


def read_jpeg_xl(data: bytes) -> Codestream:
    """Read the size of a JPEG XL frame, bare or in boxes (ISO/IEC 18181-1 D.2, 18181-2).

    Raises
    ------
    InvalidInstanceError
        It is none.
    """
    stream = _boxed(data, b"JXL ", (b"jxlc", b"jxlp"))
    if stream[:2] != b"\xff\x0a":
        raise InvalidInstanceError("a JPEG XL frame has no image size")
    bits = _Bits(stream[2:16])
    is_small = bits.take(1)
    rows = _jxl_length(bits, is_small)
    ratio = _JXL_RATIOS[bits.take(3)]
    columns = rows * ratio[0] // ratio[1] if ratio else _jxl_length(bits, is_small)
    return Codestream(rows, columns, 0, 0)


def _segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Return the code and content of the marker segment at `position`, and where the next one begins."""
    while data[position : position + 2] == b"\xff\xff":  # fill bytes (T.81 B.1.1.2)
        position += 1
    if len(data) < position + 4 or data[position] != 0xFF:
        raise InvalidInstanceError("a JPEG frame has no start of frame")
    length = int.from_bytes(data[position + 2 : position + 4])
    return data[position + 1], data[position + 4 : position + 2 + length], position + 2 + max(length, 2)


def _start_of_frame(segment: bytes, *, is_jfif: bool, adobe: int | None) -> Codestream:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise InvalidInstanceError("a JPEG start of frame is cut short")
    precision, rows, columns, samples = struct.unpack(">BHHB", segment[:6])
    ids = segment[6 : 6 + 3 * samples : 3]
    return Codestream(rows, columns, samples, precision, ids, is_jfif, adobe)


def _boxed(data: bytes, signature: bytes, wanted: tuple[bytes, ...]) -> bytes:
    """Return the start of the code stream inside a box file; `data` itself when it is no box file."""
    if data[4:8] != signature:
        return data[:64]
    position = 0
    while len(data) >= position + 8:
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        content = position + 8
        if length == 1:  # the length follows as 64 bits
            length = int.from_bytes(data[content : content + 8])
            content += 8
        if kind in wanted:
            content += 4 if kind == b"jxlp" else 0  # its index
            return data[content : content + 64]
        if length < 8:
            break
        position += length
    raise InvalidInstanceError("a boxed frame has no code stream")


class _Bits:
    """Bits of a JPEG XL header, least significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _jxl_length(bits: _Bits, is_small: int) -> int:
    if is_small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1
