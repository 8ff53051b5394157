"""Names in SQL: conditions on the fold, and which of the names found have the accents of the key.

References
----------
PS3.4 C.2.2.2.1 and C.2.2.2.4 (names and wildcards)
"""

from collections.abc import Callable

from sqlalchemy import ColumnElement, and_, literal, select

from pacs_gateway.database.accented import accented
from pacs_gateway.database.schema.archive import patient, patient_word, study, vocabulary
from pacs_gateway.domain import names
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import NameIs, NameWords
from pacs_gateway.index.like import ESCAPE, escaped, like_pattern

_FOLDS = {
    "PatientName": patient.c.patient_name_fold,
    "ReferringPhysicianName": study.c.referring_physician_name_fold,
}


def name_condition(level: Level, keyword: str, condition: NameIs | NameWords) -> ColumnElement[bool]:
    """Return what a name must meet."""
    matches = _meets(_FOLDS[keyword], condition, names.fold)
    if keyword != "PatientName" or level is Level.PATIENT:
        return matches
    # The word table narrows millions of names to a few before each is looked at.
    if isinstance(condition, NameWords):
        return and_(*(_has_word(f"{escaped(word)}%") for word in names.fold(condition.text).split()))
    pattern = names.name_pattern(condition.text, names.fold)
    if pattern is None:
        return matches
    pieces = {piece for piece in pattern.replace("*", " ").replace("?", " ").split() if piece}
    return and_(matches, *(_has_word(f"%{escaped(piece)}%") for piece in sorted(pieces)))


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


def _has_word(pattern: str) -> ColumnElement[bool]:
    """A study's patient name has a word like `pattern`: by the vocabulary first, then its words."""
    found = select(vocabulary.c.word).where(vocabulary.c.word.like(pattern, escape=ESCAPE))
    studies = select(patient_word.c.study_key).where(patient_word.c.word.in_(found))
    return study.c.id.in_(studies)
