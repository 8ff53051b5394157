"""What items of sequences say: other patient IDs, procedure codes, the requests behind a series.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COLUMNS = (("patient", "other_patient_ids"), ("study", "procedure_codes"), ("series", "requests"))


def upgrade() -> None:
    # What is there already stays without: only its objects know.
    for table, name in _COLUMNS:
        op.add_column(table, sa.Column(name, _TEXT, server_default="", nullable=False))


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
