"""Stored frames to encapsulated pixel data of another transfer syntax, frame by frame, losing nothing.

What stands around the pixels is ``transcode``'s affair; here are the header's changes and the element itself.

References
----------
PS3.5 A.4 (encapsulated pixel data), PS3.3 C.9.2 (overlays)
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Protocol

from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.compress import encode_frame
from pacs_gateway.imaging.decode import decode_stored
from pacs_gateway.imaging.pixels import PixelDescription

_ITEM = struct.Struct("<HHL")
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
_SEQUENCE_END = _ITEM.pack(0xFFFE, 0xE0DD, 0)
# So much is held back to learn where the frames begin; what is longer leaves without a table of them.
_TABLE_BYTES = 16 << 20
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_OVERLAY_ROWS, _OVERLAY_DATA = 0x0010, 0x3000


def check_nothing_is_lost(header: Dataset) -> None:
    """Refuse pixels whose spare bits hold an overlay, as was done before 2004: no decoded frame has them.

    Raises
    ------
    UnsupportedSyntaxError
        There is one.
    """
    for group in _OVERLAY_GROUPS:
        if (group << 16 | _OVERLAY_ROWS) in header and (group << 16 | _OVERLAY_DATA) not in header:
            raise UnsupportedSyntaxError("an overlay lies in the spare bits of the pixels: they leave as they are only")


def encoded_changes(encoded: PixelDescription) -> dict[str, str | int]:
    """Return the elements of the header that change, by keyword, when frames become as `encoded` says."""
    changes: dict[str, str | int] = {"HighBit": encoded.high_bit}
    if encoded.samples_per_pixel > 1:
        changes["PhotometricInterpretation"] = encoded.photometric_interpretation
        changes["PlanarConfiguration"] = encoded.planar_configuration
    return changes


class Recompressor(Protocol):
    """What encodes one stored frame anew: the function below, or the guard that runs it elsewhere."""

    def __call__(
        self, data: bytes, description: PixelDescription, encoded: PixelDescription, *, index: int = 0
    ) -> bytes:
        """Return the encoded frame; see `recompress_frame`."""


def recompress_frame(data: bytes, description: PixelDescription, encoded: PixelDescription, *, index: int = 0) -> bytes:
    """Return one stored frame, encoded anew; see ``decode_stored`` and ``encode_frame``."""
    return encode_frame(decode_stored(data, description, index=index), encoded)


def recompress(
    frames: Iterable[bytes],
    description: PixelDescription,
    encoded: PixelDescription,
    recompress_one: Recompressor = recompress_frame,
) -> Iterator[bytes]:
    """Yield stored frames, encoded anew.

    Parameters
    ----------
    frames
        As ``decode_frame`` takes them, all of them from the first on.
    description, encoded
        What they are, and what they are to become (`encoded_description`).

    Raises
    ------
    InvalidInstanceError
        A frame cannot be decoded, or there are not as many as the header says.
    """
    n_frames = 0
    for index, data in enumerate(frames):
        yield recompress_one(data, description, encoded, index=index)
        n_frames = index + 1
    if n_frames != description.n_frames:
        raise InvalidInstanceError("there are not as many frames as NumberOfFrames says")


def encapsulate(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a pixel data element with one fragment per frame.

    The Basic Offset Table is filled where the frames are few or small, and empty otherwise: it comes first, and where
    they begin is known last. An Extended Offset Table would be needed behind 4 GiB only, and comes first too.
    """
    rest = iter(frames)
    held: list[bytes] = []
    n_bytes = 0
    for frame in rest:
        held.append(_fragment(frame))
        n_bytes += len(held[-1])
        if n_bytes > _TABLE_BYTES:
            yield _PIXEL_DATA + _item(0)
            break
    else:
        yield _PIXEL_DATA + _offset_table(held)
    yield from held
    yield from map(_fragment, rest)
    yield _SEQUENCE_END


def _offset_table(fragments: list[bytes]) -> bytes:
    offsets = [0]
    for fragment in fragments[:-1]:
        offsets.append(offsets[-1] + len(fragment))
    return _item(4 * len(offsets)) + struct.pack(f"<{len(offsets)}L", *offsets)


def _fragment(frame: bytes) -> bytes:
    padding = b"\0" * (len(frame) % 2)
    return b"".join((_item(len(frame) + len(padding)), frame, padding))


def _item(length: int) -> bytes:
    return _ITEM.pack(0xFFFE, 0xE000, length)
