"""Inflated companions of deflated objects, of which no byte range is a frame or a header (settled: Frames).

A companion is a derived object: the same data set in explicit little endian, behind a head that says where its pixels
and frames are. The worker makes it with the metadata; whoever comes earlier makes it by asking.

References
----------
PS3.5 A.5 (deflated explicit VR little endian)
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydicom.uid import ExplicitVRLittleEndian

from pacs_gateway.archive.describe import describe
from pacs_gateway.archive.inflate import inflate, inflation_limit
from pacs_gateway.archive.scan import FileSource
from pacs_gateway.domain.instance import FrameKind, FrameTable
from pacs_gateway.domain.part10 import MAX_META_LENGTH, FileMeta, decode_head, encode_head
from pacs_gateway.errors import IntegrityError, NotFoundError
from pacs_gateway.index import frame_blob
from pacs_gateway.storage.files import copy, write_all
from pacs_gateway.storage.spool import spool_errors
from pacs_gateway.storage.store import ObjectReader, ObjectStore, Upload, derived_key

_NAME = "inflated-1.dcm"
_SCRATCH_PREFIX = ".inflating-"
# What a process that was killed left behind.
_FORGOTTEN_S = 3600.0
_PIXELS_OFFSET = struct.Struct("<Q")
# A larger table is none of native pixels, which all deflated ones are (PS3.5 A.5).
_MAX_TABLE_BYTES = MAX_META_LENGTH // 2


@dataclass(frozen=True, slots=True)
class Companion:
    """Where things lie in a companion (offsets in bytes)."""

    size_bytes: int
    dataset_offset: int
    pixels_offset: int
    frames: FrameTable | None


def companion_key(digest: str) -> str:
    """Return the key of the companion of the received object `digest`."""
    return derived_key(digest, _NAME)


def find_companion(store: ObjectStore, digest: str) -> Companion | None:
    """Return the companion of the received object `digest`, None where there is none yet."""
    try:
        with store.open(companion_key(digest)) as reader:
            decoded = decode_head(reader.read(0, min(reader.size_bytes, MAX_META_LENGTH)))
            size_bytes = reader.size_bytes
    except NotFoundError:
        return None
    if decoded is None:
        raise IntegrityError("an inflated companion has no head")
    meta, start = decoded
    (pixels_offset,) = _PIXELS_OFFSET.unpack_from(meta.private)
    # The head is padded to an even length.
    packed = meta.private[_PIXELS_OFFSET.size :].strip()
    frames = frame_blob.unpack(packed).shifted(start) if packed else None
    return Companion(size_bytes, start, start + pixels_offset, frames)


def make_companion(store: ObjectStore, reader: ObjectReader, *, start: int, digest: str, scratch: Path) -> Companion:
    """Inflate a deflated object into its companion; two that do so at once make the same.

    Parameters
    ----------
    reader, start
        The received object, and where its data set begins.
    scratch
        A folder for what takes shape; there is nothing in it afterwards.

    Raises
    ------
    InvalidInstanceError
        It is not deflated, or grows beyond its limits (promises B8).
    CapacityError, UnavailableError
        There is no room, or the store does not take it.
    """
    _sweep(scratch)
    pieces = inflate(reader.stream(start), limit=inflation_limit(reader.size_bytes - start))
    with spool_errors("inflating a data set"), NamedTemporaryFile(dir=scratch, prefix=_SCRATCH_PREFIX) as inflated:
        _fill(inflated.fileno(), pieces)
        with NamedTemporaryFile(dir=scratch, prefix=_SCRATCH_PREFIX) as whole:
            whole.write(_head(FileSource(inflated.fileno())))
            whole.flush()
            copy(inflated.fileno(), whole.fileno())
            os.fsync(whole.fileno())
            size_bytes = os.fstat(whole.fileno()).st_size
            store.put_file(Upload(companion_key(digest), Path(whole.name), size_bytes))
    found = find_companion(store, digest)
    if found is None:
        raise IntegrityError("an inflated companion is not where it was put")
    return found


def _fill(descriptor: int, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        write_all(descriptor, piece)


def _head(source: FileSource) -> bytes:
    description = describe(source, 0, ExplicitVRLittleEndian)
    packed = frame_blob.pack(description.frames) if description.frames is not None else b""
    if description.frames is not None and len(packed) > _MAX_TABLE_BYTES:
        packed = frame_blob.pack(FrameTable(FrameKind.DERIVED, description.frames.n_frames))
    attributes = description.attributes
    private = _PIXELS_OFFSET.pack(description.pixels_offset) + packed
    meta = FileMeta(attributes["SOPClassUID"], attributes["SOPInstanceUID"], ExplicitVRLittleEndian, private=private)
    return encode_head(meta)


def _sweep(scratch: Path) -> None:
    """Remove what was forgotten."""
    for path in scratch.glob(f"{_SCRATCH_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _FORGOTTEN_S:
                path.unlink()
