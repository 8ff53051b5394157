"""VOI windows: the three functions that turn values into shades (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pacs_gateway.errors import InputError

Values = NDArray[np.float64]


class VoiFunction(StrEnum):
    """(0028,1056) VOI LUT Function."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """A window in the units that the modality LUT or the rescale gives.

    Raises
    ------
    InputError
        The centre or width is not finite, or the width is too small for the function.
    """

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    def __post_init__(self) -> None:
        # PS3.3 C.11.2.1.2.1: at least 1 for LINEAR; C.11.2.1.3: more than 0 for the others
        is_wide_enough = self.width >= 1 if self.function is VoiFunction.LINEAR else self.width > 0
        if not (math.isfinite(self.center) and math.isfinite(self.width) and is_wide_enough):
            raise InputError("the window's centre or width is out of range")

    def shades(self, values: Values) -> Values:
        """Return shades from 0 to 1 for `values`."""
        return _SHADES[self.function](values, self.center, self.width)


def _linear(values: Values, center: float, width: float) -> Values:
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _linear_exact(values: Values, center: float, width: float) -> Values:
    return np.clip((values - center) / width + 0.5, 0, 1)


def _sigmoid(values: Values, center: float, width: float) -> Values:
    # beyond +-700 the exponential leaves the range of a float and the shade is 0 or 1 long since
    shades: Values = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    return shades


_SHADES = {
    VoiFunction.LINEAR: _linear,
    VoiFunction.LINEAR_EXACT: _linear_exact,
    VoiFunction.SIGMOID: _sigmoid,
}
