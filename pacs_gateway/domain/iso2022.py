"""Code extensions: text in which escape sequences switch between coded character sets.

Bytes below 0x80 mean what is designated to G0, those above what is designated to G1. Both go back to the first declared
set at each delimiter. pydicom reads one fragment after another by a single set, and forgets escapes between the
fragments that it writes; DICOM's repertoire is small enough for the two registers themselves.

References
----------
PS3.5 6.1.2.4, 6.1.2.5 (code extension), PS3.3 C.12.1.1.2 (defined terms and their escape sequences), ISO/IEC 2022
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

ESCAPE = b"\x1b"
_ASCII_TO_G0 = b"\x1b(B"
_ROMAJI_TO_G0 = b"\x1b(J"


class _Kind(Enum):
    """How a set's own bytes become bytes of its Python codec."""

    SINGLE = 1
    """One byte of G1."""
    DOUBLE = 2
    """Two bytes of G1."""
    KANJI = 3
    """Two bytes of G0: EUC without the high bits."""
    SUPPLEMENT = 4
    """Two bytes of G0: EUC without the high bits and the prefix of its third set."""


@dataclass(frozen=True, slots=True)
class CodedSet:
    """A coded character set of DICOM beside ASCII."""

    number: str
    """As it is registered, and part of the defined term: ``ISO_IR 100``, ``ISO 2022 IR 100``."""
    codec: str
    escape: bytes
    """What designates it."""
    kind: _Kind = _Kind.SINGLE

    @property
    def is_multi_byte(self) -> bool:
        """Whether it stands only behind an escape sequence (PS3.3 C.12.1.1.2, table C.12-4)."""
        return self.kind is not _Kind.SINGLE

    @property
    def in_g0(self) -> bool:
        """Whether it takes the place of ASCII while it is designated."""
        return self.kind in (_Kind.KANJI, _Kind.SUPPLEMENT)

    @property
    def ascii_to_g0(self) -> bytes:
        """What brings back the letters that stand beside it (ISO-IR 13 goes with ISO-IR 14)."""
        return _ROMAJI_TO_G0 if self.number == "13" else _ASCII_TO_G0

    def decode(self, raw: bytes) -> str:
        """Return a run of its bytes as text, U+FFFD for what means nothing."""
        match self.kind:
            case _Kind.KANJI:
                raw = bytes(byte | 0x80 for byte in raw)
            case _Kind.SUPPLEMENT:
                raw = b"".join(bytes((0x8F, *(byte | 0x80 for byte in raw[n : n + 2]))) for n in range(0, len(raw), 2))
            case _:
                pass
        return raw.decode(self.codec, "replace")

    def encode(self, character: str) -> bytes | None:
        """Return one character that is not ASCII, None where the set has none such."""
        try:
            encoded = character.encode(self.codec)
        except UnicodeEncodeError:
            return None
        match self.kind:
            case _Kind.SINGLE:
                # Shift JIS also has double bytes, Latin-1 controls from 0x80.
                return encoded if len(encoded) == 1 and encoded[0] >= 0xA0 else None
            case _Kind.DOUBLE:
                # The Korean codec also spells syllables out in eight bytes.
                return encoded if len(encoded) == 2 else None
            case _Kind.KANJI:
                return _seven_bits(encoded) if len(encoded) == 2 and encoded[0] != 0x8E else None
            case _Kind.SUPPLEMENT:
                return _seven_bits(encoded[1:]) if len(encoded) == 3 else None


def _seven_bits(raw: bytes) -> bytes:
    return bytes(byte & 0x7F for byte in raw)


