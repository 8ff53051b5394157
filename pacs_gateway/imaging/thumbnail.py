"""The small picture that stands for an object in lists."""

from io import BytesIO

import numpy as np
from PIL import Image

from pacs_gateway.imaging.encode import encode_gif, encode_jpeg, encode_png, fit
from pacs_gateway.imaging.view import MediaType, View

THUMBNAIL_SIDE = 256
THUMBNAIL = View(viewport=(THUMBNAIL_SIDE, THUMBNAIL_SIDE), may_enlarge=False, quality=80)
"""A small image is not enlarged."""


def middle_frame(n_frames: int) -> int:
    """Return the number (0-based) of the frame that stands for `n_frames`."""
    return max(n_frames - 1, 0) // 2


def rescaled(thumbnail: bytes, view: View) -> bytes | None:
    """Return a thumbnail that was made before as `view` asks for it, None where that takes the image itself.

    Parameters
    ----------
    thumbnail
        As drawn with `THUMBNAIL`: one that is smaller shows an image in its own size.
    """
    picture = Image.open(BytesIO(thumbnail), formats=["JPEG"])
    width, height = view.viewport or (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    is_whole = max(picture.size) < THUMBNAIL_SIDE
    if not is_whole and picture.width < width and picture.height < height:
        return None
    image = fit(np.asarray(picture), max_width=min(width, picture.width), max_height=min(height, picture.height))
    if view.media_type is MediaType.GIF:
        return encode_gif([image], frame_ms=0)
    return encode_png(image) if view.media_type is MediaType.PNG else encode_jpeg(image, quality=view.quality)
