"""A stored image to the file somebody looks at: one pure function, the whole of which can run in a guarded process."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_gateway.errors import InputError, UnsupportedSyntaxError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.annotation import annotated
from pacs_gateway.imaging.decode import decode_cells, decode_frame
from pacs_gateway.imaging.display import Image, pixel_aspect, render
from pacs_gateway.imaging.encode import encode_gif, encode_jpeg, encode_png, fit
from pacs_gateway.imaging.header import parse_header
from pacs_gateway.imaging.icc import profiled
from pacs_gateway.imaging.overlay import drawn, has_embedded, overlay_mask
from pacs_gateway.imaging.pixels import PixelDescription, describe_pixels
from pacs_gateway.imaging.softcopy.present import present
from pacs_gateway.imaging.view import Annotation, MediaType, Region, View

MAX_PIXELS = 2**26
"""Most pixels that a picture is enlarged to."""
_MAX_CLIP_PIXELS = 2**25
"""Most pixels that the frames of a GIF have together: a few seconds of work."""
_FRAME_TIME_MS = 100.0
# Slower is a still; faster than 20 ms browsers show as 100.
_FRAME_TIMES_MS = (20.0, 10_000.0)


def draw(
    header: bytes,
    transfer_syntax_uid: str,
    frames: Sequence[bytes],
    indices: Sequence[int],
    view: View,
    state: bytes = b"",
) -> bytes:
    """Return frames of an image as a file: the first one, as GIF all of them one after the other.

    Parameters
    ----------
    header
        As ``parse_header`` takes it.
    frames
        The stored bytes of each frame, as ``decode_frame`` takes them.
    indices
        The number (0-based) of each frame.
    state
        A presentation state to show it by, in explicit VR little endian; it replaces the window of the view.

    Raises
    ------
    InputError
        The view asks for a part that is not there.
    InvalidInstanceError
        The header, the state or a frame is malformed.
    UnsupportedSyntaxError
        Pixels of this kind or in this transfer syntax cannot be shown, or not in this form.
    """
    parsed, vr = parse_header(header, transfer_syntax_uid)
    description = describe_pixels(parsed, transfer_syntax_uid, vr=vr)
    source = _Source(description, parsed, parse_header(state, ExplicitVRLittleEndian)[0] if state else None)
    shown = (
        profiled(_shown(source, data, index, view), source.coloured_by, view.icc_profile)
        for data, index in zip(frames, indices, strict=True)
    )
    if view.media_type is MediaType.GIF:
        _check_clip(description, len(frames), view)
        return encode_gif((image for image, _ in shown), frame_ms=frame_time_ms(parsed))
    image, profile = next(shown)
    if view.media_type is MediaType.PNG:
        return encode_png(image, profile=profile)
    return encode_jpeg(image, quality=view.quality, profile=profile)


@dataclass(frozen=True, slots=True)
class _Source:
    """What a picture is made of, beside its pixels."""

    description: PixelDescription
    header: Dataset
    state: Dataset | None

    @property
    def coloured_by(self) -> Dataset:
        """The header that says what the picture's colours mean: a state has a profile of its own (PS3.4 N.2.4)."""
        return self.header if self.state is None or "ICCProfile" not in self.state else self.state


def _check_clip(description: PixelDescription, n_frames: int, view: View) -> None:
    """Refuse a clip that would take too long."""
    width, height = view.viewport or (description.columns, description.rows)
    if n_frames > 1 and n_frames * width * height > _MAX_CLIP_PIXELS:
        raise UnsupportedSyntaxError(
            f"{n_frames} frames are too large for one GIF: ask for fewer, or for a smaller viewport"
        )


def _shown(source: _Source, data: bytes, index: int, view: View) -> Image:
    """Return one frame as it is to be looked at."""
    header, state = source.header, source.state
    frame = decode_frame(data, source.description, index=index)
    has_overlays = state is not None or Annotation.TECHNIQUE in view.annotations
    cells = None
    if has_overlays and has_embedded(header):
        cells = decode_cells(data, source.description, index=index)
    if state is not None:
        viewport = None if view.region else view.viewport
        image, aspect = present(frame, header, state, index=index, viewport=viewport, cells=cells), 1.0
    else:
        image, aspect = render(frame, header, index=index, window=view.window), pixel_aspect(header, index=index)
        if has_overlays:
            image = drawn(image, overlay_mask(header, image.shape, index=index, cells=cells))
    if view.region:
        image = _cut(image, view.region)
    return annotated(_sized(image, aspect, view), header, view.annotations, index=index)


def _sized(image: Image, aspect: float, view: View) -> Image:
    """Return an image with square pixels, in the size that the view asks for."""
    rows, columns = image.shape[:2]
    # Pixels become square by more of them, not by fewer: nothing is lost.
    width, height = round(columns * max(1 / aspect, 1)), round(rows * max(aspect, 1))
    if width * height > MAX_PIXELS:
        width, height = columns, rows
    if view.viewport:
        room = view.viewport
        width, height = room if view.may_enlarge else (min(width, room[0]), min(height, room[1]))
    return fit(image, max_width=width, max_height=height, aspect=aspect)


def frame_time_ms(header: Dataset) -> float:
    """Return how long each frame of a clip is shown: as its maker recommends, else as it was taken."""
    # PS3.3 C.7.6.5: rates for display first (frames per second), then the time between frames
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        for rate in elements.numbers(header, keyword)[:1]:
            if rate > 0:
                return _clamped(1000 / rate)
    for keyword in ("FrameTime", "FrameTimeVector"):
        times = [time for time in elements.numbers(header, keyword) if time > 0]
        if times:
            return _clamped(sum(times) / len(times))
    return _FRAME_TIME_MS


def _clamped(time_ms: float) -> float:
    shortest, longest = _FRAME_TIMES_MS
    return min(max(time_ms, shortest), longest)


def _in_pixels(region: Region, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return the smallest region of whole pixels that holds one given in parts of the image."""
    x, y, width, height = region.sides
    left, top = math.floor(x * columns), math.floor(y * rows)
    right, bottom = math.ceil(round((x + width) * columns, 6)), math.ceil(round((y + height) * rows, 6))
    return left, top, right - left, bottom - top


def _cut(image: Image, region: Region) -> Image:
    """Return a part of an image.

    Raises
    ------
    InputError
        It reaches beyond the image.
    """
    rows, columns = image.shape[:2]
    x, y, width, height = _in_pixels(region, rows, columns) if region.is_fraction else map(round, region.sides)
    width, height = width or columns - x, height or rows - y
    if not (0 <= x < columns and 0 <= y < rows and 0 < abs(width) <= columns - x and 0 < abs(height) <= rows - y):
        raise InputError("the region to show lies outside the image")
    part = image[y : y + abs(height), x : x + abs(width)]
    return np.ascontiguousarray(part[:: -1 if height < 0 else 1, :: -1 if width < 0 else 1])
