"""Describing a received object: from encoded bytes to the facts the index keeps.

References
----------
PS3.3 C.12.1 (SOP Common), C.7 (image modules), PS3.5 10 (transfer syntaxes)
"""

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.archive.frames import NativeLayout, encapsulated_frames, native_frames
from pacs_gateway.archive.inflate import inflated
from pacs_gateway.archive.scan import (
    DOUBLE_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    Element,
    FileSource,
    Scan,
    Source,
    scan,
)
from pacs_gateway.domain.attributes import ATTRIBUTES, FIELD_SEPARATOR, ITEM_SEPARATOR
from pacs_gateway.domain.character_set import character_set
from pacs_gateway.domain.instance import FrameKind, FrameTable, InstanceRecord, Origin
from pacs_gateway.domain.raw_data_set import RawDataSet
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.domain.values import clean
from pacs_gateway.errors import InvalidInstanceError, InvalidQueryError
from pacs_gateway.storage.files import write_all
from pacs_gateway.storage.spool import spool_errors

# GE's private implicit VR with big endian pixel data only; the data set itself is implicit little endian.
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"

_CHARACTER_SET = 0x00080005
_SAMPLES_PER_PIXEL = 0x00280002
_PHOTOMETRIC = 0x00280004
_EXTENDED_OFFSETS = 0x7FE00001
_READ = {
    a.tag: (a.keyword, a.vr)
    for a in ATTRIBUTES
    if a.column is not None and a.keyword != "AvailableTransferSyntaxUID" and not a.items
}
_SEQUENCES = {a.tag: a for a in ATTRIBUTES if a.items}
_WANTED = frozenset({*_READ, *_SEQUENCES, _CHARACTER_SET, _SAMPLES_PER_PIXEL, _PHOTOMETRIC, _EXTENDED_OFFSETS})
_OLD_SEPARATORS = {"DA": str.maketrans("", "", "."), "TM": str.maketrans("", "", ":")}
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# VRs whose text is in the declared character set (PS3.5 6.1.2.3)
_ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
# No index column needs more, and a hostile sender would make it the index's problem.
_MAX_VALUE_LENGTH = 1024
# Sequences that say more are left out: a few requests or codes take a tenth of this.
_MAX_SEQUENCE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Description:
    """What one look at an encoded data set tells."""

    attributes: Mapping[str, str]
    frames: FrameTable | None
    pixels_offset: int
    """Offset of the pixel data element, or of the end of the data set."""


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Return whether the whole data set is compressed (PS3.5 A.5)."""
    return transfer_syntax_uid == DeflatedExplicitVRLittleEndian


def describe(source: Source, start: int, transfer_syntax_uid: str, *, charset: str = "") -> Description:
    """Describe the data set that lies in `source` from `start` to its end; a deflated one must be inflated before.

    Parameters
    ----------
    charset
        What its device writes where it declares nothing of use (see ``CharacterSet``).

    Raises
    ------
    InvalidInstanceError
        It is truncated or not decodable, or lacks an identifier.
    InvalidUidError
        An identifier is not a UID.
    """
    implicit = transfer_syntax_uid in (ImplicitVRLittleEndian, GE_PRIVATE_IMPLICIT)
    big_endian = transfer_syntax_uid == ExplicitVRBigEndian
    found = scan(source, start, implicit=implicit, big_endian=big_endian, wanted=_WANTED)
    attributes = _attributes(source, found, big_endian=big_endian, charset=charset)
    attributes |= _item_attributes(source, found, transfer_syntax_uid, charset)
    for keyword in _IDENTIFIERS:
        if not attributes.get(keyword):
            raise InvalidInstanceError(f"{keyword} is missing")
        check_uid(attributes[keyword], keyword)
    frames = _frames(source, found, attributes, transfer_syntax_uid)
    pixels = found.elements[found.pixel_tag].start if found.pixel_tag is not None else len(source)
    return Description(attributes, frames, pixels)


def _attributes(source: Source, found: Scan, *, big_endian: bool, charset: str) -> dict[str, str]:
    terms = _terms(source, found)
    attributes: dict[str, str] = {}
    for tag, element in found.elements.items():
        if tag not in _READ:
            continue
        keyword, vr = _READ[tag]
        raw = _raw(source, element)
        if vr == "UI":
            # Padding goes, anything else stays to be refused: two UIDs must not become one by cleaning.
            attributes[keyword] = raw.decode("latin-1").strip("\0 ")
        elif vr == "US":
            attributes[keyword] = _unsigned_text(raw, big_endian=big_endian)
        else:
            attributes[keyword] = _text(raw, vr, terms, charset)
    return attributes


def _terms(source: Source, found: Scan) -> str:
    element = found.elements.get(_CHARACTER_SET)
    return _raw(source, element).decode("ascii", "replace") if element else ""


def _item_attributes(source: Source, found: Scan, transfer_syntax_uid: str, charset: str) -> dict[str, str]:
    """Return what the items of the known sequences say."""
    texts: dict[str, str] = {}
    for tag, attribute in _SEQUENCES.items():
        element = found.elements.get(tag) or found.sequences.get(tag)
        if element is None or element.value + element.length - element.start > _MAX_SEQUENCE_BYTES:
            continue
        raw = source[element.start : element.value + element.length]
        texts[attribute.keyword] = _items_text(raw, tag, transfer_syntax_uid, _terms(source, found), charset)
    return texts


@lru_cache(maxsize=1024)
def _items_text(raw: bytes, tag: int, transfer_syntax_uid: str, terms: str, charset: str) -> str:
    """Return the text of a sequence (``Attribute.item_values``); nothing where it is spoilt."""
    syntax = ImplicitVRLittleEndian if transfer_syntax_uid == GE_PRIVATE_IMPLICIT else transfer_syntax_uid
    try:
        items = RawDataSet.parse(raw, syntax).elements[tag].items
    except InvalidQueryError:
        return ""
    told = [
        FIELD_SEPARATOR.join(
            _text(item.elements[one.tag].value, one.vr, terms, charset).partition(ITEM_SEPARATOR)[0]
            if one.tag in item.elements
            else ""
            for one in _SEQUENCES[tag].items
        )
        for item in items
    ]
    return ITEM_SEPARATOR.join(text for text in told if text.strip(FIELD_SEPARATOR))


# The slices of a series say the same again and again.
@lru_cache(maxsize=4096)
def _text(raw: bytes, vr: str, terms: str, charset: str) -> str:
    if vr in _ENCODED_VRS:
        return character_set(clean(terms), charset).decode(raw)
    # ACR-NEMA wrote 2026.11.22 and 14:30:05; the index compares dates and times as text.
    return clean(raw.decode("latin-1")).translate(_OLD_SEPARATORS.get(vr, {}))


def _raw(source: Source, element: Element) -> bytes:
    return source[element.value : element.value + min(element.length, _MAX_VALUE_LENGTH)]


def _unsigned_text(raw: bytes, *, big_endian: bool) -> str:
    if len(raw) < 2:
        return ""
    (number,) = struct.unpack_from(">H" if big_endian else "<H", raw)
    return str(number)


@lru_cache(maxsize=1024)
def number_of(text: str | None, default: int) -> int:
    """Return the first value of an integer string, or `default` where it is absent or not a number (PS3.5 6.2 IS)."""
    first = (text or "").split("\\", 1)[0].strip()
    try:
        return int(first) if len(first) <= 12 else default
    except ValueError:
        return default


def _frames(source: Source, found: Scan, attributes: Mapping[str, str], transfer_syntax_uid: str) -> FrameTable | None:
    if found.pixel_tag is None:
        return None
    n_frames = max(1, number_of(attributes.get("NumberOfFrames"), 1))
    if is_deflated(transfer_syntax_uid):
        return FrameTable(FrameKind.DERIVED, n_frames)
    if found.fragments is not None:
        extended = _extended_offsets(source, found, n_frames) if n_frames < len(found.fragments) else ()
        return encapsulated_frames(source, found.fragments, n_frames=n_frames, extended=extended)
    if _is_encapsulated(transfer_syntax_uid):
        # Declared compressed, sent native: what a frame is cannot be said.
        return FrameTable(FrameKind.DERIVED, n_frames)
    element = found.elements[found.pixel_tag]
    layout = _native_layout(source, found, attributes, transfer_syntax_uid)
    return native_frames(layout, offset=element.value, length=element.length, n_frames=n_frames)


@lru_cache(maxsize=64)
def _is_encapsulated(transfer_syntax_uid: str) -> bool:
    syntax = UID(transfer_syntax_uid)
    return syntax.is_transfer_syntax and syntax.is_encapsulated


def _native_layout(
    source: Source, found: Scan, attributes: Mapping[str, str], transfer_syntax_uid: str
) -> NativeLayout:
    big_endian = transfer_syntax_uid == ExplicitVRBigEndian
    us = _us_reader(source, found, big_endian=big_endian)
    bits = _BITS_OF_FLOATS.get(found.pixel_tag or PIXEL_DATA) or number_of(attributes.get("BitsAllocated"), 0)
    samples = us(_SAMPLES_PER_PIXEL, 1)
    photometric = found.elements.get(_PHOTOMETRIC)
    subsampled = photometric is not None and _raw(source, photometric).strip(b" \0") == b"YBR_FULL_422"
    pixels = number_of(attributes.get("Rows"), 0) * number_of(attributes.get("Columns"), 0)
    # YBR_FULL_422 shares each pair of chroma samples between two pixels: two samples a pixel (PS3.3 C.7.6.3.1.2).
    bits_per_frame = pixels * bits * (2 if subsampled and samples == 3 else samples)
    swapped = (big_endian or transfer_syntax_uid == GE_PRIVATE_IMPLICIT) and (
        bits > 8 or found.elements[found.pixel_tag or PIXEL_DATA].vr == b"OW"
    )
    return NativeLayout(bits_per_frame, swapped)


_BITS_OF_FLOATS = {FLOAT_PIXEL_DATA: 32, DOUBLE_PIXEL_DATA: 64}


def _us_reader(source: Source, found: Scan, *, big_endian: bool) -> Callable[[int, int], int]:
    def read(tag: int, default: int) -> int:
        element = found.elements.get(tag)
        return number_of(_unsigned_text(_raw(source, element), big_endian=big_endian), default) if element else default

    return read


def _extended_offsets(source: Source, found: Scan, n_frames: int) -> tuple[int, ...]:
    element = found.elements.get(_EXTENDED_OFFSETS)
    # A table of another length says nothing, and is not read: it may be as long as the object.
    if element is None or element.length // 8 != n_frames:
        return ()
    return struct.unpack(f"<{n_frames}Q", source[element.value : element.value + 8 * n_frames])


def describe_file(
    fd: int, start: int, transfer_syntax_uid: str, *, scratch: Path, beginning: bytes = b"", charset: str = ""
) -> Description:
    """Describe the Part 10 file open at `fd` whose data set begins at `start`; offsets are the file's.

    Parameters
    ----------
    scratch
        A folder for a nameless file, needed for the time of the call when the data set is deflated.
    beginning
        The first bytes of the file, where they are at hand.
    charset
        As of ``describe``.

    Raises
    ------
    InvalidInstanceError, InvalidUidError
        As ``describe``.
    CapacityError, UnavailableError
        There is no room for an inflated data set.
    """
    source = FileSource(fd, beginning)
    if not is_deflated(transfer_syntax_uid):
        return describe(source, start, transfer_syntax_uid, charset=charset)
    with spool_errors("inflating a data set"):
        scratch_fd = os.open(scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        for piece in inflated(source, start):
            with spool_errors("inflating a data set"):
                write_all(scratch_fd, piece)
        return _of_deflated(FileSource(scratch_fd), len(source), transfer_syntax_uid, charset)
    finally:
        os.close(scratch_fd)


def describe_bytes(content: bytes, start: int, transfer_syntax_uid: str, *, charset: str = "") -> Description:
    """Describe a Part 10 file that is at hand; see ``describe_file``."""
    if not is_deflated(transfer_syntax_uid):
        return describe(content, start, transfer_syntax_uid, charset=charset)
    return _of_deflated(b"".join(inflated(content, start)), len(content), transfer_syntax_uid, charset)


def _of_deflated(content: Source, size_bytes: int, transfer_syntax_uid: str, charset: str) -> Description:
    description = describe(content, 0, transfer_syntax_uid, charset=charset)
    # Nothing of the inflated data set has a place in the file.
    return Description(description.attributes, description.frames, size_bytes)


def make_record(
    description: Description,
    *,
    transfer_syntax_uid: str,
    digest: str,
    dataset_offset: int,
    size_bytes: int,
    reception: tuple[Origin, datetime],
) -> InstanceRecord:
    """Return the record of a described object."""
    attributes = description.attributes
    origin, received_at = reception
    return InstanceRecord(
        sop_class_uid=attributes["SOPClassUID"],
        sop_instance_uid=attributes["SOPInstanceUID"],
        series_uid=attributes["SeriesInstanceUID"],
        study_uid=attributes["StudyInstanceUID"],
        transfer_syntax_uid=transfer_syntax_uid,
        attributes=attributes,
        digest=digest,
        size_bytes=size_bytes,
        dataset_offset=dataset_offset,
        pixels_offset=description.pixels_offset,
        frames=description.frames,
        origin=origin,
        received_at=received_at,
    )
