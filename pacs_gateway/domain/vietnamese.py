"""Vietnamese as older systems write it: windows-1258, TCVN3 (ABC) and VNI, for which DICOM has no terms.

Devices send these bytes labelled ISO_IR 100, or not at all. Which of the encodings it is, is decided by the text alone:
the reading that consists of Vietnamese syllables. Where that is not plain, Latin-1 stands.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

from pacs_gateway.domain.syllables import is_syllable

_TONES = "\u0301\u0300\u0309\u0303\u0323"


def _windows_1258() -> dict[str, str]:
    """Return the code page of Windows: Latin-1 with some letters exchanged, tones as marks behind their vowels."""
    # Python has the codec, but one that refuses the bytes it lacks.
    upper_half = bytes(range(0x80, 0x100)).decode("cp1258", "ignore")
    return {character.encode("cp1258").decode("latin-1"): character for character in upper_half}


def _tcvn3() -> dict[str, str]:
    """Return the set of the ABC fonts: capitals with a tone are the small letters, shown in another font."""
    rows = {
        0xA1: "ĂÂÊÔƠƯĐăâêôơưđ",
        0xB5: "àảãáạ",
        0xBB: "ằẳẵắ",
        0xC6: "ặầẩẫấậè",
        0xCE: "ẻẽéẹềểễếệìỉ",
        0xDC: "ĩíịò",
        0xE1: "ỏõóọồổỗốộờởỡớợù",
        0xF1: "ủũúụừửữứựỳỷỹýỵ",
    }
    return {chr(first + n): letter for first, letters in rows.items() for n, letter in enumerate(letters)}


def _vni() -> dict[str, str]:
    """Return the set of the VNI fonts: a vowel and, as a letter of its own, the marks over it."""
    tones = dict(zip("ùøûõï", _TONES, strict=True))
    circumflexes = {"â": "\u0302"} | {c: f"\u0302{tone}" for c, tone in zip("áàåãä", _TONES, strict=True)}
    breves = {"ê": "\u0306"} | {c: f"\u0306{tone}" for c, tone in zip("éèúüë", _TONES, strict=True)}
    letters = {"ñ": "đ", "ô": "ơ", "ö": "ư", "í": "í", "ì": "ì", "æ": "ỉ", "ó": "ĩ", "ò": "ị", "î": "ỵ"}
    marks = {
        **dict.fromkeys("uyôö", tones),
        **dict.fromkeys("eo", tones | circumflexes),
        "a": tones | circumflexes | breves,
    }
    small = letters | {
        vowel + sign: unicodedata.normalize("NFC", letters.get(vowel, vowel) + mark)
        for vowel, signs in marks.items()
        for sign, mark in signs.items()
    }
    capitals = {written.upper(): letter.upper() for written, letter in small.items()}
    # The sign behind a capital vowel may be small.
    mixed = {written[0].upper() + written[1:]: letter.upper() for written, letter in small.items()}
    return small | mixed | capitals


@dataclass(frozen=True)
class _Encoding:
    letters: Mapping[str, str]
    """By what Latin-1 shows instead of each."""
    shares_capitals: bool = False
    """Whether small letters also stand for capitals."""

    @cached_property
    def _written(self) -> re.Pattern[str]:
        return re.compile("|".join(sorted(map(re.escape, self.letters), key=len, reverse=True)))

    def read(self, latin: str) -> str:
        """Return the text for what Latin-1 shows; characters that the encoding lacks stay."""
        text = unicodedata.normalize("NFC", self._written.sub(lambda match: self.letters[match[0]], latin))
        return _with_capitals(text) if self.shares_capitals else text

    def explains(self, latin: str) -> bool:
        """Return whether each foreign letter is one of the encoding's."""
        return not any(c.isalpha() and not c.isascii() for c in self._written.sub("", latin))


_ENCODINGS: Mapping[str, _Encoding] = {
    # First: where windows-1258 reads as well ("kỉm", from what TCVN3 reads "kiềm"), it is hardly ever meant.
    "TCVN3": _Encoding(_tcvn3(), shares_capitals=True),
    "windows-1258": _Encoding(_windows_1258()),
    "VNI": _Encoding(_vni()),
}
VIETNAMESE_ENCODINGS = tuple(_ENCODINGS)
"""Names of the encodings, as a device's setting gives them."""

