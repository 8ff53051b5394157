"""The window for an image that asks for none: the range of most of its values, padding left out."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.imaging import elements
from pacs_gateway.imaging.window import Values, VoiFunction, Window

_LOWEST, _HIGHEST = 0.01, 0.99
_MAX_RANGE = 2**16
_BLOCK_PIXELS = 2**20


def spread(frame: NDArray[np.number], header: Dataset, modality: Callable[[Values], Values]) -> Window:
    """Return the window from the 1st to the 99th percentile of the pixels of `frame` that are not padding.

    Parameters
    ----------
    modality
        From stored values to those that the window is applied to.
    """
    stored, counts = _distinct(frame)
    shown = _is_shown(stored, header, frame.dtype)
    with np.errstate(over="ignore"):
        values = modality(stored[shown])
    order = np.argsort(values)
    values, last = values[order], np.cumsum(counts[shown][order])
    low, high = (_quantile(values, last, share) for share in (_LOWEST, _HIGHEST))
    if low >= high or elements.integer(header, "BitsAllocated") == 1:
        low, high = float(values[0]), float(values[-1])
    if low >= high:  # one value only: black up to 0, else white
        low, high = (0.0, low) if low > 0 else (low, low + max(1.0, abs(low)))
    return Window(low / 2 + high / 2, high - low, VoiFunction.LINEAR_EXACT)


def offsets(frame: NDArray[np.number], low: int) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yield blocks of rows of an integer frame as what lies above `low`: whole frames would take 8 bytes a pixel."""
    n_rows = max(_BLOCK_PIXELS // frame.shape[1], 1)
    for start in range(0, frame.shape[0], n_rows):
        rows = slice(start, start + n_rows)
        yield rows, frame[rows].astype(np.intp) - low


def value_range(frame: NDArray[np.number]) -> tuple[int, int] | None:
    """Return the lowest and highest value of an integer frame; None where a table of all between would be large."""
    if frame.dtype.kind not in "iu":
        return None
    low, high = int(frame.min()), int(frame.max())
    return (low, high) if high - low < min(_MAX_RANGE, frame.size) else None


def _distinct(frame: NDArray[np.number]) -> tuple[Values, NDArray[np.int64]]:
    """Return stored values and how often each is there; values may repeat."""
    bounds = value_range(frame)
    if bounds is None:
        values = frame.ravel().astype(np.float64)
        return values, np.ones(values.size, np.int64)
    low, high = bounds
    counts = np.zeros(high - low + 1, np.int64)
    for _, block in offsets(frame, low):
        counts += np.bincount(block.ravel(), minlength=counts.size)
    present = np.flatnonzero(counts)
    return (present + low).astype(np.float64), counts[present]


def _is_shown(stored: Values, header: Dataset, dtype: np.dtype[np.number]) -> NDArray[np.bool_]:
    """Return which values are not padding (PS3.3 C.7.5.1.1.2); all where nothing would be left."""
    if dtype.kind == "f":
        shown = np.isfinite(stored)
    elif (first := elements.integer(header, "PixelPaddingValue")) is not None:
        last = elements.integer(header, "PixelPaddingRangeLimit")
        # the VR may be US where the pixels are signed: it is the bits that count
        padding = np.array([first, first if last is None else last], np.int64).astype(dtype)
        shown = (stored < padding.min()) | (stored > padding.max())
    else:
        shown = np.ones(stored.shape, np.bool_)
    return shown if shown.any() else ~shown


def _quantile(values: Values, last: NDArray[np.int64], share: float) -> float:
    """Return a quantile of sorted `values` that occur up to rank `last` (1-based), between ranks by proportion."""
    rank = share * (int(last[-1]) - 1)
    below, above = (
        float(values[np.searchsorted(last, each, side="right")]) for each in (math.floor(rank), math.ceil(rank))
    )
    return below + (above - below) * (rank - int(rank))
