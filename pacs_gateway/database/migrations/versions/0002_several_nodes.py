"""Several nodes: who they are, and in whose spool an instance waits."""

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNARCHIVED = sa.text("archived_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
    )
    op.add_column("instance", sa.Column("spool_node", sa.Text(), nullable=True))
    op.drop_index("ix_instance_unarchived", table_name="instance")
    op.create_index(
        "ix_instance_unarchived",
        "instance",
        ["spool_node", "id"],
        unique=False,
        sqlite_where=_UNARCHIVED,
        postgresql_where=_UNARCHIVED,
    )
