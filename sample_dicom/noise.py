"""Grain and drawn numbers for every phantom: the same bits on every machine and under every NumPy.

NumPy promises no stable stream for its ``Generator`` between releases, and the committed subset is compared byte for
byte; so the numbers come from an integer hash of a counter (splitmix64) instead.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _hashes(seed: int, n: int) -> NDArray[np.uint64]:
    """Return `n` well mixed 64-bit words of the stream `seed`."""
    words = np.arange(1, n + 1, dtype=np.uint64)
    words += np.uint64(seed) * np.uint64(0x1000_0000)
    words *= _GOLDEN
    words ^= words >> np.uint64(30)
    words *= _MIX_1
    words ^= words >> np.uint64(27)
    words *= _MIX_2
    words ^= words >> np.uint64(31)
    return words


def grain(seed: int, shape: tuple[int, ...]) -> Floats:
    """Return almost normal noise of mean 0 and standard deviation 1.

    Four 16-bit uniforms are added (Irwin-Hall), which is exact in integers and near enough to a bell.
    """
    n = int(np.prod(shape))
    parts = _hashes(seed, n).view(np.uint16).reshape(n, 4).sum(axis=1, dtype=np.int64)
    # The sum of four uniforms on 0..65535 has mean 2 * 65535 and standard deviation 65536 * sqrt(4 / 12).
    bell: Floats = ((parts - 131070) / 37837.2).astype(np.float32)
    return bell.reshape(shape)


def uniforms(seed: int, n: int) -> list[float]:
    """Return `n` numbers in 0..1 of the stream `seed`."""
    return [float(word >> np.uint64(11)) / 2.0**53 for word in _hashes(seed, n)]


def smooth(field: Floats, radius: int) -> Floats:
    """Return `field` averaged over a square of ``2 * radius + 1`` samples, edges repeated; shape (rows, columns)."""
    out = field
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius, radius)
        padded = np.pad(out, pad, mode="edge")
        n = out.shape[axis]
        total = np.zeros_like(out)
        for step in range(2 * radius + 1):
            total += padded[step : step + n] if axis == 0 else padded[:, step : step + n]
        out = total / np.float32(2 * radius + 1)
    return out
