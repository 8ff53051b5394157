"""Storage commitment: what others asked of us, and what we asked of others.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "commitment",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("transaction_uid", _TEXT, nullable=False),
        sa.Column("ae_title", _TEXT, nullable=False),
        sa.Column("called_ae_title", _TEXT, nullable=False),
        sa.Column("facility", _TEXT, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", _TEXT, server_default="checking", nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("holder", _TEXT, nullable=True),
        sa.Column("held_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", _TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
    )
    op.create_index(
        "uq_commitment_ae_title_transaction_uid", "commitment", ["ae_title", "transaction_uid"], unique=True
    )
    op.create_index("ix_commitment_received_at", "commitment", ["received_at"], unique=False)
    _instances("commitment_instance", "commitment")
    op.create_table(
        "asked_commitment",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("transaction_uid", _TEXT, nullable=False),
        sa.Column("ae_title", _TEXT, nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_commitment")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_asked_commitment_transaction_uid")),
    )
    op.create_index("ix_asked_commitment_asked_at", "asked_commitment", ["asked_at"], unique=False)
    _instances("asked_commitment_instance", "asked_commitment")


def _instances(name: str, parent: str) -> None:
    op.create_table(
        name,
        sa.Column("commitment_key", _KEY, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sop_class_uid", _TEXT, nullable=False),
        sa.Column("sop_uid", _TEXT, nullable=False),
        sa.Column("outcome", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["commitment_key"],
            [f"{parent}.id"],
            name=op.f(f"fk_{name}_commitment_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("commitment_key", "position", name=op.f(f"pk_{name}")),
    )


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
