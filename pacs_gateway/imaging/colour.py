"""Colour spaces of stored pixels turned into RGB (PS3.3 C.7.6.3.1.2)."""

import numpy as np
from numpy.typing import NDArray

# The inverse of the equations of PS3.3 C.7.6.3.1.2 (ITU-R BT.601 luma, full range): Cr to R, Cb and Cr to G, Cb to B.
_CR_TO_R, _CB_TO_G, _CR_TO_G, _CB_TO_B = 1.402, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587, 1.772


def ybr_full_to_rgb(frame: NDArray[np.number], bits_stored: int) -> NDArray[np.number]:
    """Return a YBR_FULL frame (rows, columns, 3) as RGB of the same type."""
    y, cb, cr = (frame[..., sample].astype(np.float32) for sample in range(3))
    centre, top = 2 ** (bits_stored - 1), 2**bits_stored - 1
    cb -= centre
    cr -= centre
    rgb = np.empty_like(frame)
    rgb[..., 0] = _rounded(y + _CR_TO_R * cr, top)
    rgb[..., 1] = _rounded(y + _CB_TO_G * cb + _CR_TO_G * cr, top)
    rgb[..., 2] = _rounded(y + _CB_TO_B * cb, top)
    return rgb


def spread_422(samples: NDArray[np.number], rows: int, columns: int) -> NDArray[np.number]:
    """Return native YBR_FULL_422 samples (Y1 Y2 Cb Cr ...) as a YBR_FULL frame (rows, columns, 3)."""
    pairs = samples.reshape(rows, columns // 2, 4)
    frame = np.empty((rows, columns, 3), samples.dtype)
    frame[..., 0] = pairs[..., :2].reshape(rows, columns)
    # Cb and Cr are sited with the first of the two pixels and hold for both
    frame[..., 1:] = pairs[..., 2:].repeat(2, axis=1)
    return frame


def _rounded(values: NDArray[np.float32], top: int) -> NDArray[np.float32]:
    return np.clip(np.rint(values), 0, top)
