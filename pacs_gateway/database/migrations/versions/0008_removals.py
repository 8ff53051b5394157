"""Removals: who took what out of sight, when and why.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "removal",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("token", _TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("address", _TEXT, server_default="", nullable=False),
        sa.Column("reason", _TEXT, server_default="", nullable=False),
        sa.Column("study_uid", _TEXT, nullable=False),
        sa.Column("series_uid", _TEXT, server_default="", nullable=False),
        sa.Column("sop_uid", _TEXT, server_default="", nullable=False),
        sa.Column("n_instances", sa.Integer(), nullable=False),
        sa.Column("n_sent_again", sa.Integer(), server_default="0", nullable=False),
        sa.Column("restored_at", sa.BigInteger(), nullable=True),
        sa.Column("restored_by", _TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_removal"),
        sa.UniqueConstraint("token", name="uq_removal_token"),
    )
    op.create_index("ix_removal_at", "removal", ["at"])
    op.create_table(
        "removed_instance",
        sa.Column("removal_key", _KEY, nullable=False),
        sa.Column("instance_key", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["removal_key"], ["removal.id"], name="fk_removed_instance_removal_key", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["instance_key"], ["instance.id"], name="fk_removed_instance_instance_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("removal_key", "instance_key", name="pk_removed_instance"),
    )
    op.create_index("ix_removed_instance_instance_key", "removed_instance", ["instance_key"])


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
