"""What a presentation state draws and writes over an image (PS3.3 C.10.5, C.10.7).

Points, lines, curves, circles, ellipses and plain text, in the grey or the colour of their layer. Compound graphics
are left out: PS3.3 C.10.5.1 has their makers repeat them as these.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pydicom.dataset import Dataset

from pacs_gateway.domain.character_set import CharacterSet
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements, lettering
from pacs_gateway.imaging.grey import Image
from pacs_gateway.imaging.icc import lab_colour
from pacs_gateway.imaging.softcopy.geometry import Layout, Points
from pacs_gateway.imaging.softcopy.reference import Target, bounded, meant

MAX_OBJECTS, MAX_POINTS = 4096, 50_000
MAX_LETTERS = 10_240
"""Longest text of one object (VR ST, PS3.5 6.2)."""
_FURTHEST = 2.0**20
"""Further outside nothing is drawn, lest a point leave the range of the drawing library's integers."""
_WHITE = (255, 255, 255)
_CORNERS_OF_ROUND = 180
_STEPS = np.linspace(0, 1, 12, endpoint=False)[:, np.newaxis]
"""Into how many straight lines a curve between two points is drawn."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A graphic layer: what is drawn later lies above."""

    order: int = 0
    colour: tuple[int, int, int] = _WHITE


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One object to draw, with the layer that it is in."""

    layer: Layer
    item: Dataset
    is_text: bool


def layers(state: Dataset) -> Mapping[str, Layer]:
    """Return the graphic layers of a presentation state by name.

    Raises
    ------
    InvalidInstanceError
        One is malformed.
    """
    found = {}
    for item in bounded(state, "GraphicLayerSequence"):
        order = elements.integer(item, "GraphicLayerOrder") or 0
        found[elements.text(item, "GraphicLayer")] = Layer(order, _colour(item))
    return MappingProxyType(found)


def annotate(image: Image, state: Dataset, target: Target, layout: Layout) -> Image:
    """Return a picture with the graphics and texts of a presentation state that are for one frame.

    Parameters
    ----------
    image
        As `layout` has laid it out.

    Raises
    ------
    InvalidInstanceError
        An object is malformed, or there are too many.
    """
    known = layers(state)
    objects = sorted(_objects(state, target, known), key=lambda each: each.layer.order)
    if not objects:
        return image
    is_coloured = image.ndim == 3 or any(len(set(each.layer.colour)) > 1 for each in objects)
    picture = Picture.fromarray(image).convert("RGB" if is_coloured else "L")
    pen = _Pen(ImageDraw.Draw(picture), layout, elements.declared_charset(state), is_coloured=is_coloured)
    for each in objects:
        pen.draw(each)
    return np.asarray(picture)


def _objects(state: Dataset, target: Target, known: Mapping[str, Layer]) -> Iterator[_Annotation]:
    n_objects = n_points = 0
    for group in meant(state, "GraphicAnnotationSequence", target):
        layer = known.get(elements.text(group, "GraphicLayer"), Layer())
        for keyword in ("GraphicObjectSequence", "TextObjectSequence"):
            for item in bounded(group, keyword):
                n_objects, n_points = n_objects + 1, n_points + len(elements.values(item, "GraphicData")) // 2
                if n_objects > MAX_OBJECTS or n_points > MAX_POINTS:
                    raise InvalidInstanceError(f"more than {MAX_OBJECTS} annotations, or more than {MAX_POINTS} points")
                yield _Annotation(layer, item, keyword == "TextObjectSequence")


def _colour(item: Dataset) -> tuple[int, int, int]:
    for keyword in ("GraphicLayerRecommendedDisplayCIELabValue",):
        found = elements.numbers(item, keyword)
        if len(found) == 3:
            return lab_colour(found)
    grey = elements.integer(item, "GraphicLayerRecommendedDisplayGrayscaleValue")
    level = 255 if grey is None else round(min(max(grey, 0), 0xFFFF) / 0x101)
    return level, level, level


class _Pen:
    """Draws the objects of one picture."""

    def __init__(
        self, canvas: ImageDraw.ImageDraw, layout: Layout, charset: CharacterSet, *, is_coloured: bool
    ) -> None:
        self._canvas = canvas
        self._layout = layout
        self._charset = charset
        self._is_coloured = is_coloured
        self._width = max(min(layout.size) // 400, 1)

    def draw(self, annotation: _Annotation) -> None:
        colour = annotation.layer.colour
        ink: lettering.Ink = colour if self._is_coloured else colour[0]
        if annotation.is_text:
            self._write(annotation.item, ink)
        else:
            self._trace(annotation.item, ink)

    def _trace(self, item: Dataset, ink: lettering.Ink) -> None:
        kind = elements.text(item, "GraphicType")
        points = self._points(item, "GraphicData", "GraphicAnnotationUnits")
        if kind not in _OUTLINES or len(points) < _FEWEST[kind]:
            raise InvalidInstanceError("a graphic is of an unknown type or has too few points")
        outline = [(float(x), float(y)) for x, y in _OUTLINES[kind](points)]
        if kind == "POINT":
            (x, y), arm = outline[0], 4 * self._width
            self._canvas.line([(x - arm, y), (x + arm, y)], fill=ink, width=self._width)
            self._canvas.line([(x, y - arm), (x, y + arm)], fill=ink, width=self._width)
            return
        if elements.text(item, "GraphicFilled") == "Y":
            self._canvas.polygon(outline, fill=ink)
        self._canvas.line(outline, fill=ink, width=self._width)

    def _write(self, item: Dataset, ink: lettering.Ink) -> None:
        text = elements.free_text(item, "UnformattedTextValue", self._charset)[:MAX_LETTERS]
        units = "BoundingBoxAnnotationUnits"
        corners = [self._points(item, f"BoundingBox{name}HandCorner", units) for name in ("TopLeft", "BottomRight")]
        anchor = self._points(item, "AnchorPoint", "AnchorPointAnnotationUnits")
        n_lines = max(len(text.splitlines()), 1)
        if all(len(corner) for corner in corners):
            box = np.concatenate(corners)
            (left, top), (right, bottom) = box.min(axis=0), box.max(axis=0)
            size = int(0.8 * (bottom - top) / n_lines)
            if len(anchor) and elements.text(item, "AnchorPointVisibility") == "Y":
                middle = (float(left + right) / 2, float(top + bottom) / 2)
                self._canvas.line([middle, (float(anchor[0, 0]), float(anchor[0, 1]))], fill=ink, width=self._width)
            side = _JUSTIFIED.get(elements.text(item, "BoundingBoxTextHorizontalJustification"), "l")
            x = {"l": left, "m": (left + right) / 2, "r": right}[side]
            lettering.write(self._canvas, (float(x), float(top)), text, size, anchor=f"{side}a", fill=ink)
        elif len(anchor):
            size = min(self._layout.size) // 40
            lettering.write(self._canvas, (float(anchor[0, 0]), float(anchor[0, 1])), text, size, fill=ink)
        else:
            raise InvalidInstanceError("a text has no place")

    def _points(self, item: Dataset, keyword: str, units: str) -> Points:
        """Return the points of an element where they lie in the picture."""
        found = np.array(elements.numbers(item, keyword), np.float64)
        points = found[: found.size - found.size % 2].reshape(-1, 2)
        is_display = elements.text(item, units) == "DISPLAY"
        placed = self._layout.of_display(points) if is_display else self._layout.of_image(points)
        return np.clip(placed, -_FURTHEST, _FURTHEST)


def _as_they_are(points: Points) -> Points:
    return points


def _curve(points: Points) -> Points:
    """Return a smooth curve through points (Catmull-Rom): the standard leaves open which (PS3.3 C.10.5.1.2)."""
    before, first, last, after = (
        np.vstack([points[:1], points[:-2]]),
        points[:-1],
        points[1:],
        np.vstack([points[2:], points[-1:]]),
    )
    pieces = [
        ((2 * b) + (c - a) * _STEPS + (2 * a - 5 * b + 4 * c - d) * _STEPS**2 + (3 * b - a - 3 * c + d) * _STEPS**3) / 2
        for a, b, c, d in zip(before, first, last, after, strict=True)
    ]
    return np.vstack([*pieces, points[-1:]])


def _circle(points: Points) -> Points:
    reach = np.hypot(*(points[1] - points[0]))
    return _round(points[0], np.array([reach, 0]), np.array([0, reach]))


def _ellipse(points: Points) -> Points:
    """Return the ellipse whose first two points end one axis and whose others end the other."""
    center = (points[0] + points[1]) / 2
    return _round(center, (points[1] - points[0]) / 2, (points[3] - points[2]) / 2)


def _round(center: Points, one: Points, other: Points) -> Points:
    angles = np.linspace(0, 2 * np.pi, _CORNERS_OF_ROUND + 1)[:, np.newaxis]
    return np.asarray(np.clip(center + np.cos(angles) * one + np.sin(angles) * other, -_FURTHEST, _FURTHEST))


_OUTLINES = MappingProxyType(
    {
        "POINT": _as_they_are,
        "POLYLINE": _as_they_are,
        "INTERPOLATED": _curve,
        "CIRCLE": _circle,
        "ELLIPSE": _ellipse,
    }
)
_FEWEST = MappingProxyType({"POINT": 1, "POLYLINE": 2, "INTERPOLATED": 2, "CIRCLE": 2, "ELLIPSE": 4})
_JUSTIFIED = MappingProxyType({"LEFT": "l", "CENTER": "m", "RIGHT": "r"})
