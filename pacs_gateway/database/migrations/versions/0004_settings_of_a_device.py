"""What can be set for one device: how it sends, what it is answered, its certificates.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Compared and ordered by code point in PostgreSQL too (decision 0010).
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COLUMNS = (
    ("transfer_syntaxes", _TEXT, ""),
    ("charset", _TEXT, ""),
    ("issuer", _TEXT, ""),
    ("max_matches", sa.Integer(), sa.text("500")),
    ("answers_ascii", sa.Boolean(), sa.text("false")),
    ("ignores_case", sa.Boolean(), sa.text("false")),
    ("takes_private_classes", sa.Boolean(), sa.text("true")),
    ("idle_s", sa.Integer(), sa.text("900")),
    ("certificates", _TEXT, ""),
    ("is_tls", sa.Boolean(), sa.text("false")),
)


def upgrade() -> None:
    for name, kind, default in _COLUMNS:
        op.add_column("device", sa.Column(name, kind, server_default=default, nullable=False))


def downgrade() -> None:
    raise NotImplementedError("the gateway migrates forward; restore a backup to go back")
