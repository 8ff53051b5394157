"""Grey values to shades by three steps: modality, values of interest, presentation (PS3.4 N.2.1).

Both the object's own attributes (``display``) and a presentation state's (``softcopy``) are made into these steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.imaging import elements, lut
from pacs_gateway.imaging.padding import Padding
from pacs_gateway.imaging.window import Values

Image = NDArray[np.uint8]
"""(rows, columns) grey or (rows, columns, 3) RGB."""
Step = Callable[[Values], Values]

MAX_VALUE = 1e300
"""Beyond it nothing is shown apart; it keeps sums and quotients of hostile slopes and windows finite."""
_BACKGROUND = 0
_MAX_RANGE = 2**16
_BLOCK_PIXELS = 2**20


@dataclass(frozen=True, slots=True)
class Shading:
    """How stored values become shades."""

    modality: Step
    """From stored values to the modality's."""
    voi: Step
    """From the modality's values to shades from 0 to 1."""
    presentation: Step
    """From shades to P-values from 0 (black) to 1 (white)."""


def shaded(frame: NDArray[np.number], shading: Shading, padding: Padding | None) -> Image:
    """Return the grey levels of a frame, computed once per value where there are fewer values than pixels.

    Padding is black whatever the steps make of it: it is the background of the picture, not a part of it, and stays
    so when the picture is inverted (PS3.3 C.7.5.1.1.2).
    """

    def levels(stored: Values) -> Image:
        with np.errstate(over="ignore"):
            shades = shading.presentation(shading.voi(shading.modality(stored)))
        found = np.rint(shades * 255).astype(np.uint8)
        if padding:
            found[padding.covers(stored)] = _BACKGROUND
        return found

    bounds = value_range(frame)
    if bounds is None:
        return levels(np.nan_to_num(frame.astype(np.float64)))
    low, high = bounds
    table = levels(np.arange(low, high + 1, dtype=np.float64))
    return _looked_up(frame, table, low)


def linear_modality(slope: float, intercept: float) -> Step:
    """Return the step of a rescale slope and intercept (PS3.3 C.11.1.1.2)."""
    return lambda stored: np.clip(stored * slope + intercept, -MAX_VALUE, MAX_VALUE)


def table_modality(item: Dataset, *, is_signed: bool) -> Step:
    """Return the step of an item of the Modality LUT Sequence (PS3.3 C.11.1.1.1)."""
    table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=is_signed)
    return lambda stored: table.apply(stored).astype(np.float64)


def table_voi(item: Dataset, modality: Step, *, is_signed: bool) -> Step:
    """Return the step of an item of the VOI LUT Sequence (PS3.3 C.11.2.1.1), which maps from what `modality` gives."""
    is_negative = is_signed or bool(modality(np.zeros(1))[0] < 0)
    table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=is_negative)
    return lambda values: table.apply(values) / table.top


def shape_presentation(shape: str) -> Step:
    """Return the step of a Presentation LUT Shape (PS3.3 C.11.6.1.2)."""
    return (lambda shades: 1 - shades) if shape == "INVERSE" else (lambda shades: shades)


def table_presentation(item: Dataset) -> Step:
    """Return the step of an item of the Presentation LUT Sequence: its input is the shades' full range (C.11.6.1.1)."""
    table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=False)
    last = len(table.entries) - 1
    return lambda shades: table.apply(shades * last + table.first) / table.top


def rescale(source: Dataset) -> tuple[float, float]:
    """Return the rescale slope and intercept; 1 and 0 where there is none."""
    slope, intercept = (elements.numbers(source, keyword)[:1] for keyword in ("RescaleSlope", "RescaleIntercept"))
    return (slope or (1.0,))[0], (intercept or (0.0,))[0]


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


def _looked_up(frame: NDArray[np.number], table: Image, low: int) -> Image:
    """Return ``table[value - low]`` of every pixel."""
    if frame.dtype.itemsize > 2:
        shown = np.empty(frame.shape, np.uint8)
        for rows, block in offsets(frame, low):
            shown[rows] = table[block]
        return shown
    # a table of all values there can be needs no subtraction: measured a fifth faster; negative values wrap around
    unsigned = np.dtype(f"u{frame.dtype.itemsize}")
    whole = np.zeros(1 << 8 * unsigned.itemsize, np.uint8)
    whole[np.arange(low, low + table.size).astype(unsigned)] = table
    return np.take(whole, frame.view(unsigned), mode="clip")
