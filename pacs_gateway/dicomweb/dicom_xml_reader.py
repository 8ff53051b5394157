"""The Native DICOM Model in XML, read from strangers into DICOM JSON objects.

The reader is the standard library's expat with every door shut that XML leaves open: a document type, and with it every
entity, is refused at its first letter; nesting, the number of things and the numbers of values have limits. A library
around the same parser would add the first of these guards alone.

References
----------
PS3.19 A.1 (Native DICOM Model), PS3.18 F.2 (DICOM JSON Model)
"""

import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn
from xml.parsers import expat

from pacs_gateway.dicomweb.dicom_json import NAME_GROUPS, Element, JsonObject
from pacs_gateway.dicomweb.dicom_xml import NAME_COMPONENTS, NAMESPACE
from pacs_gateway.errors import InvalidMessageError

# Sequences nest as deep as the metadata of stored objects may: an item takes two elements.
_MAX_DEPTH = 64
_MAX_NODES = 1_000_000
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_VR = re.compile(r"[A-Z]{2}")
_POSITION = re.compile(r"[1-9][0-9]{0,6}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
# In these, spaces at the beginning are part of the text, and in none are those at its end (PS3.5 6.2).
_LEADING_SPACE = frozenset({"LT", "ST", "UC", "UT"})


def decode(document: bytes) -> JsonObject:
    """Return the data set of a document as a DICOM JSON object.

    Raises
    ------
    InvalidMessageError
        The document is not well-formed, is no Native DICOM Model, has a document type, or passes a limit.

    Notes
    -----
    Elements are taken with the model's namespace and without any, as some write them. What should be a number and is
    none stays text.
    """
    return _Reader().read(document)


@dataclass(slots=True)
class _Node:
    """An element that is being read."""

    name: str
    attributes: Mapping[str, str]
    text: list[str] = field(default_factory=list)
    children: list[tuple[str, "_Numbered"]] = field(default_factory=list)
    """Names and what the elements inside have become."""


@dataclass(frozen=True, slots=True)
class _Numbered:
    """What a child has become, and where it stands among its like."""

    value: object
    position: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """An attribute that has been read."""

    tag: str
    element: Element
    creator: str


_CHILDREN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "": frozenset({"NativeDicomModel"}),
        "NativeDicomModel": frozenset({"DicomAttribute"}),
        "Item": frozenset({"DicomAttribute"}),
        "DicomAttribute": frozenset({"Value", "PersonName", "Item", "BulkData", "InlineBinary"}),
        "PersonName": frozenset(NAME_GROUPS),
        **dict.fromkeys(NAME_GROUPS, frozenset(NAME_COMPONENTS)),
    }
)


class _Reader:
    """Reads one document; what an element has become goes to the one around it as soon as it ends."""

    def __init__(self) -> None:
        self._open = [_Node("", {})]
        self._n_nodes = 0

    def read(self, document: bytes) -> JsonObject:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(document, True)
        except expat.ExpatError as error:
            raise InvalidMessageError(f"the XML is not well-formed ({expat.ErrorString(error.code)})") from error
        except (LookupError, ValueError) as error:
            raise InvalidMessageError("the XML is in an encoding that is not read") from error
        ((_, model),) = self._open[0].children
        assert isinstance(model.value, dict)
        return model.value

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace not in ("", NAMESPACE) or local not in _CHILDREN.get(self._open[-1].name, ()):
            raise InvalidMessageError("the XML is not a Native DICOM Model")
        # The document itself, items with their attributes, and what stands in the innermost attribute.
        if len(self._open) > 2 * _MAX_DEPTH + 5:
            raise InvalidMessageError("sequences are nested too deeply")
        self._count(1)
        self._open.append(_Node(local, attributes))

    def _characters(self, text: str) -> None:
        self._open[-1].text.append(text)

    def _end(self, _name: str) -> None:
        node = self._open.pop()
        if node.name in _CHILDREN and "".join(node.text).strip():
            raise InvalidMessageError("the XML is not a Native DICOM Model: text between its elements")
        position = self._position(node) if node.name in ("Value", "PersonName", "Item") else 0
        self._open[-1].children.append((node.name, _Numbered(_BECOMES[node.name](node), position)))

    def _position(self, node: _Node) -> int:
        number = node.attributes.get("number", "")
        if not _POSITION.fullmatch(number):
            raise InvalidMessageError("the XML is not a Native DICOM Model: a value without a number")
        position = int(number)
        siblings = self._open[-1].children
        known = siblings[-1][1].position if siblings else 0
        if position <= known:
            raise InvalidMessageError("the XML is not a Native DICOM Model: values are not numbered in order")
        # What is left out between two numbers is empty, and made.
        self._count(position - known - 1)
        return position

    def _count(self, number: int) -> None:
        self._n_nodes += number
        if self._n_nodes > _MAX_NODES:
            raise InvalidMessageError("the data set has too many elements and values")