CODED_SETS: Mapping[str, CodedSet] = {
    coded.number: coded
    for coded in (
        CodedSet("13", "shift_jis", b"\x1b)I"),
        CodedSet("100", "latin-1", b"\x1b-A"),
        CodedSet("101", "iso8859-2", b"\x1b-B"),
        CodedSet("109", "iso8859-3", b"\x1b-C"),
        CodedSet("110", "iso8859-4", b"\x1b-D"),
        CodedSet("126", "iso8859-7", b"\x1b-F"),
        CodedSet("127", "iso8859-6", b"\x1b-G"),
        CodedSet("138", "iso8859-8", b"\x1b-H"),
        CodedSet("144", "iso8859-5", b"\x1b-L"),
        CodedSet("148", "iso8859-9", b"\x1b-M"),
        CodedSet("166", "tis-620", b"\x1b-T"),
        CodedSet("203", "iso8859-15", b"\x1b-b"),
        CodedSet("87", "euc_jp", b"\x1b$B", _Kind.KANJI),
        CodedSet("159", "euc_jp", b"\x1b$(D", _Kind.SUPPLEMENT),
        CodedSet("149", "euc_kr", b"\x1b$)C", _Kind.DOUBLE),
        CodedSet("58", "gb2312", b"\x1b$)A", _Kind.DOUBLE),
    )
}
# What is designated to G0 (None: ASCII or its Japanese variant) and what to G1, each by its escape sequence.
_TO_G0: Mapping[bytes, CodedSet | None] = {
    _ASCII_TO_G0: None,
    _ROMAJI_TO_G0: None,
    b"\x1b$@": CODED_SETS["87"],  # the edition of 1978, from old consoles
    **{coded.escape: coded for coded in CODED_SETS.values() if coded.in_g0},
}
_TO_G1 = {coded.escape: coded for coded in CODED_SETS.values() if not coded.in_g0}

_RUNS = re.compile(rb"\x1b[\x20-\x2f]{0,3}[\x30-\x7e]?|[\x00-\x1a\x1c-\x20\x7f]+|[\x21-\x7e]+|[\x80-\xff]+")
# Before these the first set is in force again (PS3.5 6.1.2.5.3). In values that are no names `^` and `=` are letters,
# but nobody who means one writes them in the midst of a designation.
_DELIMITERS = frozenset(b"\\^=")
_LINE_ENDS = frozenset(b"\t\n\f\r")
_PIECES = re.compile(r"([\\^=\t\n\f\r])")


def decode(raw: bytes, first: CodedSet | None) -> str:
    """Return `raw` without its escape sequences; every set of DICOM is followed, declared or not.

    Parameters
    ----------
    first
        What is designated to G1 at the beginning and after each delimiter; None for ASCII alone.
    """
    g0, g1 = None, first
    parts = []
    for run in _RUNS.findall(raw):
        if run[0] == 0x1B:
            g0 = _TO_G0.get(run, g0)
            g1 = _TO_G1.get(run, g1)
        elif run[0] >= 0x80:
            parts.append(g1.decode(run) if g1 is not None else run.decode("latin-1"))
        elif g0 is not None and run[0] > 0x20:
            parts.append(g0.decode(run))
        else:
            parts.append(run.decode("ascii"))
            if not _DELIMITERS.isdisjoint(run) or not _LINE_ENDS.isdisjoint(run):
                # Without a first set for G1 nothing could follow but what was designated before: some do not repeat it.
                g0, g1 = None, first or g1
    return "".join(parts)


def encode(text: str, declared: Sequence[CodedSet | None]) -> bytes | None:
    """Return `text` by the declared sets, None where they lack a character.

    Parameters
    ----------
    declared
        The first set, which stands without escape sequence (None: ASCII alone), and those that may be designated.
    """
    encoded = bytearray()
    for piece in _PIECES.split(text):
        part = _encode_piece(piece, declared)
        if part is None:
            return None
        encoded += part
    return bytes(encoded)


def _encode_piece(piece: str, declared: Sequence[CodedSet | None]) -> bytes | None:
    """Return what lies between two delimiters; at its end the first set is in force again, for G0 and G1."""
    first = declared[0]
    back_to_g0 = first.ascii_to_g0 if first is not None else _ASCII_TO_G0
    encoded = bytearray()
    current, g1 = first, first
    for character in piece:
        if character.isascii():
            if current is not None and current.in_g0:
                encoded += back_to_g0
                current = None
            encoded += character.encode("ascii")
            continue
        found = _encode_character(character, (current, *declared))
        if found is None:
            return None
        chosen, own = found
        if chosen is not current:
            if current is not None and current.in_g0 and not chosen.in_g0:
                encoded += back_to_g0
            # Designated anew even where G1 still holds it: readers by fragments forget it at each escape sequence.
            encoded += chosen.escape
            current, g1 = chosen, g1 if chosen.in_g0 else chosen
        encoded += own
    if current is not None and current.in_g0:
        encoded += back_to_g0
    if first is not None and g1 is not first:
        encoded += first.escape
    return bytes(encoded)


def _encode_character(character: str, choice: Sequence[CodedSet | None]) -> tuple[CodedSet, bytes] | None:
    for coded in choice:
        encoded = coded.encode(character) if coded is not None else None
        if coded is not None and encoded is not None:
            return coded, encoded
    return None
