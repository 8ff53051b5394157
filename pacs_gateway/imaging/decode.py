"""One stored frame to an array: the table of transfer syntaxes and the decoders behind it.

Sizes are checked twice: the code stream's own header before a decoder allocates by it, and the array that comes out.
Whatever a codec raises on hostile bytes leaves here as `InvalidInstanceError`.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Protocol

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import codestream, colour, elements
from pacs_gateway.imaging.codestream import Codestream
from pacs_gateway.imaging.pixels import SAMPLES, PixelDescription, frame_bits, frame_length

Frame = NDArray[np.number]


class Decoder(Protocol):
    """What turns one stored frame into an array: a function below, or the guard that runs it elsewhere."""

    def __call__(self, data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
        """Return the frame; see `decode_frame`."""


_Decode = Callable[[bytes, PixelDescription, int], Frame]

# What imagecodecs and zlib raise on bytes they cannot decode; every codec of imagecodecs has its own RuntimeError.
_CODEC_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, OverflowError, zlib.error)


@dataclass(frozen=True, slots=True)
class Codec:
    """How frames of a transfer syntax are decoded."""

    decode: _Decode
    rgb_of: frozenset[str] = frozenset()
    """Photometric interpretations whose colour transform the decoder has undone: they come out as RGB."""
    is_native: bool = False
    """Frames lie in the pixel data as they are, one after the other."""


def codec(transfer_syntax_uid: str) -> Codec:
    """Return how frames of a transfer syntax are decoded.

    Raises
    ------
    UnsupportedSyntaxError
        Its frames cannot be decoded here (video, referenced pixels, unknown).
    """
    try:
        return CODECS[transfer_syntax_uid]
    except KeyError:
        raise UnsupportedSyntaxError("frames of this transfer syntax cannot be decoded") from None


def decode_frame(data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
    """Decode one frame, colour as RGB.

    Parameters
    ----------
    data
        The bytes that contain the frame: for 1-bit pixels whole bytes, the first and last shared with the neighbours;
        for big-endian pixels of up to 8 bits in OW, whole words.
    index
        Number of the frame (0-based); where frames share bytes or words it tells where in `data` this one begins.

    Returns
    -------
    NDArray
        ``(rows, columns)`` or ``(rows, columns, 3)`` of ``description.dtype``; palette indices stay indices.

    Raises
    ------
    InvalidInstanceError
        The bytes are no such frame.
    UnsupportedSyntaxError
        The transfer syntax is not decoded here.
    """
    frame = decode_stored(data, description, index=index)
    photometric = decoded_photometric(description)
    if photometric == "YBR_FULL":
        return colour.ybr_full_to_rgb(frame, description.bits_stored)
    if frame.ndim == 3 and photometric != "RGB":
        raise UnsupportedSyntaxError("this PhotometricInterpretation does not fit the transfer syntax")
    return frame


def decode_stored(data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
    """Decode one frame as `decode_frame` does, colour as in `decoded_photometric`."""
    with codec_errors():
        frame = codec(description.transfer_syntax_uid).decode(data, description, index)
    if frame.shape != description.shape or frame.dtype != description.dtype:
        raise InvalidInstanceError("a decoded frame has another size than the header says")
    return frame


def decode_cells(data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
    """Decode one frame as `decode_stored` does, but with all bits of its pixel cells: overlays may lie in the spare."""
    allocated = description.bits_allocated
    whole = replace(description, bits_stored=allocated, high_bit=allocated - 1, pixel_representation=0)
    return decode_stored(data, whole, index=index)


def decoded_photometric(description: PixelDescription) -> str:
    """Return the photometric interpretation that frames have after `decode_stored`."""
    photometric = description.photometric_interpretation
    if photometric in codec(description.transfer_syntax_uid).rgb_of:
        return "RGB"
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


@contextmanager
def codec_errors() -> Iterator[None]:
    """Turn whatever a codec raises into an `InvalidInstanceError` without the codec's words about the data."""
    try:
        yield
    except _CODEC_ERRORS as error:
        raise InvalidInstanceError(f"a frame cannot be decoded ({type(error).__name__})") from None


def _native(data: bytes, description: PixelDescription, index: int) -> Frame:
    return _from_bit(data, description, index * frame_bits(description) % 8)


def _big_endian(data: bytes, description: PixelDescription, index: int) -> Frame:
    if description.bits_allocated > 8:
        return _samples(data, description, ">")
    if description.vr != "OW":
        return _native(data, description, index)
    # PS3.5 7.3: bytes and bits were packed into 16-bit words, and it is the words that are big endian
    return _from_bit(elements.swap(data, 2), description, index * frame_bits(description) % 16)


