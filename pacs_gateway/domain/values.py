"""Attribute values as text: decoding by character set, and cleaning.

References
----------
PS3.5 6.1 (character sets), PS3.5 6.2 (padding), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

import codecs
import re
import unicodedata

from pydicom.charset import convert_encodings, decode_bytes

# Control characters have no business in a value; LF, FF and CR are legal in ST, LT and UT only, which are not indexed.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_TEXT_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}
_ESCAPE = b"\x1b"


class CharacterSet:
    """The declared repertoire of a data set, as (0008,0005) names it."""

    __slots__ = ("_encodings",)

    def __init__(self, terms: str) -> None:
        try:
            names = convert_encodings([term.strip() for term in terms.split("\\")] if terms else "")
            for name in names:
                codecs.lookup(name)
        except (LookupError, ValueError):
            # An unknown term is the sender's mistake; UTF-8 with Latin-1 behind it loses nothing readable.
            names = ["utf8"]
        self._encodings = names

    def decode(self, raw: bytes) -> str:
        """Return `raw` as cleaned text; what cannot be decoded is read as Latin-1 rather than dropped."""
        if raw.isascii() and _ESCAPE not in raw:
            return clean(raw.decode("ascii"))
        if len(self._encodings) > 1 or _ESCAPE in raw:
            return clean(decode_bytes(raw, self._encodings, _TEXT_DELIMITERS))
        # Devices send UTF-8 under ISO_IR 100 or no label at all; Latin-1 text that happens to be UTF-8 is not seen.
        for encoding in ("utf8", self._encodings[0]):
            try:
                return clean(raw.decode(encoding))
            except UnicodeDecodeError:
                continue
        return clean(raw.decode("latin-1"))


def clean(text: str) -> str:
    """Return `text` composed (NFC), without controls, lone surrogates or the padding around each value."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = _CONTROLS.sub("", text)
    if "\\" in text:
        return "\\".join(part.strip(" ") for part in text.split("\\"))
    return text.strip(" ")
