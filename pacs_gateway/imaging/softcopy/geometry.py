"""Which part of an image a presentation state shows, how it is turned, and where its pixels come to lie.

References
----------
PS3.3 C.10.4 (displayed area), C.10.6 (spatial transformation)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.display import MAX_ASPECT, pixel_aspect
from pacs_gateway.imaging.grey import Image
from pacs_gateway.imaging.softcopy.reference import Target, meant

MAX_AREA_PIXELS = 2**26
"""Most pixels of a displayed area, which may reach far beyond its image."""
Points = NDArray[np.float64]
"""(n, 2): x to the right and y downwards."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A displayed area and how it becomes a picture."""

    left: int
    top: int
    width: int
    height: int
    quarter_turns: int
    """Clockwise, before the flip."""
    is_flipped: bool
    size: tuple[int, int]
    """Width and height of the picture."""

    def laid_out(self, image: Image) -> Image:
        """Return the picture of `image`; black where the displayed area reaches beyond it."""
        area = np.zeros((self.height, self.width, *image.shape[2:]), np.uint8)
        rows, columns = image.shape[:2]
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.height, rows), min(self.left + self.width, columns)
        if top < bottom and left < right:
            area[top - self.top : bottom - self.top, left - self.left : right - self.left] = image[
                top:bottom, left:right
            ]
        turned = np.rot90(area, -self.quarter_turns)
        turned = np.ascontiguousarray(turned[:, ::-1] if self.is_flipped else turned)
        if (turned.shape[1], turned.shape[0]) == self.size:
            return turned
        return np.asarray(Picture.fromarray(turned).resize(self.size, Picture.Resampling.LANCZOS))

    def of_image(self, points: Points) -> Points:
        """Return where points of the image lie in the picture; 0, 0 is the outer corner of the image's first pixel."""
        x, y = points[:, 0] - self.left, points[:, 1] - self.top
        width, height = self.width, self.height
        for _ in range(self.quarter_turns):
            x, y, width, height = height - y, x, height, width
        if self.is_flipped:
            x = width - x
        return np.column_stack([x * self.size[0] / width, y * self.size[1] / height])

    def of_display(self, points: Points) -> Points:
        """Return where points in parts of the displayed area lie in the picture; it is neither turned nor flipped."""
        return points * np.array(self.size, np.float64)


def layout(state: Dataset, header: Dataset, target: Target, viewport: tuple[int, int] | None) -> Layout:
    """Return how a presentation state lays out an image.

    Parameters
    ----------
    viewport
        Width and height that the picture is fitted into; without it an image's pixel stays about one of the picture.

    Raises
    ------
    InvalidInstanceError
        The displayed area is malformed or too large.
    """
    left, top, right, bottom, aspect = _area(state, header, target)
    width, height = right - left + 1, bottom - top + 1
    if width * height > MAX_AREA_PIXELS:
        raise InvalidInstanceError(f"a displayed area has more than {MAX_AREA_PIXELS} pixels")
    turns = (elements.integer(state, "ImageRotation") or 0) // 90 % 4
    across, down = width * max(1 / aspect, 1), height * max(aspect, 1)
    if turns % 2:
        across, down = down, across
    room = viewport or _within(across, down)
    scale = min(room[0] / across, room[1] / down)
    size = (min(max(round(across * scale), 1), room[0]), min(max(round(down * scale), 1), room[1]))
    is_flipped = elements.text(state, "ImageHorizontalFlip") == "Y"
    return Layout(left - 1, top - 1, width, height, turns, is_flipped, size)


def _area(state: Dataset, header: Dataset, target: Target) -> tuple[int, int, int, int, float]:
    """Return the first and last column and row (from 1) to show, and how many times higher than wide a pixel is."""
    rows, columns = (elements.integer(header, keyword) or 1 for keyword in ("Rows", "Columns"))
    for item in meant(state, "DisplayedAreaSelectionSequence", target):
        corners = [elements.numbers(item, f"DisplayedArea{corner}HandCorner") for corner in ("TopLeft", "BottomRight")]
        if any(len(corner) != 2 for corner in corners):
            raise InvalidInstanceError("a displayed area has no corners")
        # PS3.3 C.10.4: the corners are named as they lie after turning, so either may come first
        (left, right), (top, bottom) = (sorted(int(corner[axis]) for corner in corners) for axis in range(2))
        return left, top, right, bottom, _aspect(item, header, target.index)
    return 1, 1, columns, rows, pixel_aspect(header, index=target.index)


def _aspect(item: Dataset, header: Dataset, index: int) -> float:
    for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio"):
        found = elements.numbers(item, keyword)
        if len(found) == 2 and min(found) > 0:
            return min(max(found[0] / found[1], 1 / MAX_ASPECT), MAX_ASPECT)
    return pixel_aspect(header, index=index)


def _within(across: float, down: float) -> tuple[int, int]:
    """Return the size of a picture of its own choice."""
    shrink = min((MAX_AREA_PIXELS / (across * down)) ** 0.5, 1.0)
    return max(round(across * shrink), 1), max(round(down * shrink), 1)
