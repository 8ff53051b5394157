"""The word table: the words of each study's patient names, newest study first, and their vocabulary.

A word stands there folded, and once more as it is spelled where that says more: who types accents is shown the names
that have them first. Each knows the marks of all words of the study: two words that are common, and rarely together,
are found by going through the list of one.

``LIKE '%word%'`` over every name takes seconds with millions of studies; matching the small vocabulary first and then
its words answers in milliseconds (performance.md, Searching).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from pacs_gateway.database.schema.archive import patient, patient_word, study, vocabulary, word_ending
from pacs_gateway.domain.names import accented_words, endings, marks, words
from pacs_gateway.index.upsert import insert_ignoring

_NONE: Mapping[int, int] = MappingProxyType({})


def add(connection: Connection, named: Sequence[tuple[RowMapping, Sequence[str]]]) -> None:
    """Make studies findable by the words of the names beside them and of their patients' names."""
    keys = {row["patient_key"] for row, _ in named}
    own = dict(connection.execute(select(patient.c.id, patient.c.patient_name).where(patient.c.id.in_(keys))).all())
    _insert(connection, [(row, [own[row["patient_key"]], *names]) for row, names in named])


def add_for_patient(connection: Connection, patient_key: int, name: str) -> None:
    """Make all studies of a patient findable by a name that was not known before."""
    rows = connection.execute(select(study).where(study.c.patient_key == patient_key)).mappings().all()
    mine = patient_word.c.study_key.in_([row["id"] for row in rows])
    marked = select(patient_word.c.study_key, func.max(patient_word.c.marks)).where(mine)
    known = {key: bits | marks(words(name)) for key, bits in connection.execute(marked.group_by("study_key"))}
    if known:
        again = update(patient_word).where(patient_word.c.study_key == bindparam("key"))
        changes = [{"key": key, "bits": bits} for key, bits in sorted(known.items())]
        connection.execute(again.values(marks=bindparam("bits")), changes)
    _insert(connection, [(row, [name]) for row in rows], known)


def move(connection: Connection, study_row: RowMapping) -> None:
    """Follow a study whose date or time changed: the table is ordered by them."""
    connection.execute(
        update(patient_word)
        .where(patient_word.c.study_key == study_row["id"])
        .values(study_date=study_row["study_date"], study_time=study_row["study_time"])
    )


def _insert(
    connection: Connection, named: Sequence[tuple[RowMapping, Sequence[str]]], marked: Mapping[int, int] = _NONE
) -> None:
    """Add the words of names to studies; `marked` says what marks some of them have."""
    rows = []
    for row, names in named:
        key, moment = row["id"], {"study_date": row["study_date"], "study_time": row["study_time"]}
        folded = {word for name in names for word in words(name)}
        bits = marks(folded) | marked.get(key, 0)
        all_words = folded.union(*map(accented_words, names))
        rows += [{"study_key": key, "word": word, "marks": bits, **moment} for word in all_words]
    if rows:
        # In one order for all writers, so that none waits for another in a circle.
        found = sorted({row["word"] for row in rows})
        rows.sort(key=lambda row: (row["study_key"], row["word"]))
        _add_to_vocabulary(connection, found)
        connection.execute(insert_ignoring(connection, patient_word), rows)


def _add_to_vocabulary(connection: Connection, words: Sequence[str]) -> None:
    # Who finds a word in the vocabulary finds its endings: both are written at once.
    known = set(connection.execute(select(vocabulary.c.word).where(vocabulary.c.word.in_(words))).scalars())
    if fresh := [word for word in words if word not in known]:
        connection.execute(insert_ignoring(connection, vocabulary), [{"word": word} for word in fresh])
        rows = [{"ending": ending, "word": word} for word in fresh for ending in endings(word)]
        connection.execute(insert_ignoring(connection, word_ending), rows)
