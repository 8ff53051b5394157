"""Searching millions: identifiers in lower case, lists of studies newest first, words with their accents.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from pacs_gateway.domain.names import accented_words

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# SQLite's `lower` is the gateway's own, for all scripts.
_LOWER = {"sqlite": "lower({0})", "postgresql": 'lower({0} COLLATE "und-x-icu")'}
_NEWEST = sa.text("study_date DESC")
_AT_ONCE = 10_000


def upgrade() -> None:
    _add_lower("patient", "patient_id")
    _add_lower("study", "accession_number")
    op.create_index("ix_patient_patient_birth_date", "patient", ["patient_birth_date"])
    op.create_index("ix_study_facility_newest", "study", ["facility", _NEWEST])
    op.create_index("ix_study_modalities_newest", "study", ["modalities", _NEWEST])
    _make_words_anew()
    _add_accented_words()


def _add_lower(table: str, column: str) -> None:
    lower = _LOWER[op.get_bind().dialect.name].format(column)
    op.add_column(table, sa.Column(f"{column}_lower", _TEXT, server_default="", nullable=False))
    op.execute(f"UPDATE {table} SET {column}_lower = {lower} WHERE {column} <> ''")  # noqa: S608 - our own names
    op.drop_index(f"ix_{table}_{column}", table)
    op.create_index(f"ix_{table}_{column}_lower", table, [f"{column}_lower"])


def _make_words_anew() -> None:
    """Make the table of words again, by study and word, and without the time of day."""
    op.rename_table("patient_word", "old_word")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE old_word RENAME CONSTRAINT pk_patient_word TO pk_old_word")
    op.create_table(
        "patient_word",
        sa.Column("study_key", _KEY, nullable=False),
        sa.Column("word", _TEXT, nullable=False),
        sa.Column("study_date", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(["study_key"], ["study.id"], name="fk_patient_word_study_key"),
        sa.PrimaryKeyConstraint("study_key", "word", name="pk_patient_word"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO patient_word SELECT study_key, word, study_date FROM old_word ORDER BY study_key, word")
    op.drop_table("old_word")
    op.create_index("ix_patient_word_newest", "patient_word", ["word", _NEWEST])


def _add_accented_words() -> None:
    connection = op.get_bind()
    studies = sa.text(
        "SELECT study.id, study.study_date, patient.patient_name FROM study JOIN patient ON patient.id = patient_key "
        "WHERE study.id > :last ORDER BY study.id LIMIT :n"
    )
    add = sa.text("INSERT INTO patient_word (study_key, word, study_date) VALUES (:key, :word, :date)")
    name = sa.text("INSERT INTO vocabulary (word) VALUES (:word)")
    last, known = 0, set()
    while rows := connection.execute(studies, {"last": last, "n": _AT_ONCE}).all():
        last = rows[-1].id
        words = [
            {"key": row.id, "word": word, "date": row.study_date}
            for row in rows
            for word in accented_words(row.patient_name)
        ]
        if words:
            connection.execute(add, words)
            known.update(row["word"] for row in words)
    if known:
        connection.execute(name, [{"word": word} for word in sorted(known)])


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