# Longer texts are judged by their beginning.
_EVIDENCE_LENGTH = 1024
# Marks that did not compose are part of the word that they spoil.
_WORDS = re.compile("(?:[^\\W\\d_]|[\u0300-\u036f])+")
# What no Western text has: signs within words, a capital behind a small letter, an eth at the beginning. Spain's "Mª"
# and a physicist's "µm" are not so rare.
_SIGNS = "¡-©«-®¶-¹»-¾×÷"
_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿ"
_ODD = re.compile(f"[{_LETTERS}][{_SIGNS}]|[{_SIGNS}][{_LETTERS}]|[a-zß-öø-ÿ][À-ÖØ-Þ]|\\b[Ðð][{_LETTERS}]")
# The last of them stand where a vowel does in what Latin-1 makes of TCVN3.
_VOWELS = frozenset("aeiouyæøþªµ")
# Nobody is called so; it is how Latin-1 shows Văn and Sơn of windows-1258, Thị and Sơn of VNI.
_MISREAD = frozenset({"vãn", "sõn", "thò", "sôn"})
# Names, and words of requests and letterheads.
_OFTEN_SEEN = """
    nguyễn trần lê phạm hoàng huỳnh vũ võ đặng bùi đỗ hồ ngô dương lý đào đoàn vương trịnh trương đinh lâm phùng hà tạ
    lương lưu thái châu tăng đồng đàm triệu nghiêm văn thị đức hữu ngọc thế công đình xuân quốc bá bảo bình cẩm chí
    cường diễm diệu dũng duyên đại đạt đông gấm giàu hải hạnh hằng hiền hiếu hiệp hòa hồng huệ hùng hưng hương hường
    khải khánh kiên kiệt kiều lành lập lệ liên liễu lộc lợi mạnh mẫn mến mộng mỹ nghĩa ngân ngà nhã nhân nhật
    nhàn nữ oánh phát phú phúc phước phương phượng quân quý quyên quyết quỳnh sáng sơn sương tài tâm tấn
    thái thắm thắng thành thảo thêm thiện thịnh thuận thư thương thủy thúy thùy thực tiến tín tình toàn trân
    trí trọng trúc trường tú tuấn tuệ tùng tuyến tuyết tường uyên vân viễn việt vĩnh vượng vỹ xuyến yến ánh ái ân
    bụng ngực phổi khớp gối xương chậu cột sống thắt lưng giáp bệnh viện tỉnh huyện chụp chẩn đoán não rẫy
"""
_FAMILIAR = frozenset(_OFTEN_SEEN.split())


def read_as(encoding: str, raw: bytes) -> str:
    """Return `raw` in one of ``VIETNAMESE_ENCODINGS``; bytes that it lacks are read as Latin-1."""
    return _ENCODINGS[encoding].read(raw.decode("latin-1"))


def read_by_evidence(raw: bytes) -> str | None:
    """Return `raw` in the encoding that makes Vietnamese of it, None where Latin-1 is as good or nothing is plain."""
    latin = raw.decode("latin-1")
    encoding = _encoding_of(latin[:_EVIDENCE_LENGTH])
    return encoding.read(latin) if encoding is not None else None


# The objects of a series say the same again and again.
@lru_cache(maxsize=4096)
def _encoding_of(latin: str) -> _Encoding | None:
    is_odd = _ODD.search(latin) is not None
    if not is_odd and not _Tally.of(latin).n_wrong:
        return None
    best, most = None, 0
    for encoding in _ENCODINGS.values():
        if not encoding.explains(latin):
            continue
        text = encoding.read(latin)
        tally = _Tally.of(text)
        if tally.score > most and tally.convinces(is_relief=is_odd and not _ODD.search(text)):
            best, most = encoding, tally.score
    return best


@dataclass(frozen=True, slots=True)
class _Tally:
    """What the words of a reading are."""

    n_right: int
    """Syllables with letters beyond ASCII."""
    n_familiar: int
    """Those that names and requests are full of."""
    n_wrong: int
    """Other words with such letters."""
    n_foreign: int
    """Words of ASCII that are no syllables either."""
    longest: int
    """Letters of the longest syllable with letters beyond ASCII."""

    @classmethod
    def of(cls, text: str) -> Self:
        words = _WORDS.findall(text)
        accented = [word for word in words if not word.isascii() and _has_vowel(word)]
        right = [word for word in accented if is_syllable(word) and word.lower() not in _MISREAD]
        foreign = [word for word in words if word.isascii() and _has_vowel(word) and not is_syllable(word)]
        return cls(
            n_right=len(right),
            n_familiar=sum(word.lower() in _FAMILIAR for word in right),
            n_wrong=len(accented) - len(right),
            n_foreign=len(foreign),
            longest=max(map(len, right), default=0),
        )

    @property
    def score(self) -> int:
        return self.n_right + 2 * self.n_familiar

    def convinces(self, *, is_relief: bool) -> bool:
        """Return whether it can only be Vietnamese.

        Less is needed of a reading that is a relief: Latin-1 shows what no Western text has, and it does not.
        """
        if self.n_wrong * 4 > self.score:
            return False
        if is_relief:
            return self.n_foreign <= self.n_right and (self.n_familiar > 0 or self.n_right > 1 or self.longest > 2)
        return self.n_foreign * 4 <= self.n_right and (self.n_familiar > 0 or self.n_right > 2)


def _has_vowel(word: str) -> bool:
    """Return whether it can be spoken: abbreviations such as ``BVĐK`` and ``CT`` tell nothing."""
    return not _VOWELS.isdisjoint(unicodedata.normalize("NFD", word.lower()))


def _with_capitals(text: str) -> str:
    """Return `text` with capitals where small letters stand between them, or in a text that has no small ones."""
    is_capital_text = not re.search("[a-z]", text) and len(_surely_capital(text)) > 1
    return _WORDS.sub(lambda match: _capital_word(match[0], in_capitals=is_capital_text), text)


def _capital_word(word: str, *, in_capitals: bool) -> str:
    if re.search("[a-z]", word):
        return word
    n_capitals = len(_surely_capital(word))
    return word.upper() if n_capitals > 1 or (in_capitals and n_capitals) else word


def _surely_capital(text: str) -> str:
    return "".join(c for c in text if c.isupper())
