"""An image as a presentation state shows it: grey levels, shutter, overlays, place, graphics, in this order.

What the state leaves out is not done: none of the image's own transformations take its place (PS3.4 N.2).
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import UnsupportedSyntaxError
from pacs_gateway.imaging import elements, grey, lut
from pacs_gateway.imaging.display import own_window, render
from pacs_gateway.imaging.grey import Image, Shading, Step
from pacs_gateway.imaging.icc import lab_colour
from pacs_gateway.imaging.overlay import GROUPS, drawn, plane_mask
from pacs_gateway.imaging.padding import padding
from pacs_gateway.imaging.softcopy.geometry import layout
from pacs_gateway.imaging.softcopy.graphic import Layer, annotate, layers
from pacs_gateway.imaging.softcopy.reference import Target, meant
from pacs_gateway.imaging.softcopy.shutter import covered
from pacs_gateway.imaging.window import Values

GREYSCALE = "1.2.840.10008.5.1.4.1.1.11.1"
COLOUR = "1.2.840.10008.5.1.4.1.1.11.2"
PSEUDO_COLOUR = "1.2.840.10008.5.1.4.1.1.11.3"
SOP_CLASSES = frozenset({GREYSCALE, COLOUR, PSEUDO_COLOUR})
"""The presentation states that are applied."""
_ACTIVATION_LAYER, _DATA = 0x1001, 0x3000


def present(
    frame: NDArray[np.number],
    header: Dataset,
    state: Dataset,
    *,
    index: int,
    viewport: tuple[int, int] | None = None,
    cells: NDArray[np.number] | None = None,
) -> Image:
    """Return a decoded frame as a presentation state shows it, grey or RGB.

    Parameters
    ----------
    frame
        From ``decode_frame``.
    header
        Of the image.
    state
        The whole presentation state.
    index
        Number of the frame (0-based).
    viewport
        Width and height that the picture is fitted into.
    cells
        As ``overlay_mask`` takes them.

    Raises
    ------
    InvalidInstanceError
        The state or the header is malformed.
    UnsupportedSyntaxError
        The state is of another kind than `SOP_CLASSES`, or not for images of this kind.
    """
    kind = elements.text(state, "SOPClassUID")
    if kind not in SOP_CLASSES:
        raise UnsupportedSyntaxError("presentation states of this kind are not applied")
    target = Target(elements.text(header, "SOPInstanceUID"), index)
    image = render(frame, header, index=index) if kind == COLOUR else _shaded(frame, header, state, target)
    if kind == PSEUDO_COLOUR:
        image = _pseudo_coloured(image, state)
    image = _shuttered(image, state, index)
    image = _overlaid(image, header, state, index, cells)
    placed = layout(state, header, target, viewport)
    return annotate(placed.laid_out(image), state, target, placed)


def _shaded(frame: NDArray[np.number], header: Dataset, state: Dataset, target: Target) -> Image:
    if frame.ndim == 3 or elements.text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        raise UnsupportedSyntaxError("a presentation state for grey images does not fit a colour image")
    is_signed = frame.dtype.kind == "i"
    modality, lowest, highest = _modality(header, state, frame)
    voi = _voi(state, target, modality, is_signed=is_signed)
    shading = Shading(modality, voi or _spread_over(lowest, highest), _presentation(state))
    return grey.shaded(frame, shading, padding(frame, header))


def _modality(header: Dataset, state: Dataset, frame: NDArray[np.number]) -> tuple[Step, float, float]:
    """Return the modality step and between which values its output can lie."""
    for item in elements.items(state, "ModalityLUTSequence"):
        table = lut.read_table(item, "LUTDescriptor", "LUTData", is_signed=frame.dtype.kind == "i")
        return grey.table_modality(item, is_signed=frame.dtype.kind == "i"), 0.0, float(table.top)
    step = grey.linear_modality(*grey.rescale(state))
    if frame.dtype.kind == "f":
        ends = np.array([np.nanmin(frame), np.nanmax(frame)], np.float64)
    else:
        bits = elements.integer(header, "BitsStored") or 8 * frame.dtype.itemsize
        ends = np.array(
            [-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1] if frame.dtype.kind == "i" else [0, 2.0**bits - 1]
        )
    lowest, highest = sorted(float(value) for value in step(np.nan_to_num(ends)))
    return step, lowest, highest


def _voi(state: Dataset, target: Target, modality: Step, *, is_signed: bool) -> Step | None:
    for item in meant(state, "SoftcopyVOILUTSequence", target):
        for table in elements.items(item, "VOILUTSequence"):
            return grey.table_voi(table, modality, is_signed=is_signed)
        window = own_window(item)
        if window:
            return window.shades
    return None


def _spread_over(lowest: float, highest: float) -> Step:
    """Return the identity of PS3.4 N.2.1.3: all values that there can be, from black to white."""
    width = max(highest - lowest, np.finfo(np.float64).tiny)

    def shades(values: Values) -> Values:
        spread: Values = np.clip((values - lowest) / width, 0, 1)
        return spread

    return shades


def _presentation(state: Dataset) -> Step:
    for item in elements.items(state, "PresentationLUTSequence"):
        return grey.table_presentation(item)
    return grey.shape_presentation(elements.text(state, "PresentationLUTShape"))


def _pseudo_coloured(image: Image, state: Dataset) -> Image:
    """Return a grey picture in the palette of a pseudo-colour state, whose whole input it spans (PS3.4 N.2.3)."""
    tables = lut.read_palette(state, is_signed=False)
    n_entries = len(tables[0].entries)
    indices = np.rint(np.linspace(0, n_entries - 1, 256)) + tables[0].first
    colours = lut.palette_colours(indices, state, is_signed=False)
    return np.asarray(colours[image])


def _shuttered(image: Image, state: Dataset, index: int) -> Image:
    mask = covered(state, image.shape, index=index)
    if mask is None:
        return image
    lab = elements.numbers(state, "ShutterPresentationColorCIELabValue")
    if image.ndim == 3 and len(lab) == 3:
        over = image.copy()
        over[mask] = lab_colour(lab)
        return over
    value = elements.integer(state, "ShutterPresentationValue") or 0
    return drawn(image, mask, round(min(max(value, 0), 0xFFFF) / 0x101))


def _overlaid(image: Image, header: Dataset, state: Dataset, index: int, cells: NDArray[np.number] | None) -> Image:
    """Return the image with the overlays that the state puts into a layer, its own or the image's (PS3.3 C.11.7)."""
    known = layers(state)
    active = []
    for group in GROUPS:
        layer = elements.text(state, group << 16 | _ACTIVATION_LAYER)
        if layer:
            source = state if group << 16 | _DATA in state else header
            active.append((known.get(layer, Layer()), source, group))
    for layer_, source, group in sorted(active, key=lambda each: each[0].order):
        mask = plane_mask(source, group, image.shape, index=index, cells=cells)
        image = drawn(image, mask, layer_.colour if image.ndim == 3 else _luminance(layer_.colour))
    return image


def _luminance(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return round(0.299 * red + 0.587 * green + 0.114 * blue)
