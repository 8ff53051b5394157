"""The frame table as the index keeps it."""

import orjson

from pacs_gateway.domain.instance import FrameKind, FrameTable


def pack(table: FrameTable) -> bytes:
    """Return `table` encoded."""
    return orjson.dumps([table.kind, table.n_frames, table.stride, table.ranges])


def unpack(packed: bytes) -> FrameTable:
    """Return the table that ``pack`` encoded."""
    kind, n_frames, stride, ranges = orjson.loads(packed)
    frames = tuple(tuple((offset, length) for offset, length in frame) for frame in ranges)
    return FrameTable(FrameKind(kind), n_frames, frames, stride)
