"""Overlay planes: drawings of one bit per pixel that lie over an image (PS3.3 C.9.2, C.9.3).

Their bits are an element of their own or, in old objects, the bits of the pixel cells that hold no sample (retired).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.grey import Image

Mask = NDArray[np.bool_]
GROUPS = range(0x6000, 0x6020, 2)
"""The sixteen groups of overlays (PS3.5 7.6)."""
WHITE = 255
_ROWS, _COLUMNS, _N_FRAMES, _ORIGIN, _FRAME_ORIGIN = 0x0010, 0x0011, 0x0015, 0x0050, 0x0051
_ALLOCATED, _BIT_POSITION, _DATA = 0x0100, 0x0102, 0x3000
_MAX_SIDE = 0xFFFF


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Size of an overlay, and where its first pixel lies on the image (0-based, possibly outside)."""

    rows: int
    columns: int
    top: int
    left: int


def overlay_mask(
    header: Dataset, shape: tuple[int, ...], *, index: int, cells: NDArray[np.number] | None = None
) -> Mask | None:
    """Return which pixels of a frame lie under any of its overlays; None where it has none.

    Parameters
    ----------
    header
        Of the image, or of the presentation state that brings overlays along.
    shape
        Of the frame; only rows and columns are looked at.
    index
        Number of the frame (0-based).
    cells
        The frame's pixel cells with all their bits, from ``decode_cells``; without them overlays in old objects'
        pixel cells are left out.

    Raises
    ------
    InvalidInstanceError
        An overlay is malformed or has less data than it says.
    """
    planes = [
        plane for group in GROUPS if (plane := plane_mask(header, group, shape, index=index, cells=cells)) is not None
    ]
    if not planes:
        return None
    mask: Mask = np.any(planes, axis=0)
    return mask


def plane_mask(
    header: Dataset,
    group: int,
    shape: tuple[int, ...],
    *,
    index: int,
    cells: NDArray[np.number] | None = None,
) -> Mask | None:
    """Return what `overlay_mask` does for the overlay of one group, from 0x6000 on."""
    geometry = _geometry(header, group)
    if geometry is None:
        return None
    if _tag(group, _DATA) in header:
        bits = _plane(header, group, geometry, index)
        return None if bits is None else _placed(bits, geometry, shape)
    position = _embedded_bit(header, group)
    if cells is None or position is None:
        return None
    set_bits: Mask = np.bitwise_and(cells, cells.dtype.type(1 << position)).astype(np.bool_)
    return set_bits


def has_embedded(header: Dataset) -> bool:
    """Return whether an image has overlays in the bits of its pixel cells."""
    return any(_embedded_bit(header, group) is not None for group in GROUPS)


def drawn(image: Image, mask: Mask | None, level: int | tuple[int, int, int] = WHITE) -> Image:
    """Return `image` with the pixels under `mask` in one level, or in one colour."""
    if mask is None:
        return image
    over = image.copy()
    over[mask] = level
    return over


def _tag(group: int, element: int) -> int:
    return group << 16 | element


def _geometry(header: Dataset, group: int) -> _Geometry | None:
    rows = elements.integer(header, _tag(group, _ROWS))
    columns = elements.integer(header, _tag(group, _COLUMNS))
    if rows is None or columns is None:
        return None
    if not (1 <= rows <= _MAX_SIDE and 1 <= columns <= _MAX_SIDE):
        raise InvalidInstanceError("an overlay has no size")
    origin = elements.numbers(header, _tag(group, _ORIGIN))
    # PS3.3 C.9.2.1.1: row and column of the image's pixel, from 1; 0 and less begin outside of it
    top, left = (int(number) - 1 for number in (origin if len(origin) == 2 else (1, 1)))
    return _Geometry(rows, columns, top, left)


def _plane(header: Dataset, group: int, geometry: _Geometry, index: int) -> Mask | None:
    """Return the bits that an element of its own holds for a frame of the image; None where it holds none."""
    position = _overlay_frame(header, group, index)
    if position is None:
        return None
    n_bits = geometry.rows * geometry.columns
    first = position * n_bits  # PS3.5 8.1.2: frames follow each other without gaps, least significant bit first
    data = elements.words(header, _tag(group, _DATA))
    if len(data) * 8 < first + n_bits:
        raise InvalidInstanceError("an overlay is cut short")
    packed = np.frombuffer(data[first // 8 : (first + n_bits + 7) // 8], np.uint8)
    bits = np.unpackbits(packed, bitorder="little", count=first % 8 + n_bits)[first % 8 :]
    return bits.reshape(geometry.rows, geometry.columns).view(np.bool_)


def _overlay_frame(header: Dataset, group: int, index: int) -> int | None:
    """Return which frame of an overlay (0-based) lies over frame `index` of the image (PS3.3 C.9.3.1.1)."""
    n_frames = elements.integer(header, _tag(group, _N_FRAMES))
    origin = elements.integer(header, _tag(group, _FRAME_ORIGIN))
    if (n_frames is None or n_frames <= 1) and origin is None:
        return 0  # one plane lies over every frame
    position = index - ((origin or 1) - 1)
    return position if 0 <= position < (n_frames or 1) else None


def _embedded_bit(header: Dataset, group: int) -> int | None:
    """Return the bit of a pixel cell that holds an overlay; None where it has data of its own or is empty."""
    position = elements.integer(header, _tag(group, _BIT_POSITION))
    allocated = elements.integer(header, "BitsAllocated")
    stored = elements.integer(header, "BitsStored")
    if position is None or allocated is None or stored is None or _tag(group, _DATA) in header:
        return None
    # an overlay that lost its data says bit 0 of 1: that would be a bit of the image itself
    if (
        elements.integer(header, "SamplesPerPixel") != 1
        or elements.integer(header, _tag(group, _ALLOCATED)) != allocated
    ):
        return None
    high = elements.integer(header, "HighBit")
    top = stored - 1 if high is None else high
    return position if 0 <= position < allocated and not top - stored < position <= top else None


def _placed(bits: Mask, geometry: _Geometry, shape: tuple[int, ...]) -> Mask:
    """Return a mask of the image's size with `bits` at their place; what lies outside is cut off."""
    mask = np.zeros(shape[:2], np.bool_)
    top, left = max(geometry.top, 0), max(geometry.left, 0)
    bottom = min(geometry.top + bits.shape[0], mask.shape[0])
    right = min(geometry.left + bits.shape[1], mask.shape[1])
    if top < bottom and left < right:
        mask[top:bottom, left:right] = bits[
            top - geometry.top : bottom - geometry.top, left - geometry.left : right - geometry.left
        ]
    return mask
