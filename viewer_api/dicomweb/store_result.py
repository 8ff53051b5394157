"""What became of the instances of a store, and how it is told (PS3.18 10.5.3)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

from pacs_gateway.dicomweb.dicom_json import FailedReference, StoredReference
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.errors import (
    CapacityError,
    GatewayError,
    InvalidInstanceError,
    InvalidUidError,
    MismatchError,
    RefusedError,
    UnsupportedSyntaxError,
)
from viewer_api.errors import RETRY_AFTER_S

Result = StoredReference | FailedReference
"""``retrieve_url`` of a stored reference is relative to the studies here."""

OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
# Failure Reason (0008,1197), PS3.18 Table I.2-2: the codes of a C-STORE's status, and one of its own.
FAILURE_REASONS: Mapping[type[GatewayError], int] = MappingProxyType(
    {
        InvalidInstanceError: 0xC000,
        InvalidUidError: 0xC000,
        MismatchError: 0xA900,
        CapacityError: OUT_OF_RESOURCES,
        RefusedError: 0x0124,
        UnsupportedSyntaxError: 0xC122,
        GatewayError: PROCESSING_FAILURE,
    }
)


def failure_reason(error: GatewayError) -> int:
    """Return the Failure Reason of `error`."""
    return next(FAILURE_REASONS[kind] for kind in type(error).__mro__ if kind in FAILURE_REASONS)


def stored(record: InstanceRecord) -> StoredReference:
    """Return the result for an instance that is kept."""
    path = f"{record.study_uid}/series/{record.series_uid}/instances/{record.sop_instance_uid}"
    return StoredReference(record.sop_class_uid, record.sop_instance_uid, path)


def status(n_stored: int, failed: Sequence[FailedReference]) -> tuple[int, dict[str, str]]:
    """Return the status of a store (PS3.18 Table 10.5.3-1) and the headers that belong to it."""
    if not failed:
        return HTTPStatus.OK, {}
    if n_stored:
        return HTTPStatus.ACCEPTED, {}
    if all(one.reason in (OUT_OF_RESOURCES, PROCESSING_FAILURE) for one in failed):
        return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)}
    return HTTPStatus.CONFLICT, {}
