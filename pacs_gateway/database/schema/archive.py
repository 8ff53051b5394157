"""Patients, studies, series and instances: what the index knows of what is kept."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, text

from pacs_gateway.database.schema.base import Text, metadata

# SQLite only makes INTEGER PRIMARY KEY the row's own key; PostgreSQL needs the wide type.
Key = BigInteger().with_variant(Integer, "sqlite")

patient = Table(
    "patient",
    metadata,
    Column("id", Key, primary_key=True),
    # (issuer, PatientID) in one text, or the study's UID where no usable PatientID was sent: two hospitals' 000123
    # are two people, and two people without a number are not one.
    Column("identity", Text, nullable=False, unique=True),
    Column("issuer", Text, nullable=False, server_default=""),
    Column("patient_id", Text, nullable=False, server_default=""),
    Column("patient_name", Text, nullable=False, server_default=""),
    Column("patient_name_fold", Text, nullable=False, server_default=""),
    Column("patient_birth_date", Text, nullable=False, server_default=""),
    Column("patient_sex", Text, nullable=False, server_default=""),
    # Items separated by backslashes, their values by U+001F; likewise below (``Attribute.item_values``).
    Column("other_patient_ids", Text, nullable=False, server_default=""),
    # In lower case, by which values are looked up whatever the caller thinks of case; likewise below.
    Column("patient_id_lower", Text, nullable=False, server_default=""),
    Index("ix_patient_patient_id_lower", "patient_id_lower"),
    Index("ix_patient_patient_birth_date", "patient_birth_date"),
    Index("ix_patient_patient_name_fold", "patient_name_fold"),
)

study = Table(
    "study",
    metadata,
    Column("id", Key, primary_key=True),
    Column("study_uid", Text, nullable=False, unique=True),
    Column("patient_key", Key, ForeignKey("patient.id"), nullable=False, index=True),
    # Owner: the facility of the study's first instance.
    Column("facility", Text, nullable=False),
    Column("study_date", Text, nullable=False, server_default=""),
    Column("study_time", Text, nullable=False, server_default=""),
    Column("accession_number", Text, nullable=False, server_default=""),
    Column("study_id", Text, nullable=False, server_default=""),
    Column("study_description", Text, nullable=False, server_default=""),
    Column("referring_physician_name", Text, nullable=False, server_default=""),
    Column("referring_physician_name_fold", Text, nullable=False, server_default=""),
    Column("patient_age", Text, nullable=False, server_default=""),
    Column("timezone_offset", Text, nullable=False, server_default=""),
    # Codes framed by backslashes (``\CT\SR\``), so that one LIKE finds a member.
    Column("modalities", Text, nullable=False, server_default="\\"),
    Column("sop_classes", Text, nullable=False, server_default="\\"),
    Column("n_series", Integer, nullable=False, server_default="0"),
    Column("n_instances", Integer, nullable=False, server_default="0"),
    # Set once an image object has defined the study; an SR or presentation state never does.
    Column("is_defined", Boolean, nullable=False, server_default=text("false")),
    # Set when an instance arrived with another patient, or with a study attribute that disagrees.
    Column("is_flagged", Boolean, nullable=False, server_default=text("false")),
    Column("received_at", BigInteger, nullable=False),
    Column("procedure_codes", Text, nullable=False, server_default=""),
    Column("accession_number_lower", Text, nullable=False, server_default=""),
    # Lists are ordered by date, time descending, then UID; blanks sort last in both databases because '' < '0'.
    Index("ix_study_newest", text("study_date DESC"), text("study_time DESC"), "study_uid"),
    # Lists of studies, newest first: of a facility, of a set of modalities.
    Index("ix_study_facility_newest", "facility", text("study_date DESC"), text("study_time DESC")),
    Index("ix_study_modalities_newest", "modalities", text("study_date DESC"), text("study_time DESC")),
    Index("ix_study_accession_number_lower", "accession_number_lower"),
    Index("ix_study_received_at", "received_at"),
)

# The words of each study's patient names, folded and with their accents, newest study first, and the small vocabulary
# that wildcards search.
patient_word = Table(
    "patient_word",
    metadata,
    Column("study_key", Key, ForeignKey("study.id"), nullable=False, primary_key=True),
    Column("word", Text, nullable=False, primary_key=True),
    Column("study_date", Text, nullable=False),
    Column("study_time", Text, nullable=False),
    # Bits of the beginnings of all words of the study (``names.marks``): what is looked for by several words is found
    # on the list of one.
    Column("marks", BigInteger, nullable=False),
    # Everything a search wants to know of a list, in its order: the table itself is not looked at.
    Index("ix_patient_word_newest", "word", text("study_date DESC"), text("study_time DESC"), "study_key", "marks"),
    # One tree less: the rows are in the one of their key.
    sqlite_with_rowid=False,
)

vocabulary = Table("vocabulary", metadata, Column("word", Text, primary_key=True))

# What each word of the vocabulary ends with, itself too: whatever is somewhere in a word is at the beginning of an
# ending. A very long word has the empty one alone (``names.endings``).
word_ending = Table(
    "word_ending",
    metadata,
    Column("ending", Text, nullable=False, primary_key=True),
    Column("word", Text, nullable=False, primary_key=True),
    sqlite_with_rowid=False,
)

series = Table(
    "series",
    metadata,
    Column("id", Key, primary_key=True),
    Column("study_key", Key, ForeignKey("study.id"), nullable=False),
    Column("series_uid", Text, nullable=False),
    Column("modality", Text, nullable=False, server_default=""),
    Column("series_number", Integer),
    Column("series_description", Text, nullable=False, server_default=""),
    Column("series_date", Text, nullable=False, server_default=""),
    Column("series_time", Text, nullable=False, server_default=""),
    Column("body_part_examined", Text, nullable=False, server_default=""),
    Column("laterality", Text, nullable=False, server_default=""),
    Column("protocol_name", Text, nullable=False, server_default=""),
    Column("station_name", Text, nullable=False, server_default=""),
    Column("institution_name", Text, nullable=False, server_default=""),
    Column("manufacturer", Text, nullable=False, server_default=""),
    Column("pps_start_date", Text, nullable=False, server_default=""),
    Column("pps_start_time", Text, nullable=False, server_default=""),
    Column("n_instances", Integer, nullable=False, server_default="0"),
    Column("received_at", BigInteger, nullable=False),
    # Changes with every instance; derived things carry the revision they were made from.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("requests", Text, nullable=False, server_default=""),
    Index("uq_series_study_key_series_uid", "study_key", "series_uid", unique=True),
    Index("ix_series_series_uid", "series_uid"),
)

instance = Table(
    "instance",
    metadata,
    Column("id", Key, primary_key=True),
    Column("series_key", Key, ForeignKey("series.id"), nullable=False),
    Column("sop_uid", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Text, nullable=False),
    Column("digest", Text, nullable=False),
    # current | pending (another content under this UID, not compared yet) | equivalent | conflict | settled | removed
    Column("state", Text, nullable=False),
    Column("instance_number", Integer),
    Column("rows", Integer),
    Column("columns", Integer),
    Column("bits_allocated", Integer),
    Column("number_of_frames", Integer),
    Column("content_date", Text, nullable=False, server_default=""),
    Column("content_time", Text, nullable=False, server_default=""),
    Column("image_type", Text, nullable=False, server_default=""),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dataset_offset", Integer, nullable=False),
    Column("pixels_offset", BigInteger, nullable=False),
    Column("frames", LargeBinary),
    Column("facility", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("source", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("received_at", BigInteger, nullable=False),
    # Name of the spool entry (``process/name``) until the object store has the bytes.
    Column("spool_entry", Text),
    Column("archived_at", BigInteger),
    # The node in whose spool that entry is; nobody else can ship it.
    Column("spool_node", Text),
    Index("uq_instance_sop_uid_digest", "sop_uid", "digest", unique=True),
    Index(
        "uq_instance_current",
        "sop_uid",
        unique=True,
        sqlite_where=text("state = 'current'"),
        postgresql_where=text("state = 'current'"),
    ),
    Index("ix_instance_series_key", "series_key", "instance_number", "sop_uid"),
    Index(
        "ix_instance_unarchived",
        "spool_node",
        "id",
        sqlite_where=text("archived_at IS NULL"),
        postgresql_where=text("archived_at IS NULL"),
    ),
    Index(
        "ix_instance_disputed",
        "id",
        sqlite_where=text("state IN ('pending', 'conflict')"),
        postgresql_where=text("state IN ('pending', 'conflict')"),
    ),
)

# What a series was last derived into; the bytes are objects in the store, named by the digests.
series_derived = Table(
    "series_derived",
    metadata,
    Column("series_key", Key, ForeignKey("series.id", ondelete="CASCADE"), primary_key=True),
    # The series' revision that the metadata object describes, and the SHA-256 of that object; it is the ETag too.
    Column("metadata_revision", Integer),
    Column("metadata_digest", Text),
    # The revision the thumbnail was chosen from, and the digest of the instance it shows: NULL where there is no image.
    Column("thumbnail_revision", Integer),
    Column("thumbnail_digest", Text),
)

# Nodes with a spool, each as its shipper last said; what waits in whose spool is `instance.spool_node`.
node = Table(
    "node",
    metadata,
    Column("id", Text, primary_key=True),
    # Where other nodes fetch what is not shipped yet; empty where it offers nothing.
    Column("url", Text, nullable=False, server_default=""),
    Column("heartbeat_at", BigInteger, nullable=False),
)
