"""Patterns of ``LIKE``."""

ESCAPE = "\\"


def like_pattern(pattern: str) -> str:
    """Return the ``LIKE`` pattern for wildcards ``*`` and ``?`` (PS3.4 C.2.2.2.4)."""
    return escaped(pattern).replace("*", "%").replace("?", "_")


def escaped(text: str) -> str:
    """Return `text` as a pattern that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
