"""Rejection notes: what key object selections take out of sight, whether it has come yet or not.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rejection_note",
        sa.Column("instance_key", _KEY, nullable=False),
        sa.Column("reach", _TEXT, server_default="", nullable=False),
        sa.Column("reason", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_key"], ["instance.id"], name="fk_rejection_note_instance_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_key", name="pk_rejection_note"),
    )
    op.create_table(
        "rejected_reference",
        sa.Column("note_key", _KEY, nullable=False),
        sa.Column("sop_uid", _TEXT, nullable=False),
        sa.Column("study_uid", _TEXT, nullable=False),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["note_key"], ["rejection_note.instance_key"], name="fk_rejected_reference_note_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("note_key", "sop_uid", name="pk_rejected_reference"),
    )
    op.create_index("ix_rejected_reference_study_uid", "rejected_reference", ["study_uid"])


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
