"""Where the frames of an object lie, decided once at ingest by walking the items (settled: Frames).

References
----------
PS3.5 A.4 (encapsulation, offset tables), PS3.5 8.1 (native pixel data)
"""

import struct
from dataclasses import dataclass
from itertools import pairwise

from pacs_gateway.archive.scan import Source
from pacs_gateway.domain.instance import FrameKind, FrameTable

# Start of a codestream: JPEG and JPEG-LS SOI, JPEG 2000 SOC+SIZ, JP2 and JPEG XL boxes, JPEG XL codestream
_CODESTREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c", b"\xff\x0a")


@dataclass(frozen=True, slots=True)
class NativeLayout:
    """How native pixel data is laid out."""

    bits_per_frame: int
    swapped: bool
    """Big endian, with samples wider than a byte."""


def native_frames(layout: NativeLayout, *, offset: int, length: int, n_frames: int) -> FrameTable:
    """Return the table of native pixel data whose value of `length` bytes lies at `offset`."""
    if layout.bits_per_frame <= 0 or (layout.bits_per_frame * n_frames + 7) // 8 > length:
        return FrameTable(FrameKind.DERIVED, n_frames)
    if layout.bits_per_frame % 8:
        return FrameTable(FrameKind.BITS, n_frames, (((offset, length),),), layout.bits_per_frame)
    stride = layout.bits_per_frame // 8
    kind = FrameKind.SWAP if layout.swapped else FrameKind.RAW
    return FrameTable(kind, n_frames, (((offset, stride),),), stride)


def encapsulated_frames(
    source: Source, items: tuple[tuple[int, int], ...], *, n_frames: int, extended: tuple[int, ...] = ()
) -> FrameTable:
    """Return the table of encapsulated pixel data.

    Parameters
    ----------
    items
        (offset, length) of every item, the Basic Offset Table first.
    extended
        The Extended Offset Table's values, empty where there is none.
    """
    if len(items) < 2:
        return FrameTable(FrameKind.DERIVED, n_frames)
    (table_offset, table_length), fragments = items[0], items[1:]
    if n_frames > len(fragments):
        return FrameTable(FrameKind.DERIVED, n_frames)
    # Offsets count from the first fragment's item tag, as far before its value as every other's (PS3.5 A.4).
    borders = {value - fragments[0][0]: n for n, (value, _) in enumerate(fragments)}
    # A table of another length says nothing, and is not read: it may be as long as the object.
    n_basic = n_frames if table_length // 4 == n_frames else 0
    basic = struct.unpack(f"<{n_basic}L", source[table_offset : table_offset + n_basic * 4])
    starts = _starts(extended, borders, n_frames) or _starts(basic, borders, n_frames)
    if starts is None and n_frames == 1:
        starts = [0]
    if starts is None and len(fragments) == n_frames:
        starts = list(range(n_frames))
    if starts is None:
        marked = [n for n, (at, _) in enumerate(fragments) if source[at : at + 4].startswith(_CODESTREAM_STARTS)]
        starts = marked if len(marked) == n_frames and marked[:1] == [0] else None
    if starts is None:
        return FrameTable(FrameKind.DERIVED, n_frames)
    ends = [*starts[1:], len(fragments)]
    ranges = tuple(fragments[start:end] for start, end in zip(starts, ends, strict=True))
    return FrameTable(FrameKind.FRAGMENTS, n_frames, ranges)


def _starts(offsets: tuple[int, ...], borders: dict[int, int], n_frames: int) -> list[int] | None:
    """Return the first fragment of each frame when an offset table agrees with the item borders."""
    if len(offsets) != n_frames or any(offset not in borders for offset in offsets):
        return None
    starts = [borders[offset] for offset in offsets]
    if starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        return None
    return starts
