"""Lists of studies by the moment, those of words with marks of all the words of a study; the endings of words.

Revision ID: 0010
Revises: 0009
"""

import sqlite3

import sqlalchemy as sa
from alembic import op

from pacs_gateway.domain.names import endings, fold, marks

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NEWEST = (sa.text("study_date DESC"), sa.text("study_time DESC"))


def upgrade() -> None:
    for column in ("facility", "modalities"):
        op.drop_index(f"ix_study_{column}_newest", "study")
        op.create_index(f"ix_study_{column}_newest", "study", [column, *_NEWEST])
    _add_endings()
    _mark_words()
    op.rename_table("patient_word", "old_word")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE old_word RENAME CONSTRAINT pk_patient_word TO pk_old_word")
    op.create_table(
        "patient_word",
        sa.Column("study_key", _KEY, nullable=False),
        sa.Column("word", _TEXT, nullable=False),
        sa.Column("study_date", _TEXT, nullable=False),
        sa.Column("study_time", _TEXT, nullable=False),
        sa.Column("marks", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["study_key"], ["study.id"], name="fk_patient_word_study_key"),
        sa.PrimaryKeyConstraint("study_key", "word", name="pk_patient_word"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO patient_word "
        "SELECT old_word.study_key, word, old_word.study_date, study.study_time, of_study.marks FROM old_word "
        "JOIN (SELECT study_key, bit_or(marks) AS marks FROM old_word JOIN marked_word USING (word) GROUP BY study_key) "
        "AS of_study ON of_study.study_key = old_word.study_key "
        "JOIN study ON study.id = old_word.study_key ORDER BY old_word.study_key, word"
    )
    op.drop_table("old_word")
    op.drop_table("marked_word")
    op.create_index("ix_patient_word_newest", "patient_word", ["word", *_NEWEST, "study_key", "marks"])


def _add_endings() -> None:
    table = op.create_table(
        "word_ending",
        sa.Column("ending", _TEXT, nullable=False),
        sa.Column("word", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("ending", "word", name="pk_word_ending"),
        sqlite_with_rowid=False,
    )
    words = op.get_bind().execute(sa.text("SELECT word FROM vocabulary")).scalars().all()
    op.bulk_insert(table, [{"ending": ending, "word": word} for word in words for ending in endings(word)])


def _mark_words() -> None:
    """Make a table of all words with their marks; what has accents stands beside its fold and needs none."""
    connection = op.get_bind()
    if isinstance(raw := connection.connection.driver_connection, sqlite3.Connection):
        raw.create_aggregate("bit_or", 1, _BitOr)
    marked = op.create_table(
        "marked_word", sa.Column("word", _TEXT, primary_key=True), sa.Column("marks", sa.BigInteger(), nullable=False)
    )
    words = connection.execute(sa.text("SELECT DISTINCT word FROM patient_word")).scalars().all()
    op.bulk_insert(marked, [{"word": word, "marks": marks([word] if fold(word) == word else [])} for word in words])


class _BitOr:
    """The aggregate that PostgreSQL has."""

    def __init__(self) -> None:
        self._bits = 0

    def step(self, bits: int) -> None:
        self._bits |= bits

    def finalize(self) -> int:
        return self._bits


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
