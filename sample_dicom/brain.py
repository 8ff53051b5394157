"""The head phantom: T1-weighted brightness of a brain that nobody has, in axial planes."""

import numpy as np
from numpy.typing import NDArray

from sample_dicom.noise import Floats, grain, uniforms

_AIR, _FAT, _BONE, _MARROW, _CSF, _GREY, _WHITE, _MUSCLE = 12, 900, 45, 420, 130, 400, 600, 330
Field = NDArray[np.float64]


def _waves(seed: int, shape: tuple[Field, Field, float], wavelength_mm: float) -> Field:
    """Return a smooth random field of about -1..1: twelve plane waves, the same field in every plane."""
    x, y, z = shape
    draws = uniforms(seed, 60)
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for index in range(12):
        a, b, c, length, phase = draws[index * 5 : index * 5 + 5]
        direction = np.array([a - 0.5, b - 0.5, (c - 0.5) * 0.8])
        direction *= (
            2 * np.pi / (wavelength_mm * (0.75 + 0.5 * length)) / max(float(np.sqrt(direction @ direction)), 0.05)
        )
        total += np.sin(direction[0] * x + direction[1] * y + direction[2] * z + 6.2832 * phase)
    return total / 3.5


def _inside(distance_mm: Field, edge_mm: float) -> Field:
    """Return how much of each pixel lies inside, from the signed distance (inside negative)."""
    return np.clip(0.5 - distance_mm / edge_mm, 0, 1)


class _Slice:
    """One plane being painted, brightness and coordinates (mm; x left, y back, z up from the thalamus)."""

    def __init__(self, pixels: int, z_mm: float, field_mm: float) -> None:
        along = (np.arange(pixels) - (pixels - 1) / 2) * field_mm / pixels
        self.x, self.y, self.z = along[np.newaxis, :], along[:, np.newaxis], z_mm
        self.edge = 1.3 * field_mm / pixels
        self.image = np.full((pixels, pixels), float(_AIR))

    def ball(self, centre: tuple[float, float, float], radii: tuple[float, float, float], turn_deg: float = 0) -> Field:
        """Return the signed distance to an ellipsoid, about right near its surface."""
        a, b, c = radii
        turn = np.deg2rad(turn_deg)
        dx, dy = self.x - centre[0], self.y - centre[1]
        u = (dx * np.cos(turn) + dy * np.sin(turn)) / a
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / b
        r: Field = np.sqrt(u * u + v * v + ((self.z - centre[2]) / c) ** 2)
        return (r - 1) * min(a, b)

    def paint(self, distance_mm: Field, value: Field | float, within: Field | float = 1.0) -> None:
        """Blend `value` over the inside of a surface."""
        self.image += _inside(distance_mm, self.edge) * within * (value - self.image)


def t1_slice(pixels: int, z_mm: float, field_mm: float) -> NDArray[np.uint16]:
    """Return one axial T1-weighted slice, 12 bits, shape (rows, columns); the thalamus is at 0 mm."""
    cut = _Slice(pixels, z_mm, field_mm)
    wobble = 1.6 * _waves(5, (cut.x, cut.y, z_mm), 90)
    head = cut.ball((0, 0, 0), (78, 98, 104)) + wobble
    cut.paint(head, _MUSCLE)
    cut.paint(head + 2.0, _FAT)
    cut.paint(head + 6.5, _MUSCLE - 60)
    skull = cut.ball((0, 0, 2), (71, 90, 93)) + wobble
    cut.paint(skull, _BONE)
    cut.paint(np.abs(skull + 3.4) - 1.1, _MARROW)
    cut.paint(skull + 7.5, _CSF)
    brain = skull + 9.5
    _paint_cerebrum(cut, brain)
    if z_mm < -20:
        _paint_hindbrain(cut, brain)
        _paint_face(cut, head)
    shading = 1.06 - 0.0016 * np.sqrt(cut.x**2 + cut.y**2)
    noise: Floats = grain(3000 + round(z_mm * 10) % 4096, cut.image.shape)
    real = cut.image * shading + 13.0 * noise
    # The magnitude of complex data with noise in both parts: Rician, as in a real magnitude image.
    imaginary = 13.0 * grain(9000 + round(z_mm * 10) % 4096, cut.image.shape)
    magnitude: Field = np.sqrt(real**2 + imaginary**2)
    stored: NDArray[np.uint16] = np.clip(np.rint(magnitude), 0, 4095).astype(np.uint16)
    return stored


