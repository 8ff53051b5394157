"""Attribute values as text: cleaning what was decoded.

References
----------
PS3.5 6.2 (padding)
"""

import re
import unicodedata

# Control characters have no business in a value; LF, FF and CR are legal in ST, LT and UT only, which are not indexed.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


def clean(text: str) -> str:
    """Return `text` composed (NFC), without controls, lone surrogates or the padding around each value."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = _CONTROLS.sub("", text)
    if "\\" in text:
        return "\\".join(part.strip(" ") for part in text.split("\\"))
    return text.strip(" ")
