"""What a header says about its pixels, checked once: after this, sizes and types can be believed.

Every later step (decode, display, transcode) takes the `PixelDescription` made here and not the header's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import elements

MAX_FRAME_BYTES = 512 * 2**20
"""Largest decoded frame that is worked on; stored bytes are kept whatever they claim."""


class FloatKind(StrEnum):
    """The element that holds floating point pixels (PS3.3 C.7.6.24)."""

    FLOAT = "FloatPixelData"
    DOUBLE = "DoubleFloatPixelData"


# PS3.3 C.7.6.3.1.2: photometric interpretation -> samples per pixel; the retired ones are not shown.
SAMPLES: Mapping[str, int] = MappingProxyType(
    {
        "MONOCHROME1": 1,
        "MONOCHROME2": 1,
        "PALETTE COLOR": 1,
        "RGB": 3,
        "YBR_FULL": 3,
        "YBR_FULL_422": 3,
        "YBR_PARTIAL_420": 3,
        "YBR_ICT": 3,
        "YBR_RCT": 3,
        "XYB": 3,
    }
)
_BITS_ALLOCATED = frozenset({1, 8, 16, 32, 64})
_FLOAT_KINDS: Mapping[int, FloatKind] = MappingProxyType({32: FloatKind.FLOAT, 64: FloatKind.DOUBLE})


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The image pixel module of one object (PS3.3 C.7.6.3), consistent in itself."""

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    n_frames: int
    float_kind: FloatKind | None
    transfer_syntax_uid: str
    vr: str = ""
    """VR of the pixel data element where known; only in big endian does it matter (8-bit OW is swapped, OB not)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one decoded frame: (rows, columns) or (rows, columns, 3)."""
        plane = (self.rows, self.columns)
        return plane if self.samples_per_pixel == 1 else (*plane, self.samples_per_pixel)

    @property
    def dtype(self) -> np.dtype[np.number]:
        """Type of one decoded sample, in this machine's byte order; a bit becomes a byte."""
        size = max(self.bits_allocated // 8, 1)
        kind = "f" if self.float_kind else "ui"[self.pixel_representation]
        return np.dtype(f"{kind}{size}")


def describe_pixels(header: Dataset, transfer_syntax_uid: str, *, vr: str = "") -> PixelDescription:
    """Describe and check the pixels of an object from the elements before its pixel data.

    Parameters
    ----------
    header
        As read with ``stop_before_pixels``.
    transfer_syntax_uid
        In which the pixel data is encoded.
    vr
        VR of the pixel data element, where the caller knows it.

    Raises
    ------
    InvalidInstanceError
        An attribute is missing, malformed or contradicts another, or a frame would be too large to work on.
    UnsupportedSyntaxError
        The pixels are of a kind that cannot be shown (a retired colour space, more than three samples).
    """
    samples, photometric = _colour(header)
    allocated = _within(header, "BitsAllocated", 1, 64)
    if allocated not in _BITS_ALLOCATED:
        raise UnsupportedSyntaxError(f"BitsAllocated {allocated} is not supported")
    float_kind = _float_kind(header, allocated)
    stored = _within(header, "BitsStored", 1, allocated, default=allocated)
    description = PixelDescription(
        rows=_within(header, "Rows", 1, 0xFFFF),
        columns=_within(header, "Columns", 1, 0xFFFF),
        samples_per_pixel=samples,
        photometric_interpretation=photometric,
        planar_configuration=_within(header, "PlanarConfiguration", 0, 1, default=0) if samples > 1 else 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=_within(header, "HighBit", stored - 1, allocated - 1, default=stored - 1),
        pixel_representation=_within(header, "PixelRepresentation", 0, 1, default=0),
        # Type 1 where it applies, yet 0 and empty come from real devices and mean one frame.
        n_frames=_within(header, "NumberOfFrames", 0, 2**31 - 1, default=1) or 1,
        float_kind=float_kind,
        transfer_syntax_uid=transfer_syntax_uid,
        vr=vr,
    )
    _check(description)
    return description


def frame_bits(description: PixelDescription) -> int:
    """Return how many bits one native frame takes in the pixel data (PS3.5 8.1 and 8.2).

    Native frames follow each other without gaps: 1-bit frames may begin inside a byte.
    """
    pixels = description.rows * description.columns
    # PS3.3 C.7.6.3.1.2: two pixels share their Cb and Cr: 4 samples for 2 pixels
    samples = 2 if description.photometric_interpretation == "YBR_FULL_422" else description.samples_per_pixel
    return pixels * samples * description.bits_allocated


def frame_length(description: PixelDescription) -> int:
    """Return the bytes of one native frame that begins on a byte border."""
    return (frame_bits(description) + 7) // 8


def _colour(header: Dataset) -> tuple[int, str]:
    photometric = elements.text(header, "PhotometricInterpretation")
    if not photometric:
        raise InvalidInstanceError("PhotometricInterpretation is missing")
    samples = _within(header, "SamplesPerPixel", 1, 0xFFFF)
    expected = SAMPLES.get(photometric)
    if expected is None:
        raise UnsupportedSyntaxError("this PhotometricInterpretation is not supported")
    if samples != expected:
        raise InvalidInstanceError(f"SamplesPerPixel {samples} does not fit the PhotometricInterpretation")
    return samples, photometric


def _float_kind(header: Dataset, allocated: int) -> FloatKind | None:
    # PS3.3 C.7.6.24: floating point images have neither of these two; all others have both (C.7.6.3).
    is_integer = any(elements.values(header, keyword) for keyword in ("BitsStored", "PixelRepresentation"))
    return None if is_integer else _FLOAT_KINDS.get(allocated)


def _check(description: PixelDescription) -> None:
    pixels = description.rows * description.columns * description.samples_per_pixel
    if pixels * description.dtype.itemsize > MAX_FRAME_BYTES:
        raise InvalidInstanceError(f"a frame would take more than {MAX_FRAME_BYTES} bytes")
    if description.bits_allocated == 1 and description.samples_per_pixel != 1:
        raise UnsupportedSyntaxError("1-bit colour is not supported")
    if description.float_kind and description.photometric_interpretation != "MONOCHROME2":
        raise InvalidInstanceError("floating point pixels are MONOCHROME2 only")


def _within(header: Dataset, keyword: str, low: int, high: int, *, default: int | None = None) -> int:
    value = elements.integer(header, keyword)
    if value is None:
        value = default
    if value is None:
        raise InvalidInstanceError(f"{keyword} is missing")
    if not low <= value <= high:
        raise InvalidInstanceError(f"{keyword} is not in {low}..{high}")
    return value