def _refuse_document_type(*_: object) -> NoReturn:
    raise InvalidMessageError("the XML has a document type")


def _data_set(node: _Node) -> JsonObject:
    """Return the data set of a document or an item, in the order of its tags, private blocks numbered."""
    read = [child.value for _, child in node.children if isinstance(child.value, _Read)]
    data_set: JsonObject = {}
    for one in (*(a for a in read if not a.creator), *(a for a in read if a.creator)):
        tag = _in_block(one, data_set) if one.creator else one.tag
        if tag in data_set:
            raise InvalidMessageError("the data set has an attribute twice")
        data_set[tag] = one.element
    return dict(sorted(data_set.items()))


def _in_block(attribute: _Read, data_set: JsonObject) -> str:
    """Return the tag of a private attribute in the block of its creator, which is reserved unless it is (PS3.5 7.8.1).

    Some write the number of the block, which then counts where it is free or the creator's.
    """
    group, block, number = attribute.tag[:4], attribute.tag[4:6], attribute.tag[6:]
    if int(group, 16) % 2 == 0:
        raise InvalidMessageError("a private attribute stands in a group of the standard")
    wished = [int(block, 16)] if int(block, 16) >= 0x10 else []
    for candidate in (*wished, *range(0x10, 0x100)):
        reserving = f"{group}00{candidate:02X}"
        holder = data_set.setdefault(reserving, {"vr": "LO", "Value": [attribute.creator]})
        if holder.get("Value") == [attribute.creator]:
            return f"{group}{candidate:02X}{number}"
    raise InvalidMessageError("the data set has too many private blocks")


def _attribute(node: _Node) -> _Read:
    tag, vr = node.attributes.get("tag", ""), node.attributes.get("vr", "")
    if not _TAG.fullmatch(tag) or not _VR.fullmatch(vr):
        raise InvalidMessageError("an attribute has no tag or no value representation")
    creator = node.attributes.get("privateCreator", "").strip()
    return _Read(tag.upper(), _element(vr, node), creator)


def _element(vr: str, node: _Node) -> Element:
    kinds = {name for name, _ in node.children}
    if not kinds:
        return {"vr": vr}
    # Numbered children of the kind that the value representation has, or one reference, or one binary value.
    kind = {"SQ": "Item", "PN": "PersonName"}.get(vr, "Value")
    if kinds == {kind}:
        return _with_values(vr, [child for _, child in node.children])
    (name, only), *more = node.children
    if more or name not in ("BulkData", "InlineBinary") or vr == "SQ":
        raise InvalidMessageError("the value of an attribute does not suit its value representation")
    return {"vr": vr, "BulkDataURI" if name == "BulkData" else name: only.value}


def _with_values(vr: str, numbered: Sequence[_Numbered]) -> Element:
    empty: object = {} if vr == "SQ" else None
    values: list[object] = [empty] * numbered[-1].position
    for one in numbered:
        values[one.position - 1] = one.value if vr in ("SQ", "PN") else _scalar(vr, str(one.value))
    # One empty value is none at all (PS3.18 F.2.5).
    return {"vr": vr} if values == [None] else {"vr": vr, "Value": values}


def _scalar(vr: str, text: str) -> object:
    text = text.rstrip() if vr in _LEADING_SPACE else text.strip()
    if not text:
        return None
    if vr in _INTEGERS:
        return int(text) if _INTEGER.fullmatch(text) else text
    if vr in _DECIMALS:
        return _decimal(text)
    return text


def _decimal(text: str) -> object:
    try:
        number = float(text)
    except ValueError:
        return text
    # JSON has no word for what is not finite.
    return number if math.isfinite(number) else text


def _person_name(node: _Node) -> object:
    return {name: child.value for name, child in node.children if child.value} or None


def _group(node: _Node) -> str:
    parts = {name: str(child.value) for name, child in node.children}
    return "^".join(parts.get(component, "") for component in NAME_COMPONENTS).rstrip("^")


def _bulk_data(node: _Node) -> str:
    uri = node.attributes.get("uri", "")
    if not uri:
        raise InvalidMessageError("bulk data are referred to without a URI")
    return uri


def _inline_binary(node: _Node) -> str:
    text = "".join("".join(node.text).split())
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise InvalidMessageError("an inline binary value is not base64") from error
    return text


def _plain(node: _Node) -> str:
    return "".join(node.text)


def _component(node: _Node) -> str:
    return "".join(node.text).strip()


_BECOMES: Mapping[str, Callable[[_Node], object]] = MappingProxyType(
    {
        "NativeDicomModel": _data_set,
        "Item": _data_set,
        "DicomAttribute": _attribute,
        "Value": _plain,
        "PersonName": _person_name,
        "BulkData": _bulk_data,
        "InlineBinary": _inline_binary,
        **dict.fromkeys(NAME_GROUPS, _group),
        **dict.fromkeys(NAME_COMPONENTS, _component),
    }
)
