"""The Native DICOM Model in XML, written from DICOM JSON objects; one document is one data set.

References
----------
PS3.19 A.1 (Native DICOM Model), PS3.18 F.2 (DICOM JSON Model)
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from xml.sax.saxutils import escape

from pydicom.datadict import keyword_for_tag

from pacs_gateway.dicomweb.dicom_json import NAME_GROUPS, Element, JsonObject

MEDIA_TYPE = "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
_FOOT = "</NativeDicomModel>"
# What XML 1.0 cannot say, not even by number (2.2); a page break in a report is the likeliest.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Most texts have nothing of this, and one look is less than two searches and three replacements.
_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f&<>\ud800-\udfff\ufffe\uffff]")
# A reader takes a carriage return for a line feed, and both for a space in an attribute, unless they come by number.
_BY_NUMBER = {"\r": "&#13;"}
_IN_ATTRIBUTE = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"}


def encode(data_set: JsonObject) -> bytes:
    """Return the document of one data set.

    Notes
    -----
    What XML cannot say (control characters) becomes spaces. Private elements are named by their creator and without
    the number of their block, which belongs to the encoding; the creators' own elements stay, so that nothing is lost.
    """
    out = [_HEAD]
    _write(out, data_set)
    out.append(_FOOT)
    return "".join(out).encode()


def _write(out: list[str], data_set: JsonObject) -> None:
    creators = {
        tag: str(values[0]) for tag, element in data_set.items() if _reserves(tag) and (values := _values(element))
    }
    for tag, element in data_set.items():
        vr = str(element["vr"])
        creator = creators.get(f"{tag[:4]}00{tag[4:6]}") if creators and _is_private(tag) else None
        out.append(_opening(tag, vr) if creator is None else _private_opening(tag, vr, creator))
        if "BulkDataURI" in element:
            out.append(f'<BulkData uri="{_quoted(str(element["BulkDataURI"]))}"/>')
        elif "InlineBinary" in element:
            out.append(f"<InlineBinary>{element['InlineBinary']}</InlineBinary>")
        else:
            write = _WRITERS.get(vr, _write_value)
            for number, value in enumerate(_values(element), 1):
                write(out, value, number)
        out.append("</DicomAttribute>")


def _write_value(out: list[str], value: object, number: int) -> None:
    out.append(f'<Value number="{number}">{_text(value)}</Value>')


def _write_item(out: list[str], value: object, number: int) -> None:
    out.append(f'<Item number="{number}">')
    if isinstance(value, dict):
        _write(out, value)
    out.append("</Item>")


def _write_name(out: list[str], value: object, number: int) -> None:
    out.append(f'<PersonName number="{number}">')
    if isinstance(value, Mapping):
        for group in NAME_GROUPS:
            if text := str(value.get(group) or ""):
                parts = zip(NAME_COMPONENTS, text.split("^", len(NAME_COMPONENTS) - 1), strict=False)
                components = (f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)
                out.append(f"<{group}>{''.join(components)}</{group}>")
    out.append("</PersonName>")


_WRITERS: Mapping[str, Callable[[list[str], object, int], None]] = MappingProxyType(
    {"SQ": _write_item, "PN": _write_name}
)


def _values(element: Element) -> Sequence[object]:
    values = element.get("Value")
    return values if isinstance(values, list) else ()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = str(value)
    return escape(_UNSPEAKABLE.sub(" ", text), _BY_NUMBER) if _SPECIAL.search(text) else text


def _quoted(text: str) -> str:
    return escape(_UNSPEAKABLE.sub(" ", text), _IN_ATTRIBUTE)


@lru_cache(4096)
def _opening(tag: str, vr: str) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    named = f' keyword="{keyword}"' if keyword else ""
    return f'<DicomAttribute tag="{tag}" vr="{vr}"{named}>'


def _private_opening(tag: str, vr: str, creator: str) -> str:
    return f'<DicomAttribute tag="{tag[:4]}00{tag[6:]}" vr="{vr}" privateCreator="{_quoted(creator)}">'


def _is_private(tag: str) -> bool:
    """Return whether this is an element of a private block (PS3.5 7.8.1)."""
    return int(tag[3], 16) % 2 == 1 and tag[4] != "0"


def _reserves(tag: str) -> bool:
    """Return whether this is the element that names the creator of a private block (PS3.5 7.8.1)."""
    return int(tag[3], 16) % 2 == 1 and tag[4:6] == "00" and tag[6] != "0"
