"""Data sets as DICOM JSON, straight from their encoded elements.

Every stored image passes here once, so plain elements are decoded by VR without making pydicom's element objects.
Whatever is out of the ordinary (an ambiguous VR, a value that breaks its VR's rules) goes through pydicom's own
conversion; what that cannot convert either is left out: one bad value must not hide the rest.

References
----------
PS3.18 F.2 (DICOM JSON model), PS3.5 6.2 (value representations and padding)
"""

import logging
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from struct import Struct
from typing import TypeAlias

import orjson
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.hooks import raw_element_vr
from pydicom.tag import BaseTag

from pacs_gateway.domain.character_set import CharacterSet, character_set
from pacs_gateway.imaging.elements import READ_ERRORS

_log = logging.getLogger(__name__)

JsonValue: TypeAlias = "str | int | float | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

CHARACTER_SET = "00080005"
# The text of DICOM JSON is UTF-8, whatever it was in the data set or in an item of it (PS3.18 F.2).
UTF_8: JsonObject = {"vr": "CS", "Value": ["ISO_IR 192"]}

# Binary values up to this length travel inside the JSON; longer ones by reference (PS3.18 F.2.7).
_INLINE_BYTES = 1024
# Deeper sequences are hostile: the JSON encoder allows 254 levels, an item takes three of them.
_MAX_DEPTH = 64
_PIXEL_GROUP = 0x7FE0
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
# LUT descriptors: their first value counts as unsigned even under SS (PS3.3 C.11.1.1.1); pydicom knows.
_LUT_DESCRIPTORS = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})
_PADDING = "\0 "
_MAX_INTEGER = 2**63


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a data set stands: the URI its elements' tags are put behind, how deep it is, what its text is in."""

    uri: str
    depth: int
    is_checked: bool
    terms: str
    """Specific Character Set of the data set around it, which counts where it has none of its own (PS3.5 7.5.3)."""
    fallback: str


def json_object(dataset: Dataset, *, uri: str, charset: str = "", is_checked: bool = False) -> JsonObject:
    """Return a data set as a DICOM JSON object, without group lengths and the pixel data group.

    Parameters
    ----------
    uri
        What bulk data URIs begin with, up to where the tag follows.
    charset
        What its device writes where it declares nothing of use (see ``CharacterSet``).
    is_checked
        Whether to try each attribute on the JSON encoder: slow, and needed only once the whole has failed there.
    """
    return _object(dataset, _Place(uri, 0, is_checked, "", charset))


def implied_vr(element: RawDataElement, dataset: Dataset) -> str:
    """Return the VR of an encoded element, looked up where the encoding does not say it (PS3.5 6.2.2)."""
    if element.VR is not None and element.VR != "UN":
        return element.VR
    found: dict[str, str] = {}
    raw_element_vr(element, found, ds=dataset)
    return found["VR"]


def _object(dataset: Dataset, place: _Place) -> JsonObject:
    terms = _terms(dataset, place)
    charset = character_set(terms, place.fallback)
    inner = replace(place, terms=terms)
    body: JsonObject = {}
    # A copy: conversion by pydicom replaces entries. Plain integers, because tags compare slowly.
    for number, element in sorted(((int(tag), element) for tag, element in dataset.items()), key=itemgetter(0)):
        if number >> 16 == _PIXEL_GROUP or number & 0xFFFF == 0:
            continue
        key = f"{number:08X}"
        attribute = UTF_8 if key == CHARACTER_SET else _attribute(dataset, element, key, charset, inner)
        if attribute is not None:
            body[key] = attribute
    return body


def _terms(dataset: Dataset, place: _Place) -> str:
    if 0x00080005 not in dataset:
        return place.terms
    return _joined(dataset.get_item(0x00080005, keep_deferred=True).value)


