"""An instance as the gateway knows it: what was received, from where, and where its frames lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
            return ((offset + index * self.stride, length),)
        if self.kind is FrameKind.BITS:
            ((offset, _),) = self.ranges[0]
            first, last = index * self.stride, (index + 1) * self.stride
            return ((offset + first // 8, (last + 7) // 8 - first // 8),)
        return self.ranges[index]


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
