"""Video: a stream that lies in the fragments of an object's pixel data (PS3.5 8.2.5 to 8.2.8).

References
----------
PS3.5 A.4 (encapsulation): the first item is the offset table, the stream is what the others hold one after the other.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.imaging.header import PIXEL_HEAD_BYTES
from pacs_gateway.storage.store import ObjectReader

_MPEG = "1.2.840.10008.1.2.4.10"
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_HEAD_BYTES = 8
# A stream has one fragment, or as many as make up for the 4 GiB that one can have at most.
_MAX_FRAGMENTS = 4096
_FILE_TYPE = b"ftyp"


@dataclass(frozen=True, slots=True)
class Video:
    """An MP4 file inside an object."""

    fragments: tuple[tuple[int, int], ...]
    """Offset and length of each in the stored file."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return sum(length for _, length in self.fragments)

    def ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield where `length` bytes from `offset` lie in the stored file: (offset, length) of each piece."""
        ends = accumulate(n_bytes for _, n_bytes in self.fragments)
        for (start, n_bytes), end in zip(self.fragments, ends, strict=True):
            first, last = max(offset, end - n_bytes), min(offset + length, end)
            if first < last:
                yield start + first - (end - n_bytes), last - first


def is_video(transfer_syntax_uid: str) -> bool:
    """Return whether pixel data in a transfer syntax is a video stream (PS3.5 A.4.5 to A.4.9)."""
    return transfer_syntax_uid.startswith(_MPEG)


def find_video(reader: ObjectReader, stored: StoredInstance) -> Video | None:
    """Return the MP4 file that an object's pixel data is, None where the stream comes in another container.

    A transport stream and a bare MPEG-2 stream are nothing that browsers play.
    """
    end = stored.size_bytes
    position = stored.pixels_offset + PIXEL_HEAD_BYTES
    items: list[tuple[int, int]] = []
    while position + _ITEM_HEAD_BYTES <= end and len(items) <= _MAX_FRAGMENTS:
        group, element, length = struct.unpack("<HHL", reader.read(position, _ITEM_HEAD_BYTES))
        position += _ITEM_HEAD_BYTES
        if group << 16 | element != _ITEM or length == _UNDEFINED or length > end - position:
            break
        items.append((position, length))
        position += length
    fragments = tuple(items[1:])
    if not fragments or len(items) > _MAX_FRAGMENTS:
        return None
    start, length = fragments[0]
    is_mp4 = length >= _ITEM_HEAD_BYTES and reader.read(start + 4, len(_FILE_TYPE)) == _FILE_TYPE
    return Video(fragments) if is_mp4 else None
