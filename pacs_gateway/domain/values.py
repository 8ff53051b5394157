"""Attribute values as text: decoding by character set, and cleaning.

References
----------
PS3.5 6.1 (character sets), PS3.5 6.2 (padding), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

import codecs
import re
import unicodedata
import warnings

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

# Control characters have no business in a value; LF, FF and CR are legal in ST, LT and UT only, which are not indexed.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_TEXT_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}
_ESCAPE = b"\x1b"
# What pydicom's decoder leaves behind (that of ISO 2022 IR 58 keeps all of them): ISO/IEC 2022 13.2.
_ESCAPE_SEQUENCE = re.compile(r"\x1b[\x20-\x2f]*[\x30-\x7e]")
# Under these labels devices send UTF-8 all the same; under any other, what looks like UTF-8 is what the label says
# (two half-width katakana, or two Chinese characters in GB18030, often do).
_MISLABELLED = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6", "ISO_IR 100", "ISO 2022 IR 100", "ISO_IR 192"})


class CharacterSet:
    """The declared repertoire of a data set, as (0008,0005) names it."""

    __slots__ = ("_encodings", "_may_be_utf8")

    def __init__(self, terms: str) -> None:
        declared = [term.strip() for term in terms.split("\\")]
        # An unknown term is the sender's mistake; UTF-8 with Latin-1 behind it loses nothing readable.
        self._may_be_utf8 = declared[0] in _MISLABELLED or declared[0] not in python_encoding
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a misspelt term is guessed, and said
                names = convert_encodings(declared if terms else "")
            for name in names:
                codecs.lookup(name)
        except (LookupError, ValueError):
            names = ["utf8"]
        self._encodings = names

    def decode(self, raw: bytes) -> str:
        """Return `raw` as cleaned text; what cannot be decoded is read as Latin-1 rather than dropped."""
        if raw.isascii() and _ESCAPE not in raw:
            return clean(raw.decode("ascii"))
        if len(self._encodings) > 1 or _ESCAPE in raw:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it cannot decode it replaces, and says so
                return clean(_ESCAPE_SEQUENCE.sub("", decode_bytes(raw, self._encodings, _TEXT_DELIMITERS)))
        # Latin-1 text that happens to be UTF-8 is not seen.
        for encoding in ("utf8", self._encodings[0]) if self._may_be_utf8 else (self._encodings[0],):
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
