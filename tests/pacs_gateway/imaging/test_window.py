import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_gateway.errors import InputError
from pacs_gateway.imaging.window import VoiFunction, Window

_VALUES = st.floats(-1e6, 1e6)
_CENTERS = st.floats(-1e5, 1e5)


def _linear(x: float, c: float, w: float) -> float:
    """The pseudo code of PS3.3 C.11.2.1.2.1, word for word, for an output from 0 to 1."""
    y_min, y_max = 0.0, 1.0
    if x <= c - 0.5 - (w - 1) / 2:
        return y_min
    if x > c - 0.5 + (w - 1) / 2:
        return y_max
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * (y_max - y_min) + y_min


def _linear_exact(x: float, c: float, w: float) -> float:
    """The pseudo code of PS3.3 C.11.2.1.3.2."""
    y_min, y_max = 0.0, 1.0
    if x <= c - w / 2:
        return y_min
    if x > c + w / 2:
        return y_max
    return ((x - c) / w + 0.5) * (y_max - y_min) + y_min


def _sigmoid(x: float, c: float, w: float) -> float:
    """The equation of PS3.3 C.11.2.1.3.1."""
    exponent = -4 * (x - c) / w
    return 0.0 if exponent > 700 else 1 / (1 + math.exp(exponent))


@settings(deadline=None)
@given(_VALUES, _CENTERS, st.just(1.0) | st.floats(1.01, 1e5))
def test_linear_is_the_standards(x: float, center: float, width: float) -> None:
    (shade,) = Window(center, width).shades(np.array([x]))
    assert shade == pytest.approx(_linear(x, center, width), abs=1e-6)


@settings(deadline=None)
@given(_VALUES, _CENTERS, st.floats(1e-3, 1e5))
def test_linear_exact_is_the_standards(x: float, center: float, width: float) -> None:
    (shade,) = Window(center, width, VoiFunction.LINEAR_EXACT).shades(np.array([x]))
    assert shade == pytest.approx(_linear_exact(x, center, width), abs=1e-6)


@settings(deadline=None)
@given(_VALUES, _CENTERS, st.floats(1e-3, 1e5))
def test_sigmoid_is_the_standards(x: float, center: float, width: float) -> None:
    (shade,) = Window(center, width, VoiFunction.SIGMOID).shades(np.array([x]))
    assert shade == pytest.approx(_sigmoid(x, center, width), abs=1e-6)


def test_a_width_of_one_is_a_threshold() -> None:
    assert Window(10, 1).shades(np.array([9.0, 9.5, 10.0])).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [
        (0, 0.5, VoiFunction.LINEAR),
        (0, 0, VoiFunction.LINEAR_EXACT),
        (0, -1, VoiFunction.SIGMOID),
        (math.nan, 1, VoiFunction.LINEAR),
        (0, math.inf, VoiFunction.LINEAR),
    ],
)
def test_a_window_that_shows_nothing_is_refused(center: float, width: float, function: VoiFunction) -> None:
    with pytest.raises(InputError):
        Window(center, width, function)
