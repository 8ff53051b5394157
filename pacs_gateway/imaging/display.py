"""Decoded values to what a screen shows: modality LUT, VOI LUT, presentation, palette (PS3.4 N.2).

Enhanced multi-frame objects say per frame, in functional groups, what others say once.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import InputError
from pacs_gateway.imaging import elements, lut
from pacs_gateway.imaging.spread import offsets, spread, value_range
from pacs_gateway.imaging.window import Values, VoiFunction, Window

Image = NDArray[np.uint8]
"""(rows, columns) grey or (rows, columns, 3) RGB."""

_Step = Callable[[Values], Values]
_MAX_VALUE = 1e300
"""Beyond it nothing is shown apart; it keeps sums and quotients of hostile slopes and windows finite."""
# In the order of PS3.3 10.7: what is meant for display first
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_MAX_ASPECT = 100.0


def render(frame: NDArray[np.number], header: Dataset, *, index: int, window: Window | None = None) -> Image:
    """Return a decoded frame as 8-bit grey or RGB, as the object asks to be shown.

    Parameters
    ----------
    frame
        From ``decode_frame``.
    header
        Of the object, as read with ``stop_before_pixels``.
    index
        Number of the frame (0-based).
    window
        Instead of the object's own; without any, values from the 1st to the 99th percentile are spread.

    Raises
    ------
    InvalidInstanceError
        The header's display attributes are malformed.
    """
    photometric = elements.text(header, "PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        return lut.palette_colours(frame, header, is_signed=frame.dtype.kind == "i")
    if frame.ndim == 3:
        return _eight_bit_colour(frame, header)
    modality = _modality(header, index, is_signed=frame.dtype.kind == "i")
    voi = _voi(frame, header, index, modality=modality, window=window)
    # PS3.3 C.11.6.1.2 and C.7.6.3.1.2: both say the same, that the lowest value is white
    is_inverse = photometric == "MONOCHROME1" or elements.text(header, "PresentationLUTShape") == "INVERSE"

    def levels(values: Values) -> Image:
        with np.errstate(over="ignore"):
            shades = voi(modality(values))
        return np.rint((1 - shades if is_inverse else shades) * 255).astype(np.uint8)

    return _mapped(frame, levels)


def pixel_aspect(header: Dataset, *, index: int) -> float:
    """Return how many times higher than wide a pixel is; 1 where the header does not say or says nonsense."""
    measures = _macro(header, index, "PixelMeasuresSequence")
    for source, keyword in ((header, "PixelAspectRatio"), *((measures, spacing) for spacing in _SPACINGS)):
        # PS3.3 C.7.6.3.1.7 and 10.7.1.3: the vertical (between rows) stands first
        found = elements.numbers(source, keyword)
        if len(found) == 2 and min(found) > 0:
            aspect = found[0] / found[1]
            return aspect if 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT else 1.0
    return 1.0


def _macro(header: Dataset, index: int, keyword: str) -> Dataset:
    """Return the item that holds a functional group's attributes for a frame; the header itself where there is none.

    PS3.3 C.7.6.16: a group is either in the frame's item or in the shared one.
    """
    for groups, position in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        found = elements.items(header, groups)[position : position + 1]
        for macro in found:
            for item in elements.items(macro, keyword):
                return item
    return header


def _modality(header: Dataset, index: int, *, is_signed: bool) -> _Step:
    """Return the step from stored values to the modality's (PS3.3 C.11.1, per frame C.7.6.16.2.9)."""
    for item in elements.items(header, "ModalityLUTSequence"):
        table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=is_signed)
        return lambda values: table.apply(values).astype(np.float64)
    source = _macro(header, index, "PixelValueTransformationSequence")
    slope = next(iter(elements.numbers(source, "RescaleSlope")), 1.0)
    intercept = next(iter(elements.numbers(source, "RescaleIntercept")), 0.0)
    return lambda values: np.clip(values * slope + intercept, -_MAX_VALUE, _MAX_VALUE)


def _voi(frame: NDArray[np.number], header: Dataset, index: int, *, modality: _Step, window: Window | None) -> _Step:
    """Return the step from the modality's values to shades from 0 to 1 (PS3.3 C.11.2)."""
    if window:
        return window.shades
    source = _macro(header, index, "FrameVOILUTSequence")
    for item in elements.items(source, "VOILUTSequence"):
        is_signed = bool(modality(np.zeros(1))[0] < 0) or frame.dtype.kind == "i"
        table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=is_signed)
        return lambda values: table.apply(values) / table.top
    return (_own_window(source) or spread(frame, header, modality)).shades


def _own_window(source: Dataset) -> Window | None:
    """Return the object's first window; None when it has none that can be used."""
    center, width = elements.numbers(source, "WindowCenter"), elements.numbers(source, "WindowWidth")
    if not center or not width:
        return None
    try:
        return Window(center[0], width[0], VoiFunction(elements.text(source, "VOILUTFunction") or "LINEAR"))
    except (InputError, ValueError):
        return None  # widths of 0 come from real devices and mean that there is no window


def _mapped(frame: NDArray[np.number], levels: Callable[[Values], Image]) -> Image:
    """Return `levels` of every pixel, computed once per value where there are fewer values than pixels."""
    bounds = value_range(frame)
    if bounds is None:
        return levels(np.nan_to_num(frame.astype(np.float64)))
    low, high = bounds
    table = levels(np.arange(low, high + 1, dtype=np.float64))
    shown = np.empty(frame.shape, np.uint8)
    for rows, block in offsets(frame, low):
        shown[rows] = table[block]
    return shown


def _eight_bit_colour(frame: NDArray[np.number], header: Dataset) -> Image:
    bits = elements.integer(header, "BitsStored") or 8 * frame.dtype.itemsize
    if frame.dtype == np.uint8 and bits == 8:
        return frame.astype(np.uint8, copy=False)
    shades: Values = np.clip(frame.astype(np.float64) / (2**bits - 1), 0, 1)
    return np.rint(shades * 255).astype(np.uint8)
