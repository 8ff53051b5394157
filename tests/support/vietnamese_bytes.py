"""Vietnamese in the encodings of older systems, from tables written independently of the gateway's."""

import unicodedata
from collections.abc import Mapping

LETTERS = "aàáảãạăằắẳẵặâầấẩẫậbcdđeèéẻẽẹêềếểễệghiìíỉĩịklmnoòóỏõọôồốổỗộơờớởỡợpqrstuùúủũụưừứửữựvxyỳýỷỹỵ"
# As glibc's `iconv -t TCVN5712-1` writes them.
_TCVN3 = """
    61 b5 b8 b6 b7 b9 a8 bb be bc bd c6 a9 c7 ca c8 c9 cb 62 63 64 ae 65 cc d0 ce cf d1 aa d2 d5 d3 d4 d6 67 68 69 d7 dd
    d8 dc de 6b 6c 6d 6e 6f df e3 e1 e2 e4 ab e5 e8 e6 e7 e9 ac ea ed eb ec ee 70 71 72 73 74 75 ef f3 f1 f2 f4 ad f5 f8
    f6 f7 f9 76 78 79 fa fd fb fc fe
"""
_TCVN3_CAPITALS = "Ă¡Â¢Ê£Ô¤Ơ¥Ư¦Đ§"
_VNI = (
    "a aø aù aû aõ aï aê aè aé aú aü aë aâ aà aá aå aã aä b c d ñ e eø eù eû eõ eï eâ eà eá eå eã eä g h i ì í æ ó ò "
    "k l m n o oø où oû oõ oï oâ oà oá oå oã oä ô ôø ôù ôû ôõ ôï p q r s t u uø uù uû uõ uï ö öø öù öû öõ öï v x "
    "y yø yù yû yõ î"
)
_TONES = "\u0300\u0301\u0303\u0309\u0323"

_OF_TCVN3: Mapping[str, bytes] = {
    **dict(zip(LETTERS, (bytes([byte]) for byte in bytes.fromhex(_TCVN3)), strict=True)),
    **{c: sign.encode("latin-1") for c, sign in zip(_TCVN3_CAPITALS[::2], _TCVN3_CAPITALS[1::2], strict=True)},
}
_OF_VNI = dict(zip(LETTERS, _VNI.split(), strict=True))


def to_windows_1258(text: str) -> bytes:
    """Return text with each tone as a mark behind its letter."""
    return b"".join(_letter_and_tone(c) for c in text)


def _letter_and_tone(character: str) -> bytes:
    marks = unicodedata.normalize("NFD", character)
    tone = "".join(c for c in marks if c in _TONES)
    return (unicodedata.normalize("NFC", "".join(c for c in marks if c not in _TONES)) + tone).encode("cp1258")


def to_tcvn3(text: str) -> bytes:
    """Return text whose toned capitals are small letters, to be shown in the font of capitals."""
    return b"".join(c.encode() if c.isascii() else _OF_TCVN3.get(c) or _OF_TCVN3[c.lower()] for c in text)


def to_vni(text: str) -> bytes:
    """Return text with each vowel's marks as a letter behind it, both in the case of the vowel."""
    written = (_OF_VNI.get(c) or _OF_VNI.get(c.lower(), c).upper() for c in text)
    return "".join(written).encode("latin-1")


ENCODERS = {"windows-1258": to_windows_1258, "TCVN3": to_tcvn3, "VNI": to_vni}
