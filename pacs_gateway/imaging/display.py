"""Decoded values to what a screen shows: what the object itself says of its display (PS3.4 N.2).

Enhanced multi-frame objects say per frame, in functional groups, what others say once.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import InputError
from pacs_gateway.imaging import elements, grey, lut
from pacs_gateway.imaging.grey import Image as Image
from pacs_gateway.imaging.grey import Shading, Step
from pacs_gateway.imaging.padding import Padding, padding
from pacs_gateway.imaging.spread import spread
from pacs_gateway.imaging.window import Values, VoiFunction, Window

# In the order of PS3.3 10.7: what is meant for display first
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
MAX_ASPECT = 100.0
# PS3.3 C.8.13.3.1 and its like: the functional groups in which enhanced objects say Pixel Presentation of a frame
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


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
    if elements.text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return lut.palette_colours(frame, header, is_signed=frame.dtype.kind == "i")
    if frame.ndim == 3:
        return _eight_bit_colour(frame, header)
    background = padding(frame, header)
    shown = grey.shaded(frame, _shading(frame, header, index, window, background), background)
    return lut.supplemented(shown, frame, header) if _has_colours(header, index) else shown


def pixel_aspect(header: Dataset, *, index: int) -> float:
    """Return how many times higher than wide a pixel is; 1 where the header does not say or says nonsense."""
    measures = _macro(header, index, "PixelMeasuresSequence")
    for source, keyword in ((header, "PixelAspectRatio"), *((measures, spacing) for spacing in _SPACINGS)):
        # PS3.3 C.7.6.3.1.7 and 10.7.1.3: the vertical (between rows) stands first
        found = elements.numbers(source, keyword)
        if len(found) == 2 and min(found) > 0:
            aspect = found[0] / found[1]
            return aspect if 1 / MAX_ASPECT <= aspect <= MAX_ASPECT else 1.0
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


def _shading(
    frame: NDArray[np.number], header: Dataset, index: int, window: Window | None, background: Padding | None
) -> Shading:
    """Return the steps that the object asks for, with `window` in place of its own."""
    is_signed = frame.dtype.kind == "i"
    modality = _modality(header, index, is_signed=is_signed)
    voi = window.shades if window else _voi(header, index, modality, is_signed=is_signed)
    if voi is None:
        voi = spread(frame, modality, background, is_bits=elements.integer(header, "BitsAllocated") == 1).shades
    # PS3.3 C.11.6.1.2 and C.7.6.3.1.2: both say the same, that the lowest value is white
    is_inverse = elements.text(header, "PhotometricInterpretation") == "MONOCHROME1"
    shape = "INVERSE" if is_inverse else elements.text(header, "PresentationLUTShape")
    tables = elements.items(header, "PresentationLUTSequence")
    return Shading(modality, voi, grey.table_presentation(tables[0]) if tables else grey.shape_presentation(shape))


def _modality(header: Dataset, index: int, *, is_signed: bool) -> Step:
    """Return the step from stored values to the modality's (PS3.3 C.11.1, per frame C.7.6.16.2.9)."""
    for item in elements.items(header, "ModalityLUTSequence"):
        return grey.table_modality(item, is_signed=is_signed)
    return grey.linear_modality(*grey.rescale(_macro(header, index, "PixelValueTransformationSequence")))


def _voi(header: Dataset, index: int, modality: Step, *, is_signed: bool) -> Step | None:
    """Return the object's own step from the modality's values to shades (PS3.3 C.11.2); None where it has none."""
    source = _macro(header, index, "FrameVOILUTSequence")
    for item in elements.items(source, "VOILUTSequence"):
        return grey.table_voi(item, modality, is_signed=is_signed)
    window = own_window(source)
    return window.shades if window else None


def own_window(source: Dataset) -> Window | None:
    """Return the first window among the attributes of `source`; None when it has none that can be used."""
    center, width = elements.numbers(source, "WindowCenter"), elements.numbers(source, "WindowWidth")
    if not center or not width:
        return None
    try:
        return Window(center[0], width[0], VoiFunction(elements.text(source, "VOILUTFunction") or "LINEAR"))
    except (InputError, ValueError):
        return None  # widths of 0 come from real devices and mean that there is no window


def _has_colours(header: Dataset, index: int) -> bool:
    """Return whether the supplemental palette applies to a frame (PS3.3 C.7.6.19, Pixel Presentation)."""
    if "RedPaletteColorLookupTableDescriptor" not in header:
        return False
    groups = (_macro(header, index, keyword) for keyword in _FRAME_TYPES)
    source = next((group for group in groups if group is not header), header)
    return elements.text(source, "PixelPresentation") in {"COLOR", "MIXED"}


def _eight_bit_colour(frame: NDArray[np.number], header: Dataset) -> Image:
    bits = elements.integer(header, "BitsStored") or 8 * frame.dtype.itemsize
    if frame.dtype == np.uint8 and bits == 8:
        return frame.astype(np.uint8, copy=False)
    shades: Values = np.clip(frame.astype(np.float64) / (2**bits - 1), 0, 1)
    return np.rint(shades * 255).astype(np.uint8)
