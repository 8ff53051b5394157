"""The window for an image that asks for none: the range of most of its values, padding left out."""

import math

import numpy as np
from numpy.typing import NDArray

from pacs_gateway.imaging.grey import Step, offsets, value_range
from pacs_gateway.imaging.padding import Padding
from pacs_gateway.imaging.window import Values, VoiFunction, Window

_LOWEST, _HIGHEST = 0.01, 0.99


def spread(frame: NDArray[np.number], modality: Step, background: Padding | None, *, is_bits: bool = False) -> Window:
    """Return the window from the 1st to the 99th percentile of the pixels of `frame` that are not `background`.

    Parameters
    ----------
    modality
        From stored values to those that the window is applied to.
    is_bits
        Whether the pixels are of one bit: then both values are shown, however rare one is.
    """
    stored, counts = _distinct(frame)
    shown = np.isfinite(stored)
    if background:
        shown &= ~background.covers(stored)
    if not shown.any():
        shown = ~shown
    with np.errstate(over="ignore"):
        values = modality(np.nan_to_num(stored[shown]))
    order = np.argsort(values)
    values, last = values[order], np.cumsum(counts[shown][order])
    low, high = (_quantile(values, last, share) for share in (_LOWEST, _HIGHEST))
    if low >= high or is_bits:
        low, high = float(values[0]), float(values[-1])
    if low >= high:  # one value only: black up to 0, else white
        low, high = (0.0, low) if low > 0 else (low, low + max(1.0, abs(low)))
    return Window(low / 2 + high / 2, high - low, VoiFunction.LINEAR_EXACT)


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


def _quantile(values: Values, last: NDArray[np.int64], share: float) -> float:
    """Return a quantile of sorted `values` that occur up to rank `last` (1-based), between ranks by proportion."""
    rank = share * (int(last[-1]) - 1)
    below, above = (
        float(values[np.searchsorted(last, each, side="right")]) for each in (math.floor(rank), math.ceil(rank))
    )
    return below + (above - below) * (rank - int(rank))
