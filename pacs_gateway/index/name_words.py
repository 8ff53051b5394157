"""The word table: the words of each study's patient names, newest study first, and their vocabulary.

A word stands there folded, and once more as it is spelled where that says more: who types accents is shown the names
that have them first.

``LIKE '%word%'`` over every name takes seconds with millions of studies; matching the small vocabulary first and then
its words answers in milliseconds (performance.md, Searching).
"""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select, update

from pacs_gateway.database.schema.archive import patient, patient_word, study, vocabulary
from pacs_gateway.domain.names import accented_words, words
from pacs_gateway.index.upsert import insert_ignoring


def add(connection: Connection, named: Sequence[tuple[RowMapping, Sequence[str]]]) -> None:
    """Make studies findable by the words of the names beside them and of their patients' names."""
    keys = {row["patient_key"] for row, _ in named}
    own = dict(connection.execute(select(patient.c.id, patient.c.patient_name).where(patient.c.id.in_(keys))).all())
    _insert(connection, [(row, [own[row["patient_key"]], *names]) for row, names in named])


def add_for_patient(connection: Connection, patient_key: int, name: str) -> None:
    """Make all studies of a patient findable by a name that was not known before."""
    rows = connection.execute(select(study).where(study.c.patient_key == patient_key)).mappings().all()
    _insert(connection, [(row, [name]) for row in rows])


def move(connection: Connection, study_row: RowMapping) -> None:
    """Follow a study whose date changed: the table is ordered by it."""
    connection.execute(
        update(patient_word)
        .where(patient_word.c.study_key == study_row["id"])
        .values(study_date=study_row["study_date"])
    )


def _insert(connection: Connection, named: Sequence[tuple[RowMapping, Sequence[str]]]) -> None:
    rows = [
        {"study_key": row["id"], "word": word, "study_date": row["study_date"]}
        for row, names in named
        for word in {word for name in names for word in (*words(name), *accented_words(name))}
    ]
    if rows:
        # In one order for all writers, so that none waits for another in a circle.
        found = sorted({row["word"] for row in rows})
        rows.sort(key=lambda row: (row["study_key"], row["word"]))
        connection.execute(insert_ignoring(connection, vocabulary), [{"word": word} for word in found])
        connection.execute(insert_ignoring(connection, patient_word), rows)
