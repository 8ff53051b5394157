"""Described instances without bytes, and a database that they are written into."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from pacs_gateway.database.engine import Database
from pacs_gateway.domain.instance import InstanceRecord, Method, Origin
from pacs_gateway.index.arrival import Arrival
from pacs_gateway.index.rows import BatchResult, write_batch
from tests.support.builders import uid

CT, SR, KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.59"


def record(
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    *,
    content: str = "",
    sop_class_uid: str = CT,
    facility: str = "LOCAL",
    attributes: Mapping[str, str] | None = None,
) -> InstanceRecord:
    """Return the record of an object; `content` tells apart what has the same UID."""
    sop_uid = uid(study, series, instance)
    return InstanceRecord(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_uid,
        series_uid=uid(study, series),
        study_uid=uid(study),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        attributes={"PatientID": "BN1", "PatientName": "Nguyễn^Văn^Đức", "Modality": "CT"} | dict(attributes or {}),
        digest=sha256(f"{sop_uid}{content}".encode()).hexdigest(),
        size_bytes=1000,
        dataset_offset=400,
        pixels_offset=800,
        frames=None,
        origin=Origin(Method.DIMSE, facility, "CT1", "127.0.0.1"),
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


NODE = "00000000000000aa"


def arrival(one: InstanceRecord, entry: str = "", *, node: str = NODE, archived_at: int | None = None) -> Arrival:
    """Return `one` with a spool entry of its own unless one is given."""
    received_at = round(one.received_at.timestamp() * 1_000_000)
    return Arrival(one, entry or f"p/{one.digest}.dcm", received_at, node, archived_at)


def write(database: Database, *records: InstanceRecord) -> BatchResult:
    """Write one batch."""
    return write_arrivals(database, [arrival(one) for one in records])


def write_arrivals(database: Database, arrivals: Sequence[Arrival]) -> BatchResult:
    """Write one batch of arrivals."""
    return database.transact(lambda connection: write_batch(connection, arrivals))
