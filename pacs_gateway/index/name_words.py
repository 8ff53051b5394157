"""The word table: the folded words of each study's patient names, newest study first, and their vocabulary.

``LIKE '%word%'`` over every name takes seconds with millions of studies; matching the small vocabulary first and then
its words answers in milliseconds (performance.md, Searching).
"""

from collections.abc import Iterable

from sqlalchemy import Connection, RowMapping, select, update

from pacs_gateway.database.schema.archive import patient, patient_word, study, vocabulary
from pacs_gateway.domain.names import words
from pacs_gateway.index.upsert import insert_ignoring


def add(connection: Connection, study_row: RowMapping, names: Iterable[str]) -> None:
    """Make a study findable by the words of `names` and of its patient's name."""
    own = connection.execute(
        select(patient.c.patient_name).where(patient.c.id == study_row["patient_key"])
    ).scalar_one()
    _insert(connection, [study_row], [own, *names])


def add_for_patient(connection: Connection, patient_key: int, name: str) -> None:
    """Make all studies of a patient findable by a name that was not known before."""
    rows = connection.execute(select(study).where(study.c.patient_key == patient_key)).mappings().all()
    _insert(connection, rows, [name])


def move(connection: Connection, study_row: RowMapping) -> None:
    """Follow a study whose date or time changed: the table is ordered by them."""
    connection.execute(
        update(patient_word)
        .where(patient_word.c.study_key == study_row["id"])
        .values(study_date=study_row["study_date"], study_time=study_row["study_time"])
    )


def _insert(connection: Connection, studies: Iterable[RowMapping], names: Iterable[str]) -> None:
    found = sorted({word for name in names for word in words(name)})
    rows = [
        {"word": word, "study_key": row["id"], "study_date": row["study_date"], "study_time": row["study_time"]}
        for row in studies
        for word in found
    ]
    if rows:
        connection.execute(insert_ignoring(connection, vocabulary), [{"word": word} for word in found])
        connection.execute(insert_ignoring(connection, patient_word), rows)
