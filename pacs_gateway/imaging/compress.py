"""One frame of pixels to a losslessly compressed one: the table of transfer syntaxes and the encoders behind it.

Only what can be undone exactly is here, and every frame is decoded again and compared before it is believed: these are
the bytes of a medical image. Which pixels a syntax can carry is the standard's choice (PS3.5 8.2), narrowed to what its
encoder was proven to keep.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import imagecodecs
import numpy as np
import rle
from numpy.typing import NDArray
from pydicom import uid

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.decode import Frame, codec_errors, decode_stored, decoded_photometric
from pacs_gateway.imaging.pixels import PixelDescription

_Encode = Callable[[Frame, PixelDescription], bytes]

_ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"

_GREY = MappingProxyType({name: name for name in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")})
_KEPT: Mapping[str, str] = MappingProxyType({**_GREY, "RGB": "RGB", "YBR_FULL": "YBR_FULL"})
# The reversible transform of the components is part of the code stream, and told (PS3.5 8.2.4).
_TRANSFORMED: Mapping[str, str] = MappingProxyType({**_KEPT, "RGB": "YBR_RCT"})
# Without its own word for YBR_FULL the code stream would say RGB.
_RGB: Mapping[str, str] = MappingProxyType({**_GREY, "RGB": "RGB"})
_SIZ_PRECISION, _SIZ_COMPONENT_BYTES, _SIZ_SIGNED = 42, 3, 0x80


@dataclass(frozen=True, slots=True)
class Encoder:
    """How frames are put into a transfer syntax, and which."""

    encode: _Encode
    photometric: Mapping[str, str]
    """Photometric interpretation of what comes in -> of what goes out."""
    bits_allocated: frozenset[int] = frozenset({8, 16})
    takes_signed: bool = True
    planar_configuration: int = 0


def encoder(description: PixelDescription, transfer_syntax_uid: str) -> Encoder:
    """Return what puts such pixels into a transfer syntax.

    Raises
    ------
    UnsupportedSyntaxError
        They cannot be, without loss.
    """
    found = ENCODERS.get(transfer_syntax_uid)
    if found is None:
        raise UnsupportedSyntaxError("frames are not compressed into this transfer syntax")
    is_kept = (
        description.float_kind is None
        and description.bits_allocated in found.bits_allocated
        and (found.takes_signed or not description.pixel_representation)
        and decoded_photometric(description) in found.photometric
    )
    if not is_kept:
        raise UnsupportedSyntaxError("pixels of this kind cannot be put into that transfer syntax without loss")
    return found


def encoded_description(description: PixelDescription, transfer_syntax_uid: str) -> PixelDescription:
    """Return the description of frames of `description` once they are encoded; errors as `encoder`."""
    found = encoder(description, transfer_syntax_uid)
    is_colour = description.samples_per_pixel > 1
    return replace(
        description,
        photometric_interpretation=found.photometric[decoded_photometric(description)],
        planar_configuration=found.planar_configuration if is_colour else 0,
        high_bit=description.bits_stored - 1,
        transfer_syntax_uid=transfer_syntax_uid,
        vr="OB",
    )


def encode_frame(frame: Frame, encoded: PixelDescription) -> bytes:
    """Encode one frame, which is then known to decode to the same pixels.

    Parameters
    ----------
    frame
        As ``decode_stored`` returns it.
    encoded
        As `encoded_description` gives it: what the frame is to become.

    Raises
    ------
    InvalidInstanceError
        What came out would not be the same picture.
    """
    with codec_errors():
        data = ENCODERS[encoded.transfer_syntax_uid].encode(frame, encoded)
    if not np.array_equal(decode_stored(data, encoded), frame):
        raise InvalidInstanceError("a frame did not survive its compression")
    return data


def _little_endian(frame: Frame) -> bytes:
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


def _uncompressed(frame: Frame, encoded: PixelDescription) -> bytes:
    if encoded.bits_allocated == 1:
        return np.packbits(frame.ravel().astype(np.uint8), bitorder="little").tobytes()
    return _little_endian(frame)


def _deflated(frame: Frame, encoded: PixelDescription) -> bytes:
    deflater = zlib.compressobj(level=6, wbits=-zlib.MAX_WBITS)
    return deflater.compress(_uncompressed(frame, encoded)) + deflater.flush()


def _run_length(frame: Frame, encoded: PixelDescription) -> bytes:
    encoded_frame: bytes = rle.rle.encode_frame(
        _little_endian(frame), encoded.rows, encoded.columns, encoded.samples_per_pixel, encoded.bits_allocated, "<"
    )
    return encoded_frame


def _unsigned(frame: Frame) -> NDArray[np.unsignedinteger]:
    """Return the same bits without their sign, for what knows none; negative numbers fill the whole word."""
    return np.ascontiguousarray(frame).view(f"u{frame.dtype.itemsize}")


def _jpeg_lossless(frame: Frame, encoded: PixelDescription) -> bytes:
    word = 8 * frame.dtype.itemsize
    # A word wider than a byte is told from a byte by its precision; two bits are the least there is (T.81 B.2.2).
    precision = word if encoded.pixel_representation else max(encoded.bits_stored, 2 if word == 8 else 9)
    space = "RGB" if encoded.samples_per_pixel == 3 else None
    return bytes(
        imagecodecs.jpeg8_encode(
            _unsigned(frame), lossless=True, predictor=1, bitspersample=precision, colorspace=space, outcolorspace=space
        )
    )


def _jpeg_ls(frame: Frame, _encoded: PixelDescription) -> bytes:
    return bytes(imagecodecs.jpegls_encode(_unsigned(frame), level=0))


def _jpeg2000(frame: Frame, encoded: PixelDescription) -> bytes:
    is_transformed = encoded.photometric_interpretation == "YBR_RCT"
    return bytes(
        imagecodecs.jpeg2k_encode(
            frame, reversible=True, codecformat="J2K", bitspersample=encoded.bits_stored, mct=is_transformed
        )
    )


def _high_throughput(frame: Frame, encoded: PixelDescription) -> bytes:
    """Encode as HTJ2K, by resolution (RPCL) and with the lengths of tile-parts in front: what .202 adds to .201."""
    bits, word = encoded.bits_stored, 8 * frame.dtype.itemsize
    samples, is_narrow = frame, bits < word
    if is_narrow and not encoded.pixel_representation:
        # The encoder knows no precision but the word's. The shift that it would make by the word's (T.800 G.1.2) is
        # made here by the true one, and the true one written over what it says.
        samples = (frame.astype(np.int32) - (1 << (bits - 1))).astype(f"i{frame.dtype.itemsize}")
    is_transformed = encoded.photometric_interpretation == "YBR_RCT"
    data = bytearray(imagecodecs.htj2k_encode(samples, reversible=True, rgb=is_transformed, tlm=True))
    if is_narrow:
        precision = (_SIZ_SIGNED if encoded.pixel_representation else 0) | (bits - 1)
        for component in range(encoded.samples_per_pixel):
            data[_SIZ_PRECISION + component * _SIZ_COMPONENT_BYTES] = precision
    return bytes(data)


def _jpeg_xl(frame: Frame, encoded: PixelDescription) -> bytes:
    # It takes a byte's precision for bytes only.
    samples = frame.astype(np.uint8) if encoded.bits_stored <= 8 else frame
    return bytes(
        imagecodecs.jpegxl_encode(
            samples, lossless=True, bitspersample=encoded.bits_stored, usecontainer=False, numthreads=1
        )
    )


ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        # PS3.5 A.4.11
        _ENCAPSULATED_UNCOMPRESSED: Encoder(_uncompressed, _KEPT, frozenset({1, 8, 16, 32})),
        # PS3.5 8.2.16 and A.4.13: made for segmentations
        _DEFLATED_FRAMES: Encoder(_deflated, _GREY, frozenset({1, 8, 16})),
        # PS3.5 8.2.2, A.4.2 and Annex G
        uid.RLELossless: Encoder(_run_length, _KEPT, frozenset({8, 16, 32}), planar_configuration=1),
        # PS3.5 8.2.1 and A.4.1: process 14 with the first predictor
        uid.JPEGLosslessSV1: Encoder(_jpeg_lossless, _KEPT),
        # PS3.5 8.2.3 and A.4.3
        uid.JPEGLSLossless: Encoder(_jpeg_ls, _KEPT),
        # PS3.5 8.2.4 and A.4.4
        uid.JPEG2000Lossless: Encoder(_jpeg2000, _TRANSFORMED),
        # DICOM Supplement 235
        uid.HTJ2KLossless: Encoder(_high_throughput, _TRANSFORMED),
        uid.HTJ2KLosslessRPCL: Encoder(_high_throughput, _TRANSFORMED),
        # PS3.5 A.4.12
        _JPEG_XL_LOSSLESS: Encoder(_jpeg_xl, _RGB, takes_signed=False),
    }
)
"""Transfer syntax -> encoder of its frames; lossy ones are not made here, whatever is asked."""
