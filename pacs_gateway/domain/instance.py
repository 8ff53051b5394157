"""An instance as the gateway knows it: what was received, from where, and where its frames lie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from pacs_gateway.domain.rejection import Reach


class Method(StrEnum):
    """How an instance came in."""

    DIMSE = "dimse"
    STOW = "stow"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent an instance, how and for which facility; kept with every instance."""

    method: Method
    facility: str
    """Code of the facility the instance belongs to (``PACS_FACILITY`` unless the device says otherwise)."""
    source: str = ""
    """Calling AE title, account name, or empty for an import."""
    address: str = ""
    """Network address of the peer, empty for an import."""
    charset: str = ""
    """Character set of texts whose own declaration is missing or often wrong; empty: by evidence."""
    issuer: str = ""
    """Issuer of patient IDs that come without one; empty: the facility."""
    reach: Reach = Reach.NOTHING
    """What its rejection notes may take out of sight, as decided when it came."""


class FrameKind(StrEnum):
    """How the bytes of a frame become a frame (settled: Frames)."""

    RAW = "raw"
    SWAP = "swap"
    BITS = "bits"
    FRAGMENTS = "fragments"
    DERIVED = "derived"
    """No byte range of the stored object is a frame (a deflated data set, or fragments that cannot be told apart)."""


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Where each frame lies in the stored object.

    ``ranges[n]`` lists (offset, length) in bytes from the start of the stored file for frame n (0-based); several
    where a frame has several fragments. For native pixel data only the first frame is listed and ``stride`` gives
    the distance to the next one, in bytes (in bits for ``FrameKind.BITS``).
    """

    kind: FrameKind
    n_frames: int
    ranges: tuple[tuple[tuple[int, int], ...], ...] = ()
    stride: int = 0

    def frame(self, index: int) -> tuple[tuple[int, int], ...]:
        """Return the byte ranges of frame `index` (0-based)."""
        if self.kind in (FrameKind.RAW, FrameKind.SWAP):
            ((offset, length),) = self.ranges[0]
            first, last = index * self.stride, index * self.stride + length
            if self.kind is FrameKind.SWAP:  # whole words: those of frames with an odd length hold a neighbour's byte
                first, last = first - first % 2, last + last % 2
            return ((offset + first, last - first),)
        if self.kind is FrameKind.BITS:
            ((offset, _),) = self.ranges[0]
            first, last = index * self.stride, (index + 1) * self.stride
            return ((offset + first // 8, (last + 7) // 8 - first // 8),)
        return self.ranges[index]

    def shifted(self, by: int) -> Self:
        """Return the table for the same data set `by` bytes further on in its file."""
        ranges = tuple(tuple((offset + by, length) for offset, length in frame) for frame in self.ranges)
        return replace(self, ranges=ranges)


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One received object, described: identifiers, attributes of the index, digest and frames."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    transfer_syntax_uid: str
    attributes: Mapping[str, str]
    """Cleaned text by keyword for every row of ``domain.attributes`` the object carries; values joined by ``\\``."""
    digest: str
    """SHA-256 (hex) of the data set as encoded, without preamble and file meta information."""
    size_bytes: int
    """Size of the stored Part 10 file."""
    dataset_offset: int
    """Offset of the data set in the stored file."""
    pixels_offset: int
    """Offset of the pixel data element (or of the file's end) in the stored file: the header ends here."""
    frames: FrameTable | None
    """None where the object has no pixel data."""
    origin: Origin
    received_at: datetime

    def behind_head(self, length: int) -> Self:
        """Return the record of a file with the same data set behind a head of another `length` in bytes."""
        by = length - self.dataset_offset
        return replace(
            self,
            size_bytes=self.size_bytes + by,
            dataset_offset=length,
            pixels_offset=self.pixels_offset + by,
            frames=self.frames.shifted(by) if self.frames else None,
        )
