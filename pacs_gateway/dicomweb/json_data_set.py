"""DICOM JSON as an encoded data set: explicit VR little endian, element by element, bulk data taken from where it lies.

The reading is strict: what breaks the model or its VR refuses the object. Nothing is held but one attribute at a time,
so that an object is as large as its bulk data and the memory is not.

References
----------
PS3.18 F.2 (DICOM JSON model), PS3.5 6.2 (value representations), 7.1.2 (explicit VR), 7.5 (sequences)
"""

import math
import re
import struct
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from types import MappingProxyType
from typing import Protocol

from pydicom.valuerep import format_number_as_ds

from pacs_gateway.errors import InvalidInstanceError

PIXEL_DATA = "7FE00010"
_CHARACTER_SET = "00080005"
_UTF_8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
# Of a search's answer or of the encoding that the metadata was made from, not of the object (PS3.18 F.2, PS3.5 A.4).
_LEFT_OUT = frozenset({"00083002", "7FE00001", "7FE00002"})
_FILE_META = "0002"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_MAX_DEPTH = 64
_UNDEFINED = 0xFFFFFFFF
_MAX_SHORT = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI"})
_LONG_TEXT_VRS = frozenset({"LT", "ST", "UR", "UT"})
_WORD_BYTES: Mapping[str, int] = MappingProxyType(
    {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
    | {"AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
)
_NUMBERS: Mapping[str, Struct] = MappingProxyType(
    {vr: Struct(f"<{code}") for vr, code in {"SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}.items()}
)
_FLOATS: Mapping[str, Struct] = MappingProxyType({"FL": Struct("<f"), "FD": Struct("<d")})
# VRs whose length has 32 bits (PS3.5 Table 7.1-1).
_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_SHORT_VRS = frozenset({"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT"}) | frozenset(
    {"PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"}
)


class _UnfitValueError(Exception):
    """A value is not what its VR demands."""


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One piece of bulk data that was sent: a value, or a frame of one."""

    offset: int
    length: int
    transfer_syntax_uid: str
    """Of compressed pixels; empty for plain little endian bytes."""


class BulkData(Protocol):
    """Where the bulk data of a request lies; nothing outside it is ever fetched."""

    def find(self, uri: str) -> Sequence[BulkPart]:
        """Return the parts that a BulkDataURI means, in order; none where there are none."""

    def stream(self, part: BulkPart) -> Iterator[bytes]:
        """Yield the bytes of a part."""


def data_set(dataset: object, bulk: BulkData) -> Iterator[bytes]:
    """Yield the encoding of a DICOM JSON object; its text is in UTF-8, and says so.

    Raises
    ------
    InvalidInstanceError
        It is no object of the model, or refers to bulk data that is not there.
    """
    elements = members(dataset)
    elements[_CHARACTER_SET] = _UTF_8
    return _elements(elements, bulk, depth=0)


def members(dataset: object) -> dict[str, object]:
    """Return the attributes of an object by tag, in upper case and in order, without those of its encoding.

    Raises
    ------
    InvalidInstanceError
        It is no object of the model.
    """
    if not isinstance(dataset, dict):
        raise InvalidInstanceError("a data set is not a JSON object")
    found: dict[str, object] = {}
    for key in dataset:
        tag = key.upper()
        if not _TAG.fullmatch(key) or tag in found:
            raise InvalidInstanceError("an attribute's name is not a tag, or is there twice")
        found[tag] = dataset[key]
    kept = {tag: found[tag] for tag in sorted(found) if not _is_left_out(tag)}
    if kept and next(iter(kept)) < "0008":
        raise InvalidInstanceError("a command's or a directory's element is in a data set")
    return kept


def text(dataset: object, tag: str) -> str:
    """Return the one text of an attribute; empty where it has none."""
    attribute = dataset.get(tag) if isinstance(dataset, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str) else ""


def number(dataset: Mapping[str, object], tag: str) -> int:
    """Return the first number of an attribute; 0 where it has none."""
    attribute = dataset.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    first = values[0] if isinstance(values, list) and values else None
    try:
        return int(first) if isinstance(first, int | str | float) else 0
    except (ValueError, OverflowError):
        return 0


def uri_of(attribute: object) -> str:
    """Return the BulkDataURI of an attribute; empty where it has none."""
    uri = attribute.get("BulkDataURI") if isinstance(attribute, dict) else None
    return uri if isinstance(uri, str) else ""


def _is_left_out(tag: str) -> bool:
    return tag in _LEFT_OUT or tag.startswith(_FILE_META) or tag.endswith("0000")


def _elements(elements: Mapping[str, object], bulk: BulkData, *, depth: int) -> Iterator[bytes]:
    for tag in sorted(elements):
        try:
            yield from _element(tag, elements[tag], bulk, depth)
        except (_UnfitValueError, ValueError, struct.error, OverflowError) as error:
            raise InvalidInstanceError(f"attribute {tag} does not hold what its VR says") from error


def _element(tag: str, attribute: object, bulk: BulkData, depth: int) -> Iterator[bytes]:
    if not isinstance(attribute, dict):
        raise InvalidInstanceError(f"attribute {tag} is not a JSON object")
    vr = attribute.get("vr")
    if vr not in _LONG_VRS and vr not in _SHORT_VRS:
        raise InvalidInstanceError(f"attribute {tag} has no VR")
    told = [name for name in ("Value", "InlineBinary", "BulkDataURI") if attribute.get(name) is not None]
    if len(told) > 1 or (vr == "SQ" and told not in ([], ["Value"])):
        raise InvalidInstanceError(f"attribute {tag} has value fields that do not go together")
    if vr == "SQ":
        yield from _sequence(tag, _listed(attribute), bulk, depth)
    elif told == ["BulkDataURI"]:
        yield from _bulk(tag, vr, uri_of(attribute), bulk, is_outermost=depth == 0)
    else:
        value = b64decode(_string(attribute["InlineBinary"]), validate=True) if told == ["InlineBinary"] else b""
        if told == ["Value"]:
            value = _encoded(vr, _listed(attribute))
        _check_words(tag, vr, len(value))
        yield header(tag, vr, len(value) + len(value) % 2) + value + _padding(vr, len(value))


def _listed(attribute: Mapping[str, object]) -> list[object]:
    values = attribute.get("Value", [])
    if not isinstance(values, list):
        raise _UnfitValueError("the values are no array")
    return values


def header(tag: str, vr: str, length: int) -> bytes:
    """Return the tag, VR and length that an element begins with."""
    number = int(tag, 16)
    opening = (number >> 16).to_bytes(2, "little") + (number & 0xFFFF).to_bytes(2, "little")
    if vr in _LONG_VRS:
        if length > _UNDEFINED:
            raise InvalidInstanceError(f"attribute {tag} is longer than an element can be")
        return opening + vr.encode("ascii") + b"\0\0" + length.to_bytes(4, "little")
    if length > _MAX_SHORT:
        # What is too long for the VR's length field goes as unknown (PS3.5 6.2.2 Note 2).
        return header(tag, "UN", length)
    return opening + vr.encode("ascii") + length.to_bytes(2, "little")


def _sequence(tag: str, items: list[object], bulk: BulkData, depth: int) -> Iterator[bytes]:
    if depth == _MAX_DEPTH:
        raise InvalidInstanceError("sequences are nested too deeply")
    undefined = _UNDEFINED.to_bytes(4, "little")
    yield header(tag, "SQ", _UNDEFINED)
    for item in items:
        elements = members(item if item is not None else {})
        elements.pop(_CHARACTER_SET, None)  # the text of the whole is in UTF-8
        yield _ITEM + undefined
        yield from _elements(elements, bulk, depth=depth + 1)
        yield _ITEM_END + bytes(4)
    yield _SEQUENCE_END + bytes(4)


def _bulk(tag: str, vr: str, uri: str, bulk: BulkData, *, is_outermost: bool) -> Iterator[bytes]:
    parts = bulk.find(uri)
    if not parts:
        raise InvalidInstanceError(f"the bulk data URI of attribute {tag} leads to no part of this body")
    if is_outermost and tag == PIXEL_DATA:
        if parts[0].transfer_syntax_uid:
            yield from _encapsulated(parts, bulk)
            return
    elif len(parts) > 1:
        raise InvalidInstanceError(f"the bulk data URI of attribute {tag} leads to several parts")
    length = sum(part.length for part in parts)
    _check_words(tag, vr, length)
    yield header(tag, vr, min(length + length % 2, _UNDEFINED + 1))
    for part in parts:
        yield from bulk.stream(part)
    yield _padding(vr, length)


def _encapsulated(frames: Sequence[BulkPart], bulk: BulkData) -> Iterator[bytes]:
    """Yield compressed pixel data, a fragment for each frame (PS3.5 A.4)."""
    lengths = [frame.length + frame.length % 2 for frame in frames]
    if max(lengths) >= _UNDEFINED:
        raise InvalidInstanceError("a compressed frame is longer than a fragment can be")
    offsets = [0]
    for length in lengths[:-1]:
        offsets.append(offsets[-1] + 8 + length)
    # One frame needs no table, and what lies behind 4 GiB has no place in it: then it stays empty.
    table = b"".join(o.to_bytes(4, "little") for o in offsets) if 0 < offsets[-1] < _UNDEFINED else b""
    yield header(PIXEL_DATA, "OB", _UNDEFINED) + _ITEM + len(table).to_bytes(4, "little") + table
    for frame, length in zip(frames, lengths, strict=True):
        yield _ITEM + length.to_bytes(4, "little")
        yield from bulk.stream(frame)
        yield bytes(length - frame.length)
    yield _SEQUENCE_END + bytes(4)


def _check_words(tag: str, vr: str, length: int) -> None:
    if length % _WORD_BYTES.get(vr, 1):
        raise InvalidInstanceError(f"attribute {tag} is no whole number of values")


def _padding(vr: str, length: int) -> bytes:
    return (b"\0" if vr == "UI" or vr in _WORD_BYTES else b" ") * (length % 2)


def _encoded(vr: str, values: list[object]) -> bytes:
    if vr in _LONG_TEXT_VRS:
        if len(values) > 1:
            raise _UnfitValueError("more than one value")
        return _utf_8(_string(values[0]) if values else "")
    if vr in _TEXTS:
        write = _TEXTS[vr]
        return _utf_8("\\".join(write(value) for value in values))
    if vr == "AT":
        return b"".join(_tag(value) for value in values)
    if vr in _NUMBERS:
        return b"".join(_NUMBERS[vr].pack(_integer(value)) for value in values)
    if vr in _FLOATS:
        return b"".join(_FLOATS[vr].pack(_float(value)) for value in values)
    if values:
        raise _UnfitValueError("a binary VR has no Value")
    return b""


def _utf_8(text: str) -> bytes:
    return text.encode("utf-8")


def _string(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _UnfitValueError("not a text")
    return value


def _one_of_many(value: object) -> str:
    string = _string(value)
    if "\\" in string:
        raise _UnfitValueError("a backslash inside a value")
    return string


def _name(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, dict) or not set(value) <= set(_NAME_GROUPS):
        raise _UnfitValueError("not a name")
    groups = [_one_of_many(value.get(group)) for group in _NAME_GROUPS]
    if any("=" in group for group in groups):
        raise _UnfitValueError("an equals sign inside a name")
    return "=".join(groups).rstrip("=")


def _decimal(value: object) -> str:
    if isinstance(value, str) or value is None:
        return _one_of_many(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _UnfitValueError("not a number")
    written = repr(value)
    return written if len(written) <= 16 else format_number_as_ds(float(value))


def _integer_text(value: object) -> str:
    return _one_of_many(value) if isinstance(value, str) or value is None else str(_integer(value))


def _integer(value: object) -> int:
    """Return an integer; texts stand for those that a JSON number cannot hold (PS3.18 F.2.3)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _UnfitValueError("not an integer")
    if isinstance(value, float) and not value.is_integer():
        raise _UnfitValueError("not an integer")
    return int(value)


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _UnfitValueError("not a number")
    return float(value)


def _tag(value: object) -> bytes:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise _UnfitValueError("not a tag")
    raw = bytes.fromhex(value)
    return raw[1::-1] + raw[:1:-1]


_TEXTS: Mapping[str, Callable[[object], str]] = MappingProxyType(
    dict.fromkeys(_TEXT_VRS, _one_of_many) | {"PN": _name, "DS": _decimal, "IS": _integer_text}
)
