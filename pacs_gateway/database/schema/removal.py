"""What has been removed from sight: by whom, when and why; the bytes stay (docs/decisions/0022, 0026)."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, text

from pacs_gateway.database.schema.archive import Key
from pacs_gateway.database.schema.base import Text, metadata

removal = Table(
    "removal",
    metadata,
    Column("id", Key, primary_key=True),
    # Names its objects in the store, whichever database tells of it.
    Column("token", Text, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    # Code value of a rejection; empty where something was just deleted.
    Column("reason", Text, nullable=False, server_default=""),
    # What was asked for: a study, one of its series, or one instance of that.
    Column("study_uid", Text, nullable=False),
    Column("series_uid", Text, nullable=False, server_default=""),
    Column("sop_uid", Text, nullable=False, server_default=""),
    Column("n_instances", Integer, nullable=False),
    # How often something of it was sent again since.
    Column("n_sent_again", Integer, nullable=False, server_default="0"),
    Column("restored_at", BigInteger),
    Column("restored_by", Text, nullable=False, server_default=""),
)

removed_instance = Table(
    "removed_instance",
    metadata,
    Column("removal_key", Key, ForeignKey("removal.id", ondelete="CASCADE"), primary_key=True),
    Column("instance_key", Key, ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_removed_instance_instance_key", "instance_key"),
)

# Every key object selection that became current: it may be a rejection note.
rejection_note = Table(
    "rejection_note",
    metadata,
    Column("instance_key", Key, ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    # What its sender might take out of sight when it came (``Reach``).
    Column("reach", Text, nullable=False, server_default=""),
    # Code value; empty where it rejects nothing, NULL until it has been read.
    Column("reason", Text),
)

# What rejection notes name, whether it has come yet or not.
rejected_reference = Table(
    "rejected_reference",
    metadata,
    Column("note_key", Key, ForeignKey("rejection_note.instance_key", ondelete="CASCADE"), primary_key=True),
    Column("sop_uid", Text, primary_key=True),
    Column("study_uid", Text, nullable=False),
    # Set once it was there for the note to act on: what a person restores afterwards stays.
    Column("is_done", Boolean, nullable=False, server_default=text("false")),
    Index("ix_rejected_reference_study_uid", "study_uid"),
)
