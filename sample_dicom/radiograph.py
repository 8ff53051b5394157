"""A chest radiograph of the body phantom: X-rays summed along their way from back to front."""

import numpy as np
from numpy.typing import NDArray

from sample_dicom.noise import Floats, grain, smooth
from sample_dicom.phantom import section

FIELD_MM = 400.0
"""Width and height of the detector."""
_TOP_MM = 232.0
"""Height of the detector's upper edge in the phantom."""
_FINEST_MM = 1.1
"""Sampling of the projection; finer costs seconds and shows nothing more."""
_DEPTH_MM = 3.0


def _thickness(n: int) -> Floats:
    """Return the water-equivalent thickness (mm) of the phantom seen from the front, ``n`` by ``n``, head first."""
    step = FIELD_MM / n
    x = (np.arange(n, dtype=np.float64) - (n - 1) / 2) * step
    y = np.arange(-120.0, 124.0, _DEPTH_MM)
    rows = []
    for index in range(n):
        hu = section(x, y, _TOP_MM - (index + 0.5) * step, arms=True).hu
        # Bone stops far more of a radiograph's soft spectrum than its CT number tells.
        density = np.maximum(hu + 1000, 0) / 1000 + np.maximum(hu - 180, 0) / 900
        rows.append(density.sum(axis=0) * _DEPTH_MM)
    # The focal spot and the patient's breath blur what the phantom has sharp.
    return smooth(np.asarray(rows, np.float32), 1)


def _weights(n_out: int, n_in: int) -> tuple[NDArray[np.intp], list[Floats]]:
    """Return the first of four source samples and the cubic (Catmull-Rom) weights for each output sample."""
    at = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    first = np.floor(at).astype(np.intp)
    t = at - first
    weights = (
        ((-t + 2) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((-3 * t + 4) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    return first - 1, [weight.astype(np.float32) for weight in weights]


def resample(image: Floats, rows: int, columns: int) -> Floats:
    """Return the image at another size, by cubic interpolation."""
    first, weights = _weights(rows, image.shape[0])
    tall = np.zeros((rows, image.shape[1]), np.float32)
    for step, weight in enumerate(weights):
        tall += weight[:, np.newaxis] * image[np.clip(first + step, 0, image.shape[0] - 1)]
    first, weights = _weights(columns, image.shape[1])
    out = np.zeros((rows, columns), np.float32)
    for step, weight in enumerate(weights):
        out += weight * tall[:, np.clip(first + step, 0, image.shape[1] - 1)]
    return out


def _picture(n: int) -> Floats:
    """Return the picture, 0 (black, air) to 1 (white), after the detector's processing, ``n`` by ``n``."""
    thickness = _thickness(n)
    # A wide blur subtracted from the logarithmic signal is how real units squeeze the range of a chest film.
    radius = max(1, n // 18)
    veil = smooth(smooth(thickness, radius), radius)
    image = thickness - 0.62 * veil
    bright = np.maximum(image - 4, 0) / 105
    # The shoulder of the tone curve keeps the spine visible through the heart.
    toned: Floats = np.clip(1.62 * bright / (bright + 0.72), 0, 1)
    return toned


def chest_film(pixels: int) -> NDArray[np.uint16]:
    """Return a 12-bit chest film, bones white (MONOCHROME2), of ``pixels`` by ``pixels``."""
    image = resample(_picture(min(pixels, round(FIELD_MM / _FINEST_MM))), pixels, pixels)
    noise = grain(77, image.shape)
    mottle = smooth(noise, 1) * 2.0 + noise * 0.4
    stored = 120 + 3650 * np.clip(image, 0, 1) + mottle * (14 - 8 * np.clip(image, 0, 1))
    return np.clip(np.rint(stored), 0, 4095).astype(np.uint16)
