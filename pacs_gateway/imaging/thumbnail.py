"""The small picture that stands for an object in lists."""

from pacs_gateway.imaging.view import View

THUMBNAIL_SIDE = 256
THUMBNAIL = View(viewport=(THUMBNAIL_SIDE, THUMBNAIL_SIDE), may_enlarge=False, quality=80)
"""A small image is not enlarged."""


def middle_frame(n_frames: int) -> int:
    """Return the number (0-based) of the frame that stands for `n_frames`."""
    return max(n_frames - 1, 0) // 2
