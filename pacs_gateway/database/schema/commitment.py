"""Storage commitment: what others asked us to commit to, and what we asked of others (PS3.4 Annex J)."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table

from pacs_gateway.database.schema.archive import Key
from pacs_gateway.database.schema.base import Text, metadata

commitment = Table(
    "commitment",
    metadata,
    Column("id", Key, primary_key=True),
    Column("transaction_uid", Text, nullable=False),
    # The requester, the title of ours that it called, and whose studies it may see.
    Column("ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("facility", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    # checking | decided (to be reported) | delivered | given_up
    Column("state", Text, nullable=False, server_default="checking"),
    # How long checking, then reporting, may go on.
    Column("deadline_at", BigInteger, nullable=False),
    # Who may report, and until when nobody else may: an association that is still open, or a worker.
    Column("holder", Text),
    Column("held_until", BigInteger, nullable=False, server_default="0"),
    Column("n_attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Index("uq_commitment_ae_title_transaction_uid", "ae_title", "transaction_uid", unique=True),
    Index("ix_commitment_received_at", "received_at"),
)

commitment_instance = Table(
    "commitment_instance",
    metadata,
    Column("commitment_key", Key, ForeignKey("commitment.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("sop_uid", Text, nullable=False),
    # NULL until decided, 0 for a commitment, else the failure reason (PS3.3 C.14.1.1).
    Column("outcome", Integer),
)

asked_commitment = Table(
    "asked_commitment",
    metadata,
    Column("id", Key, primary_key=True),
    Column("transaction_uid", Text, nullable=False, unique=True),
    # The archive that was asked.
    Column("ae_title", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False, index=True),
    Column("answered_at", BigInteger),
)

asked_commitment_instance = Table(
    "asked_commitment_instance",
    metadata,
    Column("commitment_key", Key, ForeignKey("asked_commitment.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("sop_uid", Text, nullable=False),
    # As above; NULL until the archive has answered, and where its answer leaves an instance out.
    Column("outcome", Integer),
)
