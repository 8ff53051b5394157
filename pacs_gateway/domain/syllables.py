"""What a written Vietnamese syllable can be: the evidence that bytes were read in the right encoding.

Vietnamese is written in syllables of a beginning (21 or none), a rime (about 160) and one of six tones; nearly no
word of another language, and no Vietnamese read in a wrong encoding, is one.
"""

import re
import unicodedata

_BEGINNINGS = "b c ch d đ g gh gi h k kh l m n ng ngh nh p ph qu r s t th tr v x"
_RIMES = """
    a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây
    e ec em en eng eo ep et ê êch êm ên ênh êp êt êu
    i ia ich iêc iêm iên iêng iêp iêt iêu im in inh ip it iu
    o oa oac oach oai oam oan oang oanh oao oap oat oay oăc oăm oăn oăng oăt oc oe oen oeo oet oi om on ong ooc oong
    op ot ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn ơp ơt
    u ua uân uâng uât uây uc uê uêch uênh ui um un ung uôc uôi uôm uôn uông uôt uơ up ut
    uy uya uych uyên uyêt uynh uyp uyt uyu ư ưa ưc ưi ưng ươc ươi ươm ươn ương ươp ươt ươu ưt ưu
    y ych yêm yên yêng yêt yêu ynh yt
"""
_TONES = dict.fromkeys((0x300, 0x301, 0x303, 0x309, 0x323))
# A syllable that is closed by a stop has one of two tones.
_STOPPED = re.compile("[^\u0301\u0323]*(?:c|ch|p|t)")


def _without_marks(letters: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", letters) if not unicodedata.combining(c)).replace("đ", "d")


_BEGINNING = "|".join(sorted(_BEGINNINGS.split(), key=len, reverse=True))
_ACCENTED = re.compile(f"({_BEGINNING})?({'|'.join(_RIMES.split())})")
_BARE = re.compile(f"(?:{_without_marks(_BEGINNING)})?(?:{'|'.join(set(_without_marks(_RIMES).split()))})")


def is_syllable(word: str) -> bool:
    """Return whether letters (NFC) can be a Vietnamese syllable; one of ASCII alone, written without its marks."""
    if not (word.islower() or word.isupper() or word.istitle()):
        return False
    if word.isascii():
        return _BARE.fullmatch(word.lower()) is not None
    decomposed = unicodedata.normalize("NFD", word.lower())
    toneless = decomposed.translate(_TONES)
    match = _ACCENTED.fullmatch(unicodedata.normalize("NFC", toneless))
    if match is None or len(decomposed) - len(toneless) > 1 or _STOPPED.fullmatch(decomposed):
        return False
    return toneless == decomposed or _may_bear_tone(match[1] or "", match[2], _toned_letter(decomposed))


def _toned_letter(decomposed: str) -> int:
    """Return which letter, counted from 0, has the tone."""
    before = next(n for n, c in enumerate(decomposed) if ord(c) in _TONES)
    return sum(not unicodedata.combining(c) for c in decomposed[:before]) - 1


def _may_bear_tone(beginning: str, rime: str, letter: int) -> bool:
    """Return whether the tone stands where it is written."""
    # Over the last vowel with a mark, else over the first, or the second of two (`hòa` or `hoà`); many write `qúy`.
    place = letter - len(beginning)
    marked = [n for n, c in enumerate(rime) if c in "ăâêôơư"]
    if marked:
        return place == marked[-1]
    return place == 0 or (place == 1 and rime[:2] in ("oa", "oe", "uy")) or (place == -1 and beginning == "qu")
