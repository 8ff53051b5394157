"""Compressed forms of sample objects: encoding of the frames and their encapsulation (PS3.5 A.4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from sample_dicom.dataset import code

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]


class Offsets(Enum):
    """How a reader finds the frames among the fragments."""

    NONE = "empty Basic Offset Table"
    BASIC = "Basic Offset Table"
    EXTENDED = "Extended Offset Table"


@dataclass(frozen=True, slots=True)
class Codec:
    """How one lossless transfer syntax is made."""

    encode: Callable[[Pixels], bytes]
    bits_stored: int
    """Precision in the codestream, which the data set must repeat (PS3.5 8.2)."""
    offsets: Offsets


def _rle(frame: Pixels) -> bytes:
    """Return one frame in DICOM's run length encoding (PS3.5 Annex G)."""
    samples = 1 if frame.ndim == 2 else frame.shape[2]
    return get_encoder(RLELossless).encode(
        np.ascontiguousarray(frame),
        encoding_plugin="pydicom",
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples_per_pixel=samples,
        photometric_interpretation="MONOCHROME2" if samples == 1 else "RGB",
        bits_allocated=frame.dtype.itemsize * 8,
        bits_stored=frame.dtype.itemsize * 8,
        pixel_representation=int(frame.dtype.kind == "i"),
        number_of_frames=1,
        planar_configuration=0,
    )


def _jpeg2000(frame: Pixels) -> bytes:
    """Return one frame as a reversible JPEG 2000 codestream of 12 bits."""
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True, bitspersample=12))


def _jpeg_ls(frame: Pixels) -> bytes:
    """Return one frame as a lossless JPEG-LS stream of 16 bits."""
    return bytes(imagecodecs.jpegls_encode(frame, level=0))


def _htj2k(frame: Pixels) -> bytes:
    """Return one frame as a reversible HTJ2K codestream of 16 bits."""
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True))


LOSSLESS: Mapping[UID, Codec] = MappingProxyType(
    {
        RLELossless: Codec(_rle, 12, Offsets.BASIC),
        JPEG2000Lossless: Codec(_jpeg2000, 12, Offsets.BASIC),
        JPEGLSLossless: Codec(_jpeg_ls, 16, Offsets.NONE),
        HTJ2KLossless: Codec(_htj2k, 16, Offsets.EXTENDED),
    }
)


def compress(ds: Dataset, frames: Pixels, transfer_syntax: UID) -> None:
    """Replace the pixel data by the losslessly compressed frames, shape (frames, rows, columns[, samples])."""
    codec = LOSSLESS[transfer_syntax]
    ds.BitsStored, ds.HighBit = codec.bits_stored, codec.bits_stored - 1
    _encapsulate(ds, [codec.encode(frame) for frame in frames], codec.offsets)


def compress_lossy(ds: Dataset, frames: NDArray[np.uint8], quality: int) -> None:
    """Replace RGB pixel data by JPEG baseline frames with halved colour columns (PS3.3 C.7.6.1.1.5)."""
    encoded = [
        bytes(
            imagecodecs.jpeg8_encode(frame, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="422")
        )
        for frame in frames
    ]
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_FULL_422", 0
    ds.ImageType = ["DERIVED", *list(ds.ImageType)[1:]]
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, encoded)):.2f}"
    ds.DerivationDescription = f"{JPEGBaseline8Bit.name}, quality {quality}"[:64]
    ds.DerivationCodeSequence = [code("113040", "DCM", "Lossy Compression")]
    _encapsulate(ds, encoded, Offsets.BASIC)


def _encapsulate(ds: Dataset, encoded: list[bytes], offsets: Offsets) -> None:
    """Set the pixel data from encoded frames, one fragment each."""
    if offsets is Offsets.EXTENDED:
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(encoded)
    else:
        ds.PixelData = encapsulate(encoded, has_bot=offsets is Offsets.BASIC)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
