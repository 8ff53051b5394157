"""Specific Character Set: what a data set declares, and the text of its bytes.

References
----------
PS3.5 6.1 (character sets), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

import codecs
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Self

from pacs_gateway.domain.iso2022 import CODED_SETS, ESCAPE, CodedSet, decode
from pacs_gateway.domain.values import clean
from pacs_gateway.domain.vietnamese import VIETNAMESE_ENCODINGS, read_as, read_by_evidence

UTF_8 = "ISO_IR 192"
# Sets that know no code extension (PS3.3 C.12.1.1.2, table C.12-5), as devices spell them.
WHOLE_SETS: Mapping[str, tuple[str, str]] = {
    UTF_8: (UTF_8, "utf-8"),
    "UTF-8": (UTF_8, "utf-8"),
    "UTF8": (UTF_8, "utf-8"),
    "GB18030": ("GB18030", "gb18030"),
    "GBK": ("GBK", "gbk"),
    "ISO 2022 GBK": ("GBK", "gbk"),
}
"""Defined term and codec of the sets that stand for themselves, by how devices spell them."""
# Devices write ISO-IR 100, ISO 2022-IR 100, ISO_2022_IR_100 and more for these.
_NUMBERED = re.compile(r"ISO[ _-]?(?:2022)?[ _-]?(?:IR)?[ _-]?(\d{1,3})", re.ASCII)
DEFINED_TERMS = frozenset(
    {
        *("ISO_IR 6", "ISO 2022 IR 6", UTF_8, "GB18030", "GBK"),
        *(f"ISO_IR {coded.number}" for coded in CODED_SETS.values() if not coded.is_multi_byte),
        *(f"ISO 2022 IR {coded.number}" for coded in CODED_SETS.values()),
    }
)
"""Every defined term of PS3.3 C.12.1.1.2, without the deprecated spellings."""
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
        whole = WHOLE_SETS[UTF_8] if numbers[0] == "192" else WHOLE_SETS.get(spelt[0])
        first, *others = (CODED_SETS.get(number) for number in numbers)
        if first is not None and first.is_multi_byte:
            # Such a set stands behind an escape sequence; declared alone it means itself beside ASCII.
            first, others = None, [first, *others]
        return cls(whole, first, tuple(coded for coded in others if coded is not None))

    @property
    def is_often_wrong(self) -> bool:
        """Whether it declares no more than what devices write by habit."""
        return self.whole is None and not self.others and self.first in (None, _LATIN_1)

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
    """The repertoire of a data set, as its (0008,0005) declares it.

    Parameters
    ----------
    terms
        Value of (0008,0005), several joined by backslashes.
    fallback
        What its device writes where it declares nothing, ISO_IR 6 or ISO_IR 100: a term or one of
        ``VIETNAMESE_ENCODINGS``. Empty: UTF-8, Latin-1 or a Vietnamese encoding, whichever the bytes show.
    """

    __slots__ = ("_first", "_read_undeclared", "_whole")

    def __init__(self, terms: str, fallback: str = "") -> None:
        declared = DeclaredSets.parse(terms)
        self._read_undeclared: Callable[[bytes], str | None] = read_by_evidence
        if fallback in VIETNAMESE_ENCODINGS:
            self._read_undeclared = partial(read_as, fallback)
        elif fallback and declared.is_often_wrong:
            declared = DeclaredSets.parse(fallback)
            self._read_undeclared = _from_latin_1
        self._whole = declared.whole
        self._first = declared.first

    def decode(self, raw: bytes) -> str:
        """Return `raw` as cleaned text, whatever the bytes are."""
        # Most are ASCII, and this is on the way of each object that is received.
        if raw.isascii() and ESCAPE not in raw:
            return clean(raw.decode("ascii"))
        return clean(self.read(raw))

    def read(self, raw: bytes) -> str:
        """Return `raw` as text with its line ends and padding; whatever can be read of it is kept."""
        if raw.isascii() and ESCAPE not in raw:
            return raw.decode("ascii")
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
        if text is None and self._whole is None:
            text = self._read_undeclared(raw)
        return _from_latin_1(raw) if text is None else text


@lru_cache(maxsize=256)
def character_set(terms: str, fallback: str) -> CharacterSet:
    """Return the one ``CharacterSet`` of its kind."""
    return CharacterSet(terms, fallback)


def _from_latin_1(raw: bytes) -> str:
    return raw.decode("latin-1")


def _from_utf8(raw: bytes) -> str | None:
    """Return UTF-8 as text, without a sequence that the value's end has cut; None where it is something else."""
    with suppress(UnicodeDecodeError):
        return raw.decode()
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(raw)
    except UnicodeDecodeError:
        return None
    cut, _ = decoder.getstate()
    # The only foreign byte at the very end is no beginning of a sequence but that of `José` in Latin-1.
    return None if text.isascii() and len(cut) < 2 else text
