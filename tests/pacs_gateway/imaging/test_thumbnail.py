from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pacs_gateway.errors import GatewayError
from pacs_gateway.imaging.thumbnail import middle_frame, thumbnail
from tests.pacs_gateway.imaging.samples import LITTLE, REFUSED, grey_header, image_paths, load, named


@pytest.mark.parametrize(("n_frames", "index"), [(1, 0), (2, 0), (3, 1), (30, 14), (31, 15)])
def test_the_middle_frame_stands_for_all(n_frames: int, index: int) -> None:
    assert middle_frame(n_frames) == index


@pytest.mark.parametrize("path", [path for path in image_paths() if path.name not in REFUSED], ids=lambda p: p.name)
def test_every_image_has_a_thumbnail(path: Path) -> None:
    sample = load(path)
    index = middle_frame(sample.description.n_frames)
    data = thumbnail(sample.frames()[index], sample.header, sample.syntax, index=index, vr=sample.vr)
    picture = Image.open(BytesIO(data))
    assert picture.format == "JPEG"
    assert max(picture.size) <= 256


def test_a_large_image_is_scaled_to_the_size_asked_for() -> None:
    sample = named("examples_overlay.dcm")
    picture = Image.open(BytesIO(thumbnail(sample.value, sample.header, sample.syntax, index=0, size=100)))
    assert picture.size == (100, 62)


def test_a_small_image_is_not_enlarged_but_gets_its_true_shape() -> None:
    header = grey_header(PixelSpacing=["2", "1"])
    picture = Image.open(BytesIO(thumbnail(np.arange(24, dtype="<u2").tobytes(), header, LITTLE, index=0)))
    assert picture.size == (6, 8)


def test_a_missing_frame_is_refused() -> None:
    with pytest.raises(GatewayError):
        thumbnail(b"", grey_header(), LITTLE, index=0)
