"""The Native DICOM Model in XML, written from DICOM JSON objects; one document is one data set.

References
----------
PS3.19 A.1 (Native DICOM Model), PS3.18 F.2 (DICOM JSON Model)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
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
    return "".join((_HEAD, *_attributes(data_set), _FOOT)).encode()


def _attributes(data_set: JsonObject) -> Iterator[str]:
    creators = {
        tag: str(values[0]) for tag, element in data_set.items() if _reserves(tag) and (values := _values(element))
    }
    for tag, element in data_set.items():
        vr = str(element["vr"])
        creator = creators.get(f"{tag[:4]}00{tag[4:6]}") if _is_private(tag) else None
        yield _opening(tag, vr) if creator is None else _private_opening(tag, vr, creator)
        yield from _content(vr, element)
        yield "</DicomAttribute>"


def _content(vr: str, element: Element) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f'<BulkData uri="{_quoted(str(element["BulkDataURI"]))}"/>'
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    else:
        for number, value in enumerate(_values(element), 1):
            yield from _value(vr, value, number)


def _value(vr: str, value: object, number: int) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        if isinstance(value, dict):
            yield from _attributes(value)
        yield "</Item>"
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        if isinstance(value, Mapping):
            for group in NAME_GROUPS:
                yield from _name(group, str(value.get(group) or ""))
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{_text(value)}</Value>'


def _name(group: str, text: str) -> Iterator[str]:
    if text:
        yield f"<{group}>"
        for component, part in zip(NAME_COMPONENTS, text.split("^", len(NAME_COMPONENTS) - 1), strict=False):
            if part:
                yield f"<{component}>{_text(part)}</{component}>"
        yield f"</{group}>"


def _values(element: Element) -> Sequence[object]:
    values = element.get("Value")
    return values if isinstance(values, list) else ()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return escape(_UNSPEAKABLE.sub(" ", str(value)), _BY_NUMBER)


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