def _paint_cerebrum(cut: _Slice, brain: Field) -> None:
    """Paint both hemispheres with folded cortex, ventricles and the deep grey matter."""
    # The cleft between the hemispheres: deep in front and behind, shallow over the corpus callosum.
    beside = np.abs(cut.x + 1.2 * np.sin(cut.y / 21))
    beyond = 40 - np.abs(cut.y) - max(cut.z, 0.0) * 1.3
    cleft = np.maximum(beside - 1.0, beyond)
    depth = np.minimum(-brain, cleft)
    # A furrow runs where the folding field crosses zero, down to about 17 mm; the grey ribbon follows it.
    folds = _waves(41, (cut.x, cut.y, cut.z), 30.0) + 0.3 * _waves(43, (cut.x, cut.y, cut.z), 13.0)
    furrow = np.abs(folds) * 5.2 + np.maximum(depth - 13, 0) * 0.9
    ribbon = np.minimum(depth, furrow)
    cut.paint(brain, _CSF + 30)
    cut.paint(np.maximum(0.5 - ribbon, brain), _GREY)
    cut.paint(np.maximum(3.2 - ribbon, brain + 3.2), _WHITE)
    insula = 24 if -22 < cut.z < 22 else 0
    for side in (-1, 1):
        if insula:
            gap = np.abs(cut.x - side * (43 + 0.10 * cut.y + 2 * np.sin(cut.y / 6))) - 1.4
            cut.paint(np.maximum(gap - 3.2, np.abs(cut.y + 8) - insula), _GREY)
            cut.paint(np.maximum(gap, np.abs(cut.y + 8) - insula), _CSF)
        cut.paint(cut.ball((side * 24, -4, 4), (8, 20, 15), side * -14), _GREY + 25)
        cut.paint(cut.ball((side * 10, 14, 4), (10, 15, 12), side * 22), _GREY + 40)
        cut.paint(cut.ball((side * 15, -24, 12), (7, 12, 17), side * -16), _GREY + 10)
        _paint_ventricle(cut, side)
    cut.paint(cut.ball((0, 8, 0), (2.6, 16, 13)), _CSF)
    cut.paint(cut.ball((0, 2, -18), (24, 27, 13)), _CSF + 20)
    cut.paint(cut.ball((0, 4, -24), (18, 15, 26)), _WHITE - 40)
    cut.paint(cut.ball((0, -14, -16), (26, 9, 6)), _CSF + 10)
    for y, radii in ((-36.0, (13, 4.5, 16)), (34.0, (14, 5, 14))):
        cut.paint(cut.ball((0, y, 16), radii), _WHITE + 30)
    cut.paint(cut.ball((0, 0, 33), (12, 38, 4.5)), _WHITE + 30)
    cut.paint(np.maximum(cleft - 0.2, brain), _CSF + 20)


def _paint_ventricle(cut: _Slice, side: int) -> None:
    """Paint the lateral ventricle of one side: front horn, body, back horn."""
    cut.paint(cut.ball((side * 10, -27, 14), (4.6, 14, 14), side * -24), _CSF)
    cut.paint(cut.ball((side * 10, 2, 24), (6.5, 33, 8.5), side * 6), _CSF)
    cut.paint(cut.ball((side * 22, 38, 8), (6.0, 19, 14), side * 18), _CSF)
    cut.paint(cut.ball((side * 20, 30, 8), (3.0, 6, 8), side * 18), _GREY + 60)


def _paint_hindbrain(cut: _Slice, brain: Field) -> None:
    """Paint the skull's base, the brain stem in its cistern and the cerebellum with its leaves."""
    behind = np.maximum(cut.ball((0, 46, -52), (60, 42, 36)), brain)
    cut.paint(behind, _CSF + 10)
    cut.paint(np.maximum(cut.ball((0, -2, -46), (21, 24, 26)), brain), _CSF)
    for side in (-1, 1):
        ridge = np.maximum(cut.ball((side * 44, 14, -50), (34, 8.5, 17), side * 30), brain - 5)
        cut.paint(ridge, _BONE + 30)
        lobe = np.maximum(cut.ball((side * 25, 46, -52), (31, 30, 32), side * 12), brain + 1)
        cut.paint(lobe, _GREY + 10)
        leaves = np.abs(np.sin((cut.y - 0.3 * np.abs(cut.x) + 2.0 * np.sin(cut.x / 7)) * 0.62)) * 4.4
        cut.paint(np.maximum(lobe + 1.5, leaves - 0.55), _CSF + 120)
        cut.paint(np.maximum(lobe + 8, 1.5 - leaves * 0.5), _WHITE - 30)
        cut.paint(cut.ball((side * 19, 42, -52), (14, 11, 16), side * 20), _WHITE - 20)
    cut.paint(cut.ball((0, 54, -52), (7, 20, 24)), _GREY)
    cut.paint(cut.ball((0, 6, -46), (17, 15, 40)), _WHITE - 40)
    cut.paint(cut.ball((0, 27, -48), (8, 6, 16)), _CSF)
    cut.paint(cut.ball((0, -14, -46), (2.4, 2.4, 40)), _CSF - 80)
    cut.paint(cut.ball((0, -26, -48), (10, 9, 12)), _BONE + 60)


def _paint_face(cut: _Slice, head: Field) -> None:
    """Paint what lies before the brain's base: eyes in their fat with muscles and nerve, sinuses."""
    inner = _inside(head + 5, cut.edge)
    for side in (-1, 1):
        turn = side * 16
        cut.paint(cut.ball((side * 30, -62, -44), (20, 32, 19), turn), _BONE, inner)
        cut.paint(cut.ball((side * 30, -63, -44), (18, 30, 17), turn), _FAT * 0.85, inner)
        for offset in (-11.5, 11.5):
            cut.paint(cut.ball((side * 29 + offset, -58, -44), (2.2, 20, 8), turn), _GREY, inner)
        cut.paint(cut.ball((side * 26, -52, -44), (2.4, 20, 4), turn), _GREY + 60, inner)
        cut.paint(cut.ball((side * 32, -72, -44), (13.4, 13.4, 13.4)), _GREY - 60, inner)
        cut.paint(cut.ball((side * 32, -72, -44), (12, 12, 12)), _CSF + 10, inner)
        cut.paint(cut.ball((side * 33, -82, -44), (5, 2.6, 5)), _GREY + 60, inner)
        cut.paint(cut.ball((side * 8, -62, -50), (7, 26, 24)), _AIR + 20, inner)
    cut.paint(np.maximum(np.abs(cut.x) - 0.8, np.abs(cut.y + 62) - 24) + 90.0 * (cut.z > -34), _GREY, inner)
