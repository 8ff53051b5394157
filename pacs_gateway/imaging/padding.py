"""Which stored values are background and no part of the picture (PS3.3 C.7.5.1.1.2, C.7.6.24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.imaging import elements

# Type of the pixels -> padding value and limit of its range; floating point pixels have attributes of their own
_KEYWORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "<f4": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
        "<f8": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
    }
)
_INTEGERS = ("PixelPaddingValue", "PixelPaddingRangeLimit")


@dataclass(frozen=True, slots=True)
class Padding:
    """A range of stored values, both ends included."""

    low: float
    high: float

    def covers(self, stored: NDArray[np.number]) -> NDArray[np.bool_]:
        """Return which of `stored` are padding."""
        return (stored >= self.low) & (stored <= self.high)


def padding(frame: NDArray[np.number], header: Dataset) -> Padding | None:
    """Return the padding of a decoded frame; None where the object says none, or where nothing else would be left."""
    stated = _stated(header, frame.dtype)
    return None if stated is None or stated.covers(frame).all() else stated


def _stated(header: Dataset, dtype: np.dtype[np.number]) -> Padding | None:
    value, limit = _KEYWORDS.get(dtype.newbyteorder("<").str, _INTEGERS)
    if dtype.kind == "f":
        # compared as the pixels are stored: a limit of 64 bits would otherwise lie beside pixels of 32
        ends = np.array((*elements.numbers(header, value)[:1], *elements.numbers(header, limit)[:1])).astype(dtype)
        return Padding(float(ends.min()), float(ends.max())) if elements.values(header, value) else None
    first, last = elements.integer(header, value), elements.integer(header, limit)
    if first is None:
        return None
    # the VR may be US where the pixels are signed: it is the bits that count
    bits = np.array([first, first if last is None else last], np.int64).astype(dtype)
    return Padding(int(bits.min()), int(bits.max()))
