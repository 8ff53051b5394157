"""Person names: components and the fold that finds them with and without accents.

A fold is what a name looks like to somebody who types it in a hurry: no accents, no case, no component borders.
``Nguyễn^Văn^Đức``, ``NGUYEN VAN DUC`` and ``nguyen van đức`` have the same fold.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from zlib import crc32

# U+0111/U+0110 have no canonical decomposition: the stroke is part of the letter, so NFD leaves it.
_LETTERS = str.maketrans({"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ı": "i"})
_LIGATURES = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th"})
# Component and group separators (PS3.5 6.2.1), and marks that people type or leave out at will.
BREAKS = "^=,.;'’`\"-_/()"
_BREAKS = str.maketrans(dict.fromkeys(BREAKS, " "))


def fold(text: str) -> str:
    """Return the fold of a name: no marks, lower case, words separated by one space."""
    if text.isascii():
        return " ".join(text.translate(_BREAKS).lower().split())
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    # Composed again: Hangul syllables are letters, and one `?` stands for one of them.
    return unicodedata.normalize("NFC", " ".join(bare.translate(_LETTERS).translate(_BREAKS).casefold().split()))


def to_ascii(text: str) -> str:
    """Return `text` for a reader of ASCII alone: letters without marks, ``?`` for each one without a likeness."""
    return text if text.isascii() else "".join(map(_ascii_letter, unicodedata.normalize("NFC", text)))


def _ascii_letter(character: str) -> str:
    # Compatibility decomposition also takes full-width letters, and spaces of every width, for what they stand for.
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    plain = bare.translate(_LETTERS).translate(_LIGATURES)
    return plain if plain.isascii() else "?"


def name_pattern(text: str, form: Callable[[str], str]) -> str | None:
    """Return a key with wildcards ``*`` and ``?`` (PS3.4 C.2.2.2.4) in a `form` of names, None where it has none.

    It is matched against any run of words: open ends are dropped, for component borders are ignored and ``NGUYEN^*``
    also means a ``NGUYEN`` with nothing behind.
    """
    if "*" not in text and "?" not in text:
        return None
    return re.sub(r"^(?:\*+ )+(?=.)|(?<=.)(?: \*+)+$", "", form(text))


def turned(words: Sequence[str]) -> frozenset[str]:
    """Return the spellings of a name that is given whole: its family name first or last."""
    return frozenset(" ".join(one) for one in (words, [*words[-1:], *words[:-1]], [*words[1:], *words[:1]]))


def words(text: str) -> tuple[str, ...]:
    """Return the distinct words of a name's fold, in order of appearance."""
    return tuple(dict.fromkeys(fold(text).split()))


_MARKED_LENGTHS = {2: 2, 3: 1, 4: 1}
"""How many marks are made of the first two letters of a word, the first three, the first four."""
_N_MARKS = 63
"""What a whole number in either database holds beside its sign."""
_SEED = 8
"""Of a dozen, the one with which the fewest of the names that many bear look like one another."""


def marks(folded: Iterable[str]) -> int:
    """Return the bits of the first letters of folded words.

    Who has a word that begins with each of some texts has all bits of these texts; of the others, few have. The bits
    are kept with every study: another rule needs a migration.
    """
    bits = 0
    for word in folded:
        bits |= _marks(word)
    return bits


@lru_cache(maxsize=1 << 14)
def _marks(word: str) -> int:
    bits = 0
    for length, n_marks in _MARKED_LENGTHS.items():
        if length <= len(word):
            number = crc32(word[:length].encode(), _SEED)
            for _ in range(n_marks):
                number, mark = divmod(number, _N_MARKS)
                bits |= 1 << mark
    return bits


_LONGEST_WORD = 64


def endings(word: str) -> Sequence[str]:
    """Return what a word ends with, the whole of it too; of one that is too long for a name only the empty text."""
    return [word[n:] for n in range(len(word))] if len(word) <= _LONGEST_WORD else [""]


def accented(text: str) -> str:
    """Return `text` composed (NFC), lower case, borders as spaces: the form in which accents are compared.

    Both databases do the same to what is kept (``database.accented``), which is composed already. SQLite calls this for
    every name that is ranked: looking for each mark is several times faster than translating letter by letter.
    """
    spaced = unicodedata.normalize("NFC", text).lower()
    for mark in BREAKS:
        if mark in spaced:
            spaced = spaced.replace(mark, " ")
    return " ".join(filter(None, spaced.split(" ")))


def accented_words(text: str) -> tuple[str, ...]:
    """Return the distinct words of a name that say more than their folds, in order of appearance."""
    return tuple(dict.fromkeys(word for word in accented(text).split() if word != fold(word)))


def has_accents(text: str) -> bool:
    """Return whether a name, or a key for one, says more than its fold."""
    return accented(text) != fold(text)


def display(text: str) -> str:
    """Return a name as people read it: components joined by spaces, the alphabetic group first (PS3.5 6.2.1)."""
    groups = [" ".join(part for part in group.split("^") if part) for group in text.split("=")]
    return next((group for group in groups if group.strip()), "")
