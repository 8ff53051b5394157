"""Display shutters: what of an image is covered (PS3.3 C.7.6.11, C.7.6.15)."""

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.overlay import GROUPS, Mask, plane_mask

MAX_VERTICES = 10_000
_FURTHEST = 2**20
"""Further outside no vertex is taken, lest it leave the range of the drawing library's integers."""
_EDGES = ("Left", "Right"), ("Upper", "Lower")
_AXES = "Vertical", "Horizontal"


def covered(state: Dataset, shape: tuple[int, ...], *, index: int) -> Mask | None:
    """Return which pixels of an image a shutter covers; None where there is none.

    Parameters
    ----------
    state
        The presentation state, or an image that has a shutter itself.
    shape
        Of the image; only rows and columns are looked at.
    index
        Number of the frame (0-based).

    Raises
    ------
    InvalidInstanceError
        A shutter is malformed.
    """
    rows, columns = shape[:2]
    shapes = {str(value) for value in elements.values(state, "ShutterShape")}
    # several shapes leave open only what all of them do
    masks = [_SHAPES[name](state, rows, columns) for name in sorted(shapes & set(_SHAPES))]
    if "BITMAP" in shapes or "ShutterOverlayGroup" in state:
        masks.append(_bitmap(state, shape, index))
    return np.logical_or.reduce(masks) if masks else None


def _rectangle(state: Dataset, rows: int, columns: int) -> Mask:
    mask = np.ones((rows, columns), np.bool_)
    sides = []
    for names, axis, length in zip(_EDGES, _AXES, (columns, rows), strict=True):
        first, last = (elements.integer(state, f"Shutter{name}{axis}Edge") for name in names)
        if first is None or last is None:
            raise InvalidInstanceError("a rectangular shutter has no edges")
        sides.append(slice(min(max(first - 1, 0), length), min(max(last, 0), length)))  # from 1, both ends open
    mask[sides[1], sides[0]] = False
    return mask


def _circle(state: Dataset, rows: int, columns: int) -> Mask:
    center, radius = (
        elements.numbers(state, "CenterOfCircularShutter"),
        elements.integer(state, "RadiusOfCircularShutter"),
    )
    if len(center) != 2 or radius is None:
        raise InvalidInstanceError("a circular shutter has no centre or radius")
    y, x = np.ogrid[1 : rows + 1, 1 : columns + 1]
    mask: Mask = (y - center[0]) ** 2 + (x - center[1]) ** 2 > float(radius) ** 2
    return mask


def _polygon(state: Dataset, rows: int, columns: int) -> Mask:
    found = elements.numbers(state, "VerticesOfThePolygonalShutter")
    if not 6 <= len(found) <= 2 * MAX_VERTICES or len(found) % 2:
        raise InvalidInstanceError("a polygonal shutter has too few or too many vertices")
    inside = [min(max(number - 1, -_FURTHEST), _FURTHEST) for number in found]
    vertices = list(zip(inside[1::2], inside[::2], strict=True))  # row before column there, x before y here
    picture = Picture.new("L", (columns, rows), 1)
    ImageDraw.Draw(picture).polygon(vertices, fill=0, outline=0)
    return np.asarray(picture).astype(np.bool_)


def _bitmap(state: Dataset, shape: tuple[int, ...], index: int) -> Mask:
    group = elements.integer(state, "ShutterOverlayGroup")
    if group is None or group not in GROUPS:
        raise InvalidInstanceError("a bitmap shutter names no overlay")
    mask = plane_mask(state, group, shape, index=index)
    if mask is None:
        raise InvalidInstanceError("a bitmap shutter has no overlay")
    return mask


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