def _joined(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(_PADDING)
    if isinstance(value, str):
        return value
    return "\\".join(map(str, value)) if isinstance(value, Sequence) else ""


def _attribute(
    dataset: Dataset, element: DataElement | RawDataElement, key: str, charset: CharacterSet, place: _Place
) -> JsonObject | None:
    if isinstance(element, RawDataElement):
        try:
            attribute = _encoded(dataset, element, key, charset, place)
            if attribute is not None:
                return attribute
        except READ_ERRORS as error:  # pydicom may still make sense of it
            _log.debug("element %s is not plain: %s", key, type(error).__name__)
    try:
        return _converted(dataset, element.tag, key, place)
    except READ_ERRORS as error:
        _log.debug("element %s left out of the metadata: %s", key, type(error).__name__)
        return None


def _encoded(
    dataset: Dataset, element: RawDataElement, key: str, charset: CharacterSet, place: _Place
) -> JsonObject | None:
    """Return a plain element, None where it is not one."""
    vr = element.VR
    if vr is None or vr == "UN":
        vr = implied_vr(element, dataset)
    value = element.value
    if value is None and element.length:
        # Of "US or SS or OW" and its like, only the last is ever that long.
        return {"vr": vr[-2:], "BulkDataURI": f"{place.uri}{key}"}
    decode = _DECODERS.get(vr)
    if decode is not None:
        values = decode(value, charset) if value else []
    elif vr in _LAYOUTS and element.tag not in _LUT_DESCRIPTORS:
        values = _numbers(vr, value, is_little_endian=element.is_little_endian) if value else []
    elif vr in _BINARY_VRS:
        return _binary(vr, value, f"{place.uri}{key}")
    else:
        return None
    attribute: JsonObject = {"vr": vr, "Value": values} if values else {"vr": vr}
    if place.is_checked:
        orjson.dumps(attribute)
    return attribute


def _binary(vr: str, value: bytes | None, uri: str) -> JsonObject:
    if not value:
        return {"vr": vr}
    if len(value) > _INLINE_BYTES:
        return {"vr": vr, "BulkDataURI": uri}
    return {"vr": vr, "InlineBinary": b2a_base64(value, newline=False).decode("ascii")}


def _converted(dataset: Dataset, tag: BaseTag, key: str, place: _Place) -> JsonObject:
    """Return an element as pydicom converts it, or raise what pydicom raises."""
    element = dataset[tag]
    uri = f"{place.uri}{key}"
    if element.VR == "SQ":
        if place.depth == _MAX_DEPTH:
            raise ValueError("sequences are nested too deeply")
        items = [
            _object(item, replace(place, uri=f"{uri}/{n}/", depth=place.depth + 1))
            for n, item in enumerate(element.value)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in _BINARY_VRS and (element.value is None or isinstance(element.value, bytes)):
        return _binary(element.VR, element.value, uri)
    attribute: JsonObject = element.to_json_dict(None, 0)
    values = attribute.get("Value")
    if isinstance(values, list):
        attribute["Value"] = [None if value == "" else value for value in values]
    orjson.dumps(attribute)
    return attribute


def _listed(values: Sequence[JsonValue]) -> list[JsonValue]:
    """Return values, the empty ones among several as null, a single empty one as none at all (PS3.18 F.2.5)."""
    if len(values) == 1 and not values[0]:
        return []
    return [value or None for value in values]


def _strings(value: bytes, _: CharacterSet) -> list[JsonValue]:
    return _listed(value.decode("latin-1").rstrip(_PADDING).split("\\"))


def _trimmed_strings(value: bytes, _: CharacterSet) -> list[JsonValue]:
    """Return values whose leading spaces do not count either (AE)."""
    return _listed([part.strip() for part in value.decode("latin-1").split("\\")])


def _uids(value: bytes, _: CharacterSet) -> list[JsonValue]:
    return _listed([part.strip() for part in value.decode("latin-1").rstrip(_PADDING).split("\\")])


def _uri(value: bytes, _: CharacterSet) -> list[JsonValue]:
    return _listed([value.decode("latin-1").rstrip()])


def _texts(value: bytes, charset: CharacterSet) -> list[JsonValue]:
    return _listed([part.rstrip(_PADDING) for part in charset.read(value).split("\\")])


def _long_text(value: bytes, charset: CharacterSet) -> list[JsonValue]:
    """Return the one value of a VR in which a backslash is a character like any other."""
    return _listed([charset.read(value).rstrip(_PADDING)])


def _names(value: bytes, charset: CharacterSet) -> list[JsonValue]:
    return _listed([_name(part) for part in charset.read(value.rstrip(b"\0 ")).split("\\")])


def _name(text: str) -> JsonValue:
    """Return the component groups that are not empty (PS3.18 F.2.2)."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    return {kind: group for kind, group in groups if group}


def _decimals(value: bytes, _: CharacterSet) -> list[JsonValue]:
    parts = _listed(value.decode("latin-1").strip().rstrip(_PADDING).split("\\"))
    # What is not a number is null in JSON, by the encoder.
    return [float(part) if isinstance(part, str) and part.strip() else None for part in parts]


def _integers(value: bytes, _: CharacterSet) -> list[JsonValue]:
    parts = _listed(value.decode("latin-1").rstrip(_PADDING).split("\\"))
    return [_integer(part) if isinstance(part, str) and part.strip() else None for part in parts]


def _integer(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = int(float(text))  # some write 1.0
    if not -_MAX_INTEGER <= number < _MAX_INTEGER:
        raise ValueError("not an integer of JSON")
    return number


def _numbers(vr: str, value: bytes, *, is_little_endian: bool) -> list[JsonValue]:
    numbers = _LAYOUTS[vr][is_little_endian].iter_unpack(value)
    if vr == "AT":
        return [f"{group:04X}{element:04X}" for group, element in numbers]
    return [number for (number,) in numbers]


_DECODERS: Mapping[str, Callable[[bytes, CharacterSet], list[JsonValue]]] = {
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM"), _strings),
    **dict.fromkeys(("LO", "SH", "UC"), _texts),
    **dict.fromkeys(("LT", "ST", "UT"), _long_text),
    "AE": _trimmed_strings,
    "DS": _decimals,
    "IS": _integers,
    "PN": _names,
    "UI": _uids,
    "UR": _uri,
}
# By VR, then by whether it is little endian.
_LAYOUTS: Mapping[str, tuple[Struct, Struct]] = {
    vr: (Struct(f">{code}"), Struct(f"<{code}"))
    for vr, code in {
        "AT": "HH",
        "FD": "d",
        "FL": "f",
        "SL": "l",
        "SS": "h",
        "SV": "q",
        "UL": "L",
        "US": "H",
        "UV": "Q",
    }.items()
}