def _encapsulated_native(data: bytes, description: PixelDescription, _index: int) -> Frame:
    # PS3.5 A.4.11: every frame is in fragments of its own, so 1-bit frames too begin on a byte border
    return _from_bit(data, description, 0)


def _deflated_frame(data: bytes, description: PixelDescription, index: int) -> Frame:
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, frame_length(description) + 1)
    return _encapsulated_native(inflated, description, index)


def _from_bit(data: bytes, description: PixelDescription, first: int) -> Frame:
    """Decode a little-endian native frame that begins at bit `first` of `data`."""
    if description.bits_allocated > 1:
        return _samples(data[first // 8 :], description, "<")
    n_bits = frame_bits(description)
    if len(data) * 8 < first + n_bits:
        raise InvalidInstanceError("a frame is cut short")
    # PS3.5 8.1.1: the first pixel is in the least significant bit
    packed = np.frombuffer(data, np.uint8, count=(first + n_bits + 7) // 8)
    bits = np.unpackbits(packed, bitorder="little", count=first + n_bits)[first:]
    return bits.reshape(description.shape).astype(description.dtype)


def _samples(data: bytes, description: PixelDescription, order: Literal["<", ">"]) -> Frame:
    if len(data) < frame_length(description):
        raise InvalidInstanceError("a frame is cut short")
    dtype = description.dtype.newbyteorder(order)
    samples = np.frombuffer(data, dtype, count=frame_bits(description) // description.bits_allocated)
    return _masked(_arranged(samples.astype(description.dtype), description), description)


def _arranged(samples: Frame, description: PixelDescription) -> Frame:
    """Return native samples in the shape of the frame (PS3.3 C.7.6.3.1.3)."""
    if description.photometric_interpretation == "YBR_FULL_422":
        if description.planar_configuration or description.columns % 2:
            raise InvalidInstanceError("native YBR_FULL_422 goes by pairs of pixels, not by planes")
        return colour.spread_422(samples, description.rows, description.columns)
    if description.planar_configuration:
        return _interleaved(samples, description)
    return samples.reshape(description.shape)


def _interleaved(planes: Frame, description: PixelDescription) -> Frame:
    shaped = planes.reshape(description.samples_per_pixel, description.rows, description.columns)
    return shaped[0] if description.samples_per_pixel == 1 else np.ascontiguousarray(np.moveaxis(shaped, 0, 2))


def _masked(frame: Frame, description: PixelDescription) -> Frame:
    """Return the frame with the sign in place of the bits that are not stored (old overlays, rubbish; PS3.5 8.1.1)."""
    if description.float_kind or description.bits_stored == description.bits_allocated:
        return frame
    above = description.bits_allocated - 1 - description.high_bit
    return _shifted(frame, above, description.bits_allocated - description.bits_stored)


def _shifted(frame: Frame, left: int, right: int) -> Frame:
    kind = frame.dtype.type
    shifted: Frame = np.right_shift(np.left_shift(frame, kind(left)), kind(right))
    return shifted


def _rle(data: bytes, description: PixelDescription, _index: int) -> Frame:
    # PS3.5 G: the decoder is bounded by the frame's size; samples come plane by plane
    size = int(np.prod(description.shape)) * description.dtype.itemsize
    decoded = imagecodecs.dicomrle_decode(data, description.dtype.newbyteorder("<"), out=size)
    planes = np.frombuffer(decoded, description.dtype.newbyteorder("<")).astype(description.dtype)
    return _masked(_interleaved(planes, description), description)


def _jpeg(data: bytes, description: PixelDescription, _index: int) -> Frame:
    stream = codestream.read_jpeg(data)
    _check_stream(stream, description)
    if stream.samples == 1:
        return _reinterpreted(imagecodecs.jpeg8_decode(data), stream.precision, description)
    source = "RGB" if _is_jpeg_rgb(stream, description) else "YCBCR"
    decoded = imagecodecs.jpeg8_decode(data, colorspace=source, outcolorspace="RGB")
    return _reinterpreted(decoded, stream.precision, description)


def _is_jpeg_rgb(stream: Codestream, description: PixelDescription) -> bool:
    """Return whether the components are RGB: the code stream's own word first, the header's last."""
    if stream.adobe_transform is not None:
        return stream.adobe_transform == 0
    if stream.is_jfif:
        return False
    return stream.component_ids.upper() == b"RGB" or description.photometric_interpretation == "RGB"


def _jpeg_lossless(data: bytes, description: PixelDescription, _index: int) -> Frame:
    stream = codestream.read_jpeg(data)
    _check_stream(stream, description)
    # lossless means no colour transform: naming the same space twice turns the decoder's own guess off
    space = "RGB" if stream.samples == 3 else None
    decoded = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)
    return _reinterpreted(decoded, stream.precision, description)


def _jpeg_ls(data: bytes, description: PixelDescription, _index: int) -> Frame:
    stream = codestream.read_jpeg(data)
    _check_stream(stream, description)
    decoded = imagecodecs.jpegls_decode(data)
    if decoded.shape != description.shape:  # interleave mode none (T.87 C.2.3) comes plane by plane
        decoded = _interleaved(decoded, description)
    return _reinterpreted(decoded, stream.precision, description)


def _jpeg2000(data: bytes, description: PixelDescription, _index: int) -> Frame:
    # OpenJPEG for HTJ2K too: OpenJPH was seen to loop without end on damaged frames, and to fill cut ones silently
    stream = codestream.read_jpeg2000(data)
    _check_stream(stream, description)
    return _reinterpreted(imagecodecs.jpeg2k_decode(data), stream.precision, description)


def _jpeg_xl(data: bytes, description: PixelDescription, _index: int) -> Frame:
    _check_stream(codestream.read_jpeg_xl(data), description)
    # rotation is the header's matter, and of an animation's frames only the first is decoded
    decoded = imagecodecs.jpegxl_decode(data, index=0, keeporientation=True)
    return _reinterpreted(decoded, description.bits_stored, description)


def _check_stream(stream: Codestream, description: PixelDescription) -> None:
    size = (stream.rows, stream.columns, stream.samples or description.samples_per_pixel)
    if size != (description.rows, description.columns, description.samples_per_pixel):
        raise InvalidInstanceError("a compressed frame has another size than the header says")
    if stream.precision > description.bits_allocated:
        raise InvalidInstanceError("a compressed frame has more bits than the header says")


def _reinterpreted(frame: Frame, precision: int, description: PixelDescription) -> Frame:
    """Return decoded samples as the header's type: the lowest `precision` bits, signed as it says.

    JPEG and JPEG-LS carry no sign, and JPEG 2000 streams exist whose sign differs from the header's: the bits are
    right all the same (PS3.5 8.2).
    """
    if frame.dtype.kind not in "iu" or description.float_kind:
        raise InvalidInstanceError("a compressed frame is not of integers")
    spare = 8 * description.dtype.itemsize - precision
    same_bits = frame.astype(description.dtype)
    return same_bits if spare <= 0 else _shifted(same_bits, spare, spare)


_ICT_RCT = frozenset({"YBR_ICT", "YBR_RCT"})
_LOSSY_JPEG = frozenset({"YBR_FULL", "YBR_FULL_422"})
_XL = frozenset(SAMPLES) - {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        uid.ImplicitVRLittleEndian: Codec(_native, is_native=True),
        uid.ExplicitVRLittleEndian: Codec(_native, is_native=True),
        uid.DeflatedExplicitVRLittleEndian: Codec(_native, is_native=True),
        uid.ExplicitVRBigEndian: Codec(_big_endian, is_native=True),
        "1.2.840.10008.1.2.1.98": Codec(_encapsulated_native),
        "1.2.840.10008.1.2.8.1": Codec(_deflated_frame),
        uid.RLELossless: Codec(_rle),
        uid.JPEGBaseline8Bit: Codec(_jpeg, _LOSSY_JPEG),
        uid.JPEGExtended12Bit: Codec(_jpeg, _LOSSY_JPEG),
        uid.JPEGLossless: Codec(_jpeg_lossless),
        uid.JPEGLosslessSV1: Codec(_jpeg_lossless),
        uid.JPEGLSLossless: Codec(_jpeg_ls),
        uid.JPEGLSNearLossless: Codec(_jpeg_ls),
        uid.JPEG2000Lossless: Codec(_jpeg2000, _ICT_RCT),
        uid.JPEG2000: Codec(_jpeg2000, _ICT_RCT),
        uid.HTJ2KLossless: Codec(_jpeg2000, _ICT_RCT),
        uid.HTJ2KLosslessRPCL: Codec(_jpeg2000, _ICT_RCT),
        uid.HTJ2K: Codec(_jpeg2000, _ICT_RCT),
        "1.2.840.10008.1.2.4.110": Codec(_jpeg_xl, _XL),
        "1.2.840.10008.1.2.4.111": Codec(_jpeg_xl, _XL),
        "1.2.840.10008.1.2.4.112": Codec(_jpeg_xl, _XL),
    }
)
"""Transfer syntax -> decoder of its frames (PS3.5 10 and Annex A, PS3.6 Annex A)."""
