"""Names in SQL: conditions on the fold, which of the names found have the accents of the key, and the words of either.

References
----------
PS3.4 C.2.2.2.1 and C.2.2.2.4 (names and wildcards)
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, literal, or_, select

from pacs_gateway.database.accented import accented
from pacs_gateway.database.schema.archive import patient, patient_word, study, vocabulary, word_ending
from pacs_gateway.database.unindexed import unindexed
from pacs_gateway.domain import names
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import NameIs, NameWords
from pacs_gateway.index.like import ESCAPE, escaped, like_pattern

_FOLDS = {
    "PatientName": patient.c.patient_name_fold,
    "ReferringPhysicianName": study.c.referring_physician_name_fold,
}
_MINE = patient_word.alias("mine")
_HIGHEST = "\U0010ffff"
MOST_WORDS = 500
"""A piece that so many words have narrows nothing."""


def name_condition(level: Level, keyword: str, condition: NameIs | NameWords) -> ColumnElement[bool]:
    """Return what a name must meet."""
    is_patient = keyword == "PatientName"
    if is_patient and level is not Level.PATIENT and isinstance(condition, NameWords):
        # The words of a study are those of every name that its objects gave.
        return and_(*(has_word(study.c.id, word) for word in names.fold(condition.text).split()))
    column: ColumnElement[str] = _FOLDS[keyword]
    return _meets(column if is_patient and level is Level.PATIENT else unindexed(column), condition, names.fold)


def accents_agree(condition: NameIs | NameWords) -> ColumnElement[bool]:
    """Return whether a patient's name meets `condition` with its accents, too."""
    return _meets(accented(patient.c.patient_name), condition, names.accented)


def _meets(name: ColumnElement[str], condition: NameIs | NameWords, form: Callable[[str], str]) -> ColumnElement[bool]:
    """Return whether a `name` in a `form` of names meets `condition`."""
    text = form(condition.text)
    if isinstance(condition, NameWords):
        spaced = literal(" ") + name
        return and_(*(spaced.like(f"% {escaped(word)}%", escape=ESCAPE) for word in text.split()))
    pattern = names.name_pattern(condition.text, form)
    if pattern is None:
        return name.in_(sorted(names.turned(text.split())))
    return (literal(" ") + name + literal(" ")).like(f"% {like_pattern(pattern)} %", escape=ESCAPE)


def has_word(study_key: ColumnElement[int], begin: str) -> ColumnElement[bool]:
    """Return whether a study has a word that begins so."""
    # The offset keeps PostgreSQL from making a join of it: it takes a word that many have for a rare one, and goes
    # through all of them for each study.
    mine = select(_MINE.c.word).where(_MINE.c.study_key == study_key, *_begins(_MINE.c.word, begin))
    return mine.offset(0).exists()


def _begins(text: ColumnElement[str], begin: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return text >= begin, text < begin + _HIGHEST


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that a word of every name found has."""

    text: str
    is_begin: bool
    """The word begins with it."""
    is_end: bool
    """The word ends with it."""


def pieces_of(condition: NameIs | NameWords, form: Callable[[str], str]) -> frozenset[Piece]:
    """Return what the words of every name that meets `condition` in a `form` of names have."""
    if isinstance(condition, NameWords):
        return frozenset(Piece(word, is_begin=True, is_end=False) for word in form(condition.text).split())
    pattern = names.name_pattern(condition.text, form)
    found = set()
    # A `?` may stand for the space between two words, and `*` for several words: what is beside them is an end of
    # nothing.
    for word in (form(condition.text) if pattern is None else pattern).split():
        for match in re.finditer(r"[^*?]+", word):
            found.add(Piece(match[0], is_begin=match.start() == 0, is_end=match.end() == len(word)))
    return frozenset(found)


def beginnings_of(condition: NameIs | NameWords) -> Sequence[str]:
    """Return what folded words of every name that meets `condition` begin with."""
    return sorted(piece.text for piece in pieces_of(condition, names.fold) if piece.is_begin)


def words_with(connection: Connection, piece: Piece, *, is_folded: bool) -> Sequence[str] | None:
    """Return the words of the vocabulary that have `piece`, None where they are too many to be of use.

    Parameters
    ----------
    is_folded
        The piece is of a fold, and so are the words.
    """
    if piece.is_begin and piece.is_end:
        return (piece.text,)
    word, begun = vocabulary.c.word, vocabulary.c.word
    if not piece.is_begin:
        word, begun = word_ending.c.word, word_ending.c.ending
    has = begun == piece.text if piece.is_end else and_(*_begins(begun, piece.text))
    if not piece.is_begin:
        has = or_(has, begun == "")  # it may be in any long word
    # As many again for those with accents.
    found = connection.execute(select(word).where(has).distinct().limit(2 * MOST_WORDS + 1)).scalars().all()
    if len(found) > 2 * MOST_WORDS:
        return None
    return [one for one in found if names.fold(one) == one] if is_folded else found
