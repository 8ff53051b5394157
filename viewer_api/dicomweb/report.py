"""Structured reports as text that people read: the tree of content items, as HTML and as plain text.

Everything in it came from elsewhere: in HTML each text is escaped, and the page may load and run nothing (promises
B12).

References
----------
PS3.3 C.17.3 (SR document content), PS3.18 Table 8.7.4-1
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import cast

from pacs_gateway.dicomweb.dicom_json import JsonObject
from pacs_gateway.domain.names import display

_CONTENT, _CONCEPT, _TYPE = "0040A730", "0040A043", "0040A040"
_MEANING, _CODE = "00080104", "00080100"
_FLAGS = ("0040A491", "0040A493")
_MAX_DEPTH = 64
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """One content item."""

    depth: int
    name: str
    value: str


def report_html(data_set: JsonObject) -> bytes:
    """Return a report, in DICOM JSON, as a page."""
    title, *items = _lines(data_set)
    body = [f"<h1>{escape(title.name)}</h1>", *(f"<p>{escape(text)}</p>" for text in _heading(data_set))]
    depth = 0
    for line in items:
        body += ["<ul>"] * (line.depth - depth) + ["</ul>"] * (depth - line.depth)
        depth = line.depth
        name = f"<b>{escape(line.name)}</b> " if line.name else ""
        body.append(f"<li>{name}{escape(line.value)}</li>")
    body += ["</ul>"] * depth
    style = "body{font:1em/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}li{white-space:pre-wrap}"
    head = f'<meta charset="utf-8"><title>{escape(title.name)}</title><style>{style}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}</body></html>".encode()


def report_text(data_set: JsonObject) -> bytes:
    """Return a report, in DICOM JSON, as plain text."""
    title, *items = _lines(data_set)
    lines = [title.name, *_heading(data_set), ""]
    for line in items:
        text = ": ".join(part for part in (line.name, line.value) if part)
        lines.append(_INDENT * (line.depth - 1) + text.replace("\n", "\n" + _INDENT * line.depth))
    return "\n".join([*lines, ""]).encode()


def _heading(data_set: JsonObject) -> Iterator[str]:
    """Yield whose it is and how far it has come."""
    name = display(_name(data_set, "00100010"))
    facts = (name, _first(data_set, "00100020"), _first(data_set, "00100030"), _first(data_set, "00080020"))
    yield "  ".join(fact for fact in facts if fact)
    yield "  ".join(flag for tag in _FLAGS if (flag := _first(data_set, tag)))


def _lines(item: JsonObject, depth: int = 0) -> Iterator[Line]:
    """Yield an item and all below it."""
    kind = _first(item, _TYPE)
    name = _meaning(item, _CONCEPT) or ("Report" if depth == 0 else "")
    yield Line(depth, name, _VALUES[kind](item) if kind in _VALUES else kind.lower())
    if depth < _MAX_DEPTH:
        for child in _items(item, _CONTENT):
            yield from _lines(child, depth + 1)


def _measured(item: JsonObject) -> str:
    return ", ".join(
        f"{_first(value, '0040A30A')} {_code_or_meaning(value, '004008EA')}".strip()
        for value in _items(item, "0040A300")
    )


def _code_or_meaning(item: JsonObject, tag: str) -> str:
    """Return a unit as it is written: its code (UCUM), or what it means where that is no code for people."""
    for code in _items(item, tag):
        return _first(code, _CODE) or _first(code, _MEANING)
    return ""


def _meaning(item: JsonObject, tag: str) -> str:
    return next((_first(code, _MEANING) or _first(code, _CODE) for code in _items(item, tag)), "")


def _referenced(item: JsonObject) -> str:
    return ", ".join(_first(reference, "00081155") for reference in _items(item, "00081199"))


_VALUES: Mapping[str, Callable[[JsonObject], str]] = MappingProxyType(
    {
        "CONTAINER": lambda _: "",
        "TEXT": lambda item: _first(item, "0040A160"),
        "CODE": lambda item: _meaning(item, "0040A168"),
        "NUM": _measured,
        "DATE": lambda item: _first(item, "0040A121"),
        "TIME": lambda item: _first(item, "0040A122"),
        "DATETIME": lambda item: _first(item, "0040A120"),
        "UIDREF": lambda item: _first(item, "0040A124"),
        "PNAME": lambda item: display(_name(item, "0040A123")),
        "COMPOSITE": _referenced,
        "IMAGE": _referenced,
        "WAVEFORM": _referenced,
    }
)
"""Value type (PS3.3 Table C.17.3-7) -> its value as text."""


def _values(item: JsonObject, tag: str) -> Sequence[object]:
    found = item.get(tag, {}).get("Value", [])
    return found if isinstance(found, list) else []


def _items(item: JsonObject, tag: str) -> Iterator[JsonObject]:
    for value in _values(item, tag):
        if isinstance(value, dict):
            yield cast(JsonObject, value)


def _first(item: JsonObject, tag: str) -> str:
    value = next(iter(_values(item, tag)), "")
    return "" if value is None or isinstance(value, dict) else str(value)


def _name(item: JsonObject, tag: str) -> str:
    value = next(iter(_values(item, tag)), {})
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else ""
