"""Text is compared and ordered by code point in PostgreSQL too.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    inspector = sa.inspect(connection)
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        columns = [column["name"] for column in inspector.get_columns(table) if isinstance(column["type"], sa.Text)]
        # One statement per table: it is rewritten, and its indexes are made anew, once.
        changes = ", ".join(f'ALTER COLUMN "{column}" TYPE text COLLATE "C"' for column in columns)
        if changes:
            op.execute(f"ALTER TABLE {table} {changes}")


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
