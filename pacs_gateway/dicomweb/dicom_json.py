"""The DICOM JSON model (PS3.18 F), made from the text values the index keeps and for the answers of a store.

Whole data sets are turned into JSON once, when they arrive; here are only the small objects made per request.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from pacs_gateway.domain.attributes import Attribute

Element = dict[str, object]
"""One attribute: ``vr`` and, unless empty, ``Value``."""
JsonObject = dict[str, Element]
"""Elements by tag."""

MEDIA_TYPE = "application/dicom+json"

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def element(vr: str, text: str) -> Element:
    r"""Return the element that holds `text`, its values separated by ``\``.

    Notes
    -----
    An empty value among others is ``null`` (PS3.18 F.2.5). A number that cannot be read as one stays text, as the
    standard allows for IS (F.2.3).
    """
    if not text:
        return {"vr": vr}
    convert = _CONVERTERS.get(vr, _text)
    parts = [text] if vr == "UR" else text.split("\\")
    return {"vr": vr, "Value": [convert(part.strip(" ")) if part.strip(" ") else None for part in parts]}


def first_value(data_set: JsonObject, tag: str) -> str:
    """Return the first value of an attribute as text, empty without one."""
    values = data_set.get(tag, {}).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""


def encode(values: Mapping[str, str], attributes: Iterable[Attribute]) -> JsonObject:
    """Return the object of `attributes`, in the order of their tags; what `values` lacks is empty."""
    (encoded,) = encode_all([values], attributes)
    return encoded


def encode_all(entities: Iterable[Mapping[str, str]], attributes: Iterable[Attribute]) -> Iterator[JsonObject]:
    """Yield the object of `attributes` for the values of each entity; see `encode`."""
    plan = [(row.hex, row.keyword, _encoder(row)) for row in sorted(attributes, key=lambda row: row.tag)]
    for values in entities:
        yield {tag: encoder(values.get(keyword, "")) for tag, keyword, encoder in plan}


def _encoder(row: Attribute) -> Callable[[str], Element]:
    """Return what makes the element of an attribute; most values are one text that stays as it is."""
    if row.items:
        return partial(_sequence, row)
    vr, convert = row.vr, _CONVERTERS.get(row.vr, _text)

    def encoder(text: str) -> Element:
        if not text:
            return {"vr": vr}
        if "\\" in text or text[0] == " " or text[-1] == " ":
            return element(vr, text)
        return {"vr": vr, "Value": [convert(text)]}

    return encoder


def _sequence(row: Attribute, text: str) -> Element:
    items = [{one.hex: element(one.vr, fields[one.position]) for one in row.items} for fields in row.item_values(text)]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


@dataclass(frozen=True, slots=True)
class StoredReference:
    """An instance that a store has taken."""

    sop_class_uid: str
    sop_instance_uid: str
    retrieve_url: str


@dataclass(frozen=True, slots=True)
class FailedReference:
    """An instance that a store has refused."""

    reason: int
    """Failure Reason (0008,1197)."""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    """Empty where the object could not even be identified."""


def store_response(
    stored: Sequence[StoredReference], failed: Sequence[FailedReference], *, study_url: str = ""
) -> JsonObject:
    """Return the Store Instances Response Module (PS3.18 I.2).

    What could not be identified goes to the Other Failures Sequence, for the Failed SOP Sequence demands both UIDs.
    """
    response: JsonObject = {}
    if study_url:
        response["00081190"] = element("UR", study_url)
    known = [entry for entry in failed if entry.sop_class_uid and entry.sop_instance_uid]
    unknown = [entry for entry in failed if not (entry.sop_class_uid and entry.sop_instance_uid)]
    sequences: tuple[tuple[str, list[JsonObject]], ...] = (
        ("00081198", [_reference(entry) | _reason(entry) for entry in known]),
        ("00081199", [_reference(entry) | {"00081190": element("UR", entry.retrieve_url)} for entry in stored]),
        ("0008119A", [_reason(entry) for entry in unknown]),
    )
    response.update({tag: {"vr": "SQ", "Value": items} for tag, items in sequences if items})
    return response


def _reference(entry: StoredReference | FailedReference) -> JsonObject:
    return {"00081150": element("UI", entry.sop_class_uid), "00081155": element("UI", entry.sop_instance_uid)}


def _reason(entry: FailedReference) -> JsonObject:
    return {"00081197": {"vr": "US", "Value": [entry.reason]}}


def _text(part: str) -> object:
    return part


def _integer(part: str) -> object:
    return int(part) if _INTEGER.fullmatch(part) else part


def _name(part: str) -> object:
    if "=" not in part:
        return {NAME_GROUPS[0]: part}
    return {group: value for group, value in zip(NAME_GROUPS, part.split("="), strict=False) if value} or None


_CONVERTERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"IS": _integer, "US": _integer, "UL": _integer, "SS": _integer, "SL": _integer, "PN": _name}
)
