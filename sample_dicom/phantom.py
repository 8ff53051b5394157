"""The body phantom: chest and upper abdomen of nobody, as Hounsfield units and organs in any axial plane."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_dicom import abdomen, chest, trunk
from sample_dicom.noise import Floats, grain, smooth
from sample_dicom.plane import Plane


def section(x_mm: NDArray[np.float64], y_mm: NDArray[np.float64], z_mm: float, *, arms: bool = False) -> Plane:
    """Return the phantom cut at height `z_mm`, without noise, on the given columns and rows."""
    plane = Plane(x_mm, y_mm, z_mm)
    if arms:
        trunk.paint_arms(plane)
    surfaces = trunk.trunk_at(plane)
    trunk.paint_wall(plane, surfaces)
    trunk.paint_ribs(plane, surfaces)
    chest.paint_lungs(plane, surfaces)
    abdomen.paint_abdomen(plane, surfaces)
    chest.paint_mediastinum(plane)
    trunk.paint_skeleton(plane)
    return plane


@dataclass(frozen=True, slots=True)
class Scan:
    """One slice as a scanner gives it, shape (rows, columns)."""

    hu: NDArray[np.int16]
    """Hounsfield units, within what 12 bits hold from -1024."""
    organ: NDArray[np.uint8]
    """`Organ` of each pixel."""


def axial(pixels: int, z_mm: float, field_mm: float) -> Scan:
    """Return a square section of `field_mm` with the scanner's table and grain: what a CT scanner would give.

    The centre of the grid is the patient's middle; pixel (0, 0) is right and in front.
    """
    spacing = field_mm / pixels
    along = (np.arange(pixels, dtype=np.float64) - (pixels - 1) / 2) * spacing
    plane = section(along, along, z_mm)
    _paint_table(plane)
    noise = grain(1000 + round(z_mm * 10) % 4096, plane.hu.shape)
    hu = plane.hu + (smooth(noise, 1) * 24 + noise * 4) * _loudness(plane)
    return Scan(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), plane.organ)


def _loudness(plane: Plane) -> Floats:
    """Return how noisy each pixel is: more in the middle of the body, little in the air around it."""
    near = np.clip(1.15 - (plane.x * plane.x + plane.y * plane.y * 2) / np.float32(60000), 0.35, 1.2)
    return near.astype(np.float32)


def _paint_table(plane: Plane) -> None:
    """Paint the table top: a thin curved shell behind the patient, where there is only air."""
    air = (plane.hu < -900) & (plane.organ == 0)
    bow = np.sqrt(plane.x * plane.x + (plane.y + 300) ** 2) - np.float32(426)
    shell = plane.soft(np.abs(bow - 6) - np.float32(6)) * (np.abs(plane.x) < 195) * air * (plane.y > 60)
    foam = plane.soft(np.abs(bow - 6) - np.float32(4.5)) * (np.abs(plane.x) < 193) * air * (plane.y > 60)
    plane.hu += shell * (-150 - plane.hu)
    plane.hu += foam * (-930 - plane.hu)
