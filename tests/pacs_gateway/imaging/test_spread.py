import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_gateway.imaging.padding import padding
from pacs_gateway.imaging.spread import spread
from pacs_gateway.imaging.window import Values
from tests.pacs_gateway.imaging.samples import grey_header


def _as_stored(values: Values) -> Values:
    return values


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["u1", "i2", "u4", "f4"]),
    deviation=st.sampled_from([0.4, 3, 40, 1e4]),
    slope=st.sampled_from([1.0, -2.0, 0.5]),
)
def test_the_window_is_from_numpys_percentiles(seed: int, dtype: str, deviation: float, slope: float) -> None:
    drawn = np.random.default_rng(seed).normal(100, deviation, (40, 60))
    info = np.iinfo(dtype) if dtype != "f4" else np.iinfo("i4")
    frame = np.clip(drawn, info.min, info.max).astype(dtype)
    window = spread(frame, lambda values: values * slope, None)
    low, high = np.percentile(frame.astype(np.float64) * slope, [1, 99])
    if low < high:
        assert window.center == pytest.approx((low + high) / 2)
        assert window.width == pytest.approx(high - low)


@pytest.mark.parametrize(("dtype", "value"), [("i2", 63536), ("i2", -2000), ("u2", 63536)])
def test_padding_is_told_by_its_bits(dtype: str, value: int) -> None:
    frame = np.arange(2400).astype(dtype).reshape(40, 60)
    frame[:20] = np.array(value).astype(dtype)
    header = grey_header(PixelRepresentation=int(dtype == "i2"))
    header.add_new("PixelPaddingValue", "SL", value)
    window = spread(frame, _as_stored, padding(frame, header))
    assert window.center == pytest.approx(1799.5)


def test_an_image_of_padding_alone_is_spread_all_the_same() -> None:
    frame = np.full((4, 6), 7, np.uint16)
    background = padding(frame, grey_header(PixelPaddingValue=7))
    assert background is None
    assert spread(frame, _as_stored, background).width > 0


@pytest.mark.parametrize("value", [-1e300, -1.0, 0.0, 1.0, 1e300])
def test_one_value_makes_a_window_too(value: float) -> None:
    assert spread(np.full((4, 6), value), _as_stored, None).width > 0
