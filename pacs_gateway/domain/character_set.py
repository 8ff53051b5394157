"""Specific Character Set: what a data set declares, and the text of its bytes.

References
----------
PS3.5 6.1 (character sets), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pacs_gateway.domain.iso2022 import CODED_SETS, ESCAPE, CodedSet, decode
from pacs_gateway.domain.values import clean

UTF_8 = "ISO_IR 192"
# Sets that know no code extension (PS3.3 C.12.1.1.2, table C.12-5), as devices spell them.
_WHOLE_SETS: Mapping[str, tuple[str, str]] = {
    UTF_8: (UTF_8, "utf-8"),
    "UTF-8": (UTF_8, "utf-8"),
    "UTF8": (UTF_8, "utf-8"),
    "GB18030": ("GB18030", "gb18030"),
    "GBK": ("GBK", "gbk"),
    "ISO 2022 GBK": ("GBK", "gbk"),
}
# Devices write ISO-IR 100, ISO 2022-IR 100, ISO_2022_IR_100 and more for these.
_NUMBERED = re.compile(r"ISO[ _-]?(?:2022)?[ _-]?(?:IR)?[ _-]?(\d{1,3})", re.ASCII)
_LATIN_1 = CODED_SETS["100"]


@dataclass(frozen=True, slots=True)
class DeclaredSets:
    """What (0008,0005) says: a set for the whole, or those between which escape sequences switch."""

    whole: tuple[str, str] | None
    """Defined term and codec."""
    first: CodedSet | None
    """What is in force without an escape sequence; None for ASCII: ISO_IR 6, no term, or one nobody knows."""
    others: tuple[CodedSet, ...]

    @classmethod
    def parse(cls, terms: str) -> Self:
        """Return what `terms`, joined by backslashes, declare."""
        spelt = [" ".join(term.upper().split()) for term in terms.split("\\")]
        matches = [_NUMBERED.fullmatch(term) for term in spelt]
        numbers = [match[1] if match else "" for match in matches]
        whole = _WHOLE_SETS[UTF_8] if numbers[0] == "192" else _WHOLE_SETS.get(spelt[0])
        first, *others = (CODED_SETS.get(number) for number in numbers)
        if first is not None and first.is_multi_byte:
            # Such a set stands behind an escape sequence; declared alone it means itself beside ASCII.
            first, others = None, [first, *others]
        return cls(whole, first, tuple(coded for coded in others if coded is not None))

    @property
    def term(self) -> str:
        """The defined terms as the standard spells them."""
        if self.whole is not None:
            return self.whole[0]
        if not self.others:
            return f"ISO_IR {self.first.number}" if self.first is not None else ""
        return "\\".join(f"ISO 2022 IR {coded.number}" if coded is not None else "" for coded in self.sets)

    @property
    def sets(self) -> tuple[CodedSet | None, ...]:
        """The first set and those that escape sequences may designate."""
        return (self.first, *self.others)


class CharacterSet:
    """The repertoire of a data set, as its (0008,0005) declares it."""

    __slots__ = ("_first", "_whole")

    def __init__(self, terms: str) -> None:
        declared = DeclaredSets.parse(terms)
        self._whole = declared.whole
        self._first = declared.first

    def decode(self, raw: bytes) -> str:
        """Return `raw` as cleaned text; whatever the bytes are, what can be read of them is kept."""
        if raw.isascii() and ESCAPE not in raw:
            return clean(raw.decode("ascii"))
        return clean(self._decode(raw))

    def _decode(self, raw: bytes) -> str:
        if self._whole is not None and self._whole[0] != UTF_8:
            # What the end of the value has cut is left out.
            return codecs.getincrementaldecoder(self._whole[1])("replace").decode(raw)
        if self._whole is None:
            if ESCAPE in raw:
                return decode(raw, self._first)
            # Under any other label, what looks like UTF-8 is what the label says: two half-width katakana, or two
            # Chinese characters in GB18030, often do.
            if self._first is not None and self._first is not _LATIN_1:
                return self._first.decode(raw)
        text = _from_utf8(raw)
        return raw.decode("latin-1") if text is None else text


def _from_utf8(raw: bytes) -> str | None:
    """Return UTF-8 as text, without a sequence that the value's end has cut; None where it is something else."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(raw)
    except UnicodeDecodeError:
        return None
    cut, _ = decoder.getstate()
    # The only foreign byte at the very end is no beginning of a sequence but that of `José` in Latin-1.
    return None if text.isascii() and len(cut) < 2 else text
