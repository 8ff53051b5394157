"""Accounts, sessions, tokens, devices and the audit trail: who may do what, and who did."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, text

from pacs_gateway.database.schema.archive import Key
from pacs_gateway.database.schema.base import Text, metadata

account = Table(
    "account",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),  # administrator | reader
    Column("facility", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    # A one-time password must be changed at the first login.
    Column("must_change", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", BigInteger, nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("token_hash", Text, primary_key=True),  # SHA-256 of the cookie's value
    Column("account_key", Key, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("account_key", Key, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

login_failure = Table(
    "login_failure",
    metadata,
    Column("name", Text, primary_key=True),  # SHA-256: what was typed as a name may be a password
    Column("address", Text, primary_key=True),
    Column("n_failures", Integer, nullable=False),
    Column("locked_until", BigInteger, nullable=False),
)

device = Table(
    "device",
    metadata,
    Column("id", Key, primary_key=True),
    Column("ae_title", Text, nullable=False),
    # Empty: any of the gateway's own AE titles.
    Column("called_ae_title", Text, nullable=False, server_default=""),
    # ``any``, or a comma-separated list of CIDR networks and ``host`` (the addresses of the host, as they are now).
    Column("networks", Text, nullable=False),
    Column("host", Text, nullable=False, server_default=""),
    Column("port", Integer),
    Column("facility", Text, nullable=False),
    Column("rights", Text, nullable=False),  # comma-separated
    Column("created_at", BigInteger, nullable=False),
    Column("transfer_syntaxes", Text, nullable=False, server_default=""),  # comma-separated; empty: all
    Column("charset", Text, nullable=False, server_default=""),
    Column("issuer", Text, nullable=False, server_default=""),
    Column("max_matches", Integer, nullable=False, server_default=text("500")),
    Column("answers_ascii", Boolean, nullable=False, server_default=text("false")),
    Column("ignores_case", Boolean, nullable=False, server_default=text("false")),
    Column("takes_private_classes", Boolean, nullable=False, server_default=text("true")),
    Column("idle_s", Integer, nullable=False, server_default=text("900")),
    Column("certificates", Text, nullable=False, server_default=""),  # one a line
    Column("is_tls", Boolean, nullable=False, server_default=text("false")),
    Index("uq_device_ae_title_called_ae_title", "ae_title", "called_ae_title", unique=True),
)

rejected_caller = Table(
    "rejected_caller",
    metadata,
    Column("calling_ae_title", Text, primary_key=True),
    Column("called_ae_title", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("n_rejected", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False),
)

# Counts the changes of a table that processes keep in memory: comparing one number tells them to read it again.
change_counter = Table(
    "change_counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
