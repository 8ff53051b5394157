"""One image in every transfer syntax that is stored: real codestreams where a codec is at hand, else bytes alike."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacs_gateway.dimse.negotiation import STORED_SYNTAXES
from tests.support.builders import N_COLUMNS, N_ROWS, Identity, encapsulated, encode, image, pixels, rle
from tests.support.synthetic_ct import new_uid

Frame = NDArray[np.uint16]
_JPEG_XL_LOSSLESS, _JPEG_XL = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.112"
_ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
_DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
_GE_BIG_PIXELS = "1.2.840.113619.5.2"
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
# The pixels stay with a JPIP server (PS3.5 A.6, A.13).
_REFERENCED = ("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.204")


def _jpeg2000(frame: Frame) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True))


def _htj2k(frame: Frame) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True))


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)


_LOSSLESS: Mapping[str, Callable[[Frame], bytes]] = {
    _ENCAPSULATED_UNCOMPRESSED: lambda frame: frame.tobytes(),
    _DEFLATED_FRAME: lambda frame: _deflated(frame.tobytes()),
    JPEGLossless: lambda frame: bytes(imagecodecs.ljpeg_encode(frame)),
    JPEGLosslessSV1: lambda frame: bytes(imagecodecs.ljpeg_encode(frame)),
    JPEGLSLossless: lambda frame: bytes(imagecodecs.jpegls_encode(frame, level=0)),
    JPEG2000Lossless: _jpeg2000,
    JPEG2000: _jpeg2000,
    HTJ2KLossless: _htj2k,
    HTJ2KLosslessRPCL: _htj2k,
    HTJ2K: _htj2k,
    _JPEG_XL_LOSSLESS: lambda frame: bytes(imagecodecs.jpegxl_encode(frame, lossless=True)),
    _JPEG_XL: lambda frame: bytes(imagecodecs.jpegxl_encode(frame, lossless=True)),
    JPEGLSNearLossless: lambda frame: bytes(imagecodecs.jpegls_encode(frame, level=0)),
}
"""What decodes to the very pixels: in some of these a stream may, and need not, lose something."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object in one transfer syntax."""

    transfer_syntax_uid: str
    study_uid: str
    sop_uid: str
    data_set: bytes
    pixels: bytes | None
    """As they are without loss, in little endian; None where no decoder gives them back."""

    @property
    def name(self) -> str:
        return UID(self.transfer_syntax_uid).name


def every_syntax() -> list[Encoded]:
    """Return one study of one image in each transfer syntax, all under UIDs nobody had before."""
    study_uid = new_uid()
    return [_encoded(syntax, number, study_uid) for number, syntax in enumerate(STORED_SYNTAXES, start=1)]


def _encoded(syntax: str, number: int, study_uid: str) -> Encoded:
    extra = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": f"{study_uid}.1"}
    identity = Identity(instance=number, sop_uid=f"{study_uid}.1.{number}", extra=extra)
    data_set, shown = _in_syntax(syntax, identity)
    return Encoded(syntax, study_uid, identity.sop_uid, data_set, shown)


def _in_syntax(syntax: str, identity: Identity) -> tuple[bytes, bytes | None]:
    """Return a data set in a transfer syntax, and its pixels if they come back from it."""
    (frame,) = pixels(identity.instance)
    shown = frame.tobytes()
    if syntax in _NATIVE:
        return encode(image(identity), syntax), shown
    if syntax == _GE_BIG_PIXELS:
        return encode(image(identity), ImplicitVRLittleEndian), None
    if syntax in _REFERENCED:
        return encode(_referenced(identity), ExplicitVRLittleEndian), None
    if syntax == RLELossless:
        return encode(rle(identity), syntax), shown
    if syntax == JPEGBaseline8Bit:
        return encode(_baseline(identity), syntax), None
    stream = _LOSSLESS[syntax](frame) if syntax in _LOSSLESS else b"a stream of bytes that is only kept"
    return encode(encapsulated(image(identity), [stream]), syntax), shown if syntax in _LOSSLESS else None


def _referenced(identity: Identity) -> Dataset:
    ds = image(identity)
    del ds.PixelData
    ds.PixelDataProviderURL = "http://127.0.0.1:9/jpip"
    return ds


def _baseline(identity: Identity) -> Dataset:
    ds = image(identity)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    frame = (pixels(identity.instance)[0] >> 4).astype(np.uint8)
    assert frame.shape == (N_ROWS, N_COLUMNS)
    return encapsulated(ds, [bytes(imagecodecs.jpeg8_encode(frame, level=90))])
