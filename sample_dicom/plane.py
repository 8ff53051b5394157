"""Painting one axial plane of a phantom: soft-edged shapes in millimetres on a grid of Hounsfield units.

Coordinates are the patient's (PS3.3 C.7.6.2.1.1): x to the patient's left, y to the back, z to the head.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sample_dicom.noise import Floats

Window: TypeAlias = tuple[slice, slice]
Point: TypeAlias = tuple[float, float, float]

_MARGIN_MM = 8.0
"""Room around a shape for its soft edge and for the warp of the coordinates."""


class Organ(IntEnum):
    """What a painted pixel belongs to, as the segmentation object tells it."""

    OTHER = 0
    LUNG = 1
    HEART = 2
    LIVER = 3
    AORTA = 4


class Plane:
    """One axial plane at height `z_mm`: Hounsfield units and organs, painted from back to front."""

    def __init__(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64], z_mm: float) -> None:
        self.z_mm = z_mm
        self.edge_mm = max(1.0, 1.3 * float(x_mm[1] - x_mm[0]))
        self.hu: Floats = np.full((len(y_mm), len(x_mm)), -1000, np.float32)
        self.organ: NDArray[np.uint8] = np.zeros(self.hu.shape, np.uint8)
        self._x_mm, self._y_mm = x_mm, y_mm
        self.x, self.y = self._warped(2.2)

    def _warped(self, amount_mm: float) -> tuple[Floats, Floats]:
        """Return the coordinates of each pixel, bent a little so that no organ is a perfect ellipse."""
        x, y, z = self._x_mm, self._y_mm, self.z_mm
        bend_x = np.outer(np.sin(y / 17 + z / 23), np.sin(x / 29 + 1.1)) + np.outer(
            np.cos(y / 31 + 0.4), np.sin(x / 13 + z / 37)
        )
        bend_y = np.outer(np.sin(y / 27 + 2.0), np.cos(x / 19 - z / 29)) + np.outer(
            np.sin(y / 14 - z / 41), np.sin(x / 35 + 0.7)
        )
        columns = (x[np.newaxis, :] + amount_mm * bend_x).astype(np.float32)
        rows = (y[:, np.newaxis] + amount_mm * bend_y).astype(np.float32)
        return columns, rows

    @cached_property
    def everything(self) -> Window:
        """The window of the whole plane."""
        return slice(0, self.hu.shape[0]), slice(0, self.hu.shape[1])

    def window(self, x_mm: float, y_mm: float, radius_mm: float) -> Window:
        """Return the part of the grid within `radius_mm` of a point, margin included."""
        reach = radius_mm + _MARGIN_MM
        left, right = np.searchsorted(self._x_mm, (x_mm - reach, x_mm + reach))
        top, bottom = np.searchsorted(self._y_mm, (y_mm - reach, y_mm + reach))
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def soft(self, distance_mm: Floats) -> Floats:
        """Return how much of each pixel lies inside a surface, 0..1, from the signed distance (inside negative)."""
        covered: Floats = np.clip(np.float32(0.5) - distance_mm / np.float32(self.edge_mm), 0, 1)
        return covered

    def cover(self, window: Window, coverage: Floats, hu: Floats | float, organ: Organ = Organ.OTHER) -> None:
        """Blend `hu` over the window by `coverage` (0..1, the window's shape)."""
        below = self.hu[window]
        below += coverage * (np.asarray(hu, np.float32) - below)
        self.organ[window][coverage > 0.5] = organ

    def paint(self, part: "Part", within: Floats | None = None) -> None:
        """Paint one part, limited to the coverage `within` (the plane's shape) when given."""
        for window, coverage in part.shape.coverage(self):
            limited = coverage if within is None else coverage * within[window]
            self.cover(window, limited, part.hu, part.organ)


class Shape(Protocol):
    """A body in space that knows its section with a plane."""

    def coverage(self, plane: Plane) -> list[tuple[Window, Floats]]:
        """Return the windows the shape touches and how much of each pixel it fills."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A shape, what it is made of and what it belongs to."""

    shape: Shape
    hu: float
    organ: Organ = Organ.OTHER


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid, turned by `turn_deg` in the axial plane (from left towards the back)."""

    centre: Point
    radii: Point
    turn_deg: float = 0.0

    def coverage(self, plane: Plane) -> list[tuple[Window, Floats]]:
        """Return the section, an ellipse, or nothing above and below."""
        cx, cy, cz = self.centre
        rest = 1.0 - ((plane.z_mm - cz) / self.radii[2]) ** 2
        if rest <= 0.0:
            return []
        scale = rest**0.5
        a, b = self.radii[0] * scale, self.radii[1] * scale
        window = plane.window(cx, cy, max(a, b))
        turn = np.deg2rad(self.turn_deg)
        cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        dx, dy = plane.x[window] - np.float32(cx), plane.y[window] - np.float32(cy)
        u = (dx * cosine + dy * sine) / np.float32(a)
        v = (dy * cosine - dx * sine) / np.float32(b)
        distance = (np.sqrt(u * u + v * v) - 1) * np.float32(min(a, b))
        return [(window, plane.soft(distance))]


@dataclass(frozen=True, slots=True)
class Tube:
    """A round tube along a polyline; `radii` has one radius (mm) per point."""

    points: tuple[Point, ...]
    radii: tuple[float, ...]

    def coverage(self, plane: Plane) -> list[tuple[Window, Floats]]:
        """Return one section for each stretch of the polyline that the plane cuts."""
        ends = zip(self.points, self.points[1:], strict=False)
        widths = zip(self.radii, self.radii[1:], strict=False)
        return [
            self._stretch(plane, (start, end), width)
            for (start, end), width in zip(ends, widths, strict=True)
            if min(start[2], end[2]) - max(width) < plane.z_mm < max(start[2], end[2]) + max(width)
        ]

    @staticmethod
    def _stretch(plane: Plane, ends: tuple[Point, Point], width: tuple[float, float]) -> tuple[Window, Floats]:
        """Return the section of a capsule: the distance of each pixel to the stretch, less the radius there."""
        (x0, y0, z0), (x1, y1, z1) = ends
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        length2 = max(dx * dx + dy * dy + dz * dz, 1e-6)
        reach = max(abs(dx), abs(dy)) / 2 + max(width)
        window = plane.window((x0 + x1) / 2, (y0 + y1) / 2, reach)
        px, py = plane.x[window] - np.float32(x0), plane.y[window] - np.float32(y0)
        pz = np.float32(plane.z_mm - z0)
        along = np.clip((px * np.float32(dx) + py * np.float32(dy) + pz * np.float32(dz)) / np.float32(length2), 0, 1)
        qx, qy, qz = px - along * np.float32(dx), py - along * np.float32(dy), pz - along * np.float32(dz)
        radius = np.float32(width[0]) + along * np.float32(width[1] - width[0])
        return window, plane.soft(np.sqrt(qx * qx + qy * qy + qz * qz) - radius)
