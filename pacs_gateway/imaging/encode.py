"""Shown pixels to files that browsers read, scaled to where they are shown."""

from collections.abc import Iterable
from io import BytesIO
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pacs_gateway.errors import UnsupportedSyntaxError

_MAX_JPEG_SIDE = 65500
"""libjpeg's own limit, a little under the format's 65535."""


def encode_jpeg(image: NDArray[np.uint8], *, quality: int = 90, profile: bytes | None = None) -> bytes:
    """Encode grey or RGB pixels as baseline JPEG of `quality` 1 to 100, with the ICC profile of its colours.

    Raises
    ------
    UnsupportedSyntaxError
        A side is longer than JPEG can have.
    """
    if max(image.shape[:2]) > _MAX_JPEG_SIDE:
        raise UnsupportedSyntaxError(f"JPEG has at most {_MAX_JPEG_SIDE} rows and columns")
    return _saved(image, "JPEG", profile, quality=quality)


def encode_png(image: NDArray[np.uint8], *, profile: bytes | None = None) -> bytes:
    """Encode grey or RGB pixels as PNG, with the ICC profile of its colours."""
    return _saved(image, "PNG", profile, compress_level=6)


def encode_gif(images: Iterable[NDArray[np.uint8]], *, frame_ms: float) -> bytes:
    """Encode grey or RGB pixels as GIF; several images as an animation without end, each shown for `frame_ms`.

    Grey stays as it is; colours are reduced to the 256 that GIF can have.
    """
    pictures = (Image.fromarray(image) for image in images)
    paletted = (
        picture if picture.mode == "L" else picture.quantize(method=Image.Quantize.FASTOCTREE) for picture in pictures
    )
    first = next(paletted)
    second = next(paletted, None)
    file = BytesIO()
    if second is None:
        first.save(file, "GIF")
    else:
        # The time is kept in hundredths of a second (GIF89a 23).
        rest = chain([second], paletted)
        first.save(file, "GIF", save_all=True, append_images=rest, duration=round(frame_ms / 10) * 10, loop=0)
    return file.getvalue()


def fit(image: NDArray[np.uint8], *, max_width: int, max_height: int, aspect: float = 1.0) -> NDArray[np.uint8]:
    """Return `image` scaled to the largest size within the given one that keeps its true shape.

    Parameters
    ----------
    aspect
        How many times higher than wide a pixel of `image` is; pixels of the result are square.
    """
    rows, columns = image.shape[:2]
    scale = min(max_width / columns, max_height / (rows * aspect))
    width, height = round(columns * scale), round(rows * aspect * scale)
    size = (min(max(width, 1), max_width), min(max(height, 1), max_height))
    if size == (columns, rows):
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def _saved(image: NDArray[np.uint8], form: str, profile: bytes | None, **options: int) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, form, icc_profile=profile, **options)
    return file.getvalue()
