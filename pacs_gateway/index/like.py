"""Patterns in SQL: of ``LIKE``, and regular expressions for texts that hold several values."""

from collections.abc import Iterable

from pacs_gateway.domain.attributes import FIELD_SEPARATOR, ITEM_SEPARATOR

ESCAPE = "\\"


def like_pattern(pattern: str) -> str:
    """Return the ``LIKE`` pattern for wildcards ``*`` and ``?`` (PS3.4 C.2.2.2.4)."""
    return escaped(pattern).replace("*", "%").replace("?", "_")


def escaped(text: str) -> str:
    """Return `text` as a pattern that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_BORDER = "\\" + ITEM_SEPARATOR
_ANY = f"[^{_BORDER}{FIELD_SEPARATOR}]"
"""Any character of one value."""


def item_pattern(patterns: Iterable[str]) -> str:
    """Return the regular expression for an item whose values match these patterns with ``*`` and ``?``.

    It is searched for in the text of a sequence, or of a set of codes, that is framed by borders of items; both
    databases read it alike.
    """
    return _BORDER + FIELD_SEPARATOR.join(map(_value_pattern, patterns)) + _BORDER


def _value_pattern(pattern: str) -> str:
    parts = {"*": f"{_ANY}*", "?": _ANY}
    return "".join(parts.get(c) or (c if c.isalnum() else f"\\{c}") for c in pattern)
