"""The work queue and the outbox: written in the transaction of the fact they follow."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, text

from pacs_gateway.database.schema.archive import Key
from pacs_gateway.database.schema.base import Text, metadata

job = Table(
    "job",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    # Idempotency key: a second request for the same work coalesces with the first.
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),  # waiting | running | dead
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("run_at", BigInteger, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", BigInteger),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("uq_job_kind_key", "kind", "key", unique=True),
    Index(
        "ix_job_due",
        "run_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)

event = Table(
    "event",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)
