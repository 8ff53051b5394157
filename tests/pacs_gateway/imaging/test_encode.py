from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pacs_gateway.errors import UnsupportedSyntaxError
from pacs_gateway.imaging.encode import encode_jpeg, encode_png, fit

_GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
_RGB = np.stack([_GREY, 255 - _GREY, _GREY // 2], axis=-1)


@pytest.mark.parametrize("pixels", [_GREY, _RGB], ids=["grey", "rgb"])
def test_png_keeps_every_pixel(pixels: np.typing.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(encode_png(pixels)))), pixels)


@pytest.mark.parametrize(("pixels", "mode"), [(_GREY, "L"), (_RGB, "RGB")], ids=["grey", "rgb"])
def test_jpeg_is_close_and_smaller_with_less_quality(pixels: np.typing.NDArray[np.uint8], mode: str) -> None:
    opened = Image.open(BytesIO(encode_jpeg(pixels)))
    assert (opened.format, opened.mode) == ("JPEG", mode)
    assert abs(np.asarray(opened).astype(int) - pixels).mean() < 4
    assert len(encode_jpeg(pixels, quality=10)) < len(encode_jpeg(pixels, quality=95))


def test_jpeg_has_a_largest_size() -> None:
    with pytest.raises(UnsupportedSyntaxError):
        encode_jpeg(np.zeros((1, 65501), np.uint8))


@pytest.mark.parametrize(
    ("shape", "aspect", "expected"),
    [
        ((48, 64), 1, (75, 100)),
        ((64, 48), 1, (100, 75)),
        ((48, 64), 2, (100, 67)),
        ((100, 100), 0.5, (50, 100)),
        ((1, 5000), 1, (1, 100)),
        ((5000, 1), 1, (100, 1)),
        ((10, 20), 1, (50, 100)),
    ],
)
def test_fit_keeps_the_true_shape(shape: tuple[int, int], aspect: float, expected: tuple[int, int]) -> None:
    assert fit(np.zeros(shape, np.uint8), max_width=100, max_height=100, aspect=aspect).shape == expected


def test_fit_scales_colour() -> None:
    assert fit(_RGB, max_width=32, max_height=32).shape == (24, 32, 3)
