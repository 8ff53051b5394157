"""A modality that asks for storage commitment, and takes reports on associations the gateway opens (pynetdicom)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.support.running_gateway import AE_TITLE

AE_TITLE_OF_REQUESTER = "CT1"
WELL_KNOWN = UID("1.2.840.10008.1.20.1.1")


@dataclass(frozen=True, slots=True)
class TakenReport:
    """One N-EVENT-REPORT."""

    event_type: int
    transaction_uid: str
    committed: frozenset[str]
    """SOP Instance UIDs."""
    failed: dict[str, int]
    """Failure reasons by SOP Instance UID."""

    @classmethod
    def of(cls, event: Event) -> "TakenReport":
        ds = event.event_information
        return cls(
            cast(int, cast(N_EVENT_REPORT, event.request).EventTypeID),
            str(ds.TransactionUID),
            frozenset(str(one.ReferencedSOPInstanceUID) for one in ds.get("ReferencedSOPSequence", ())),
            {str(one.ReferencedSOPInstanceUID): one.FailureReason for one in ds.get("FailedSOPSequence", ())},
        )


def commitment_request(transaction_uid: str, sop_class_uid: str, sop_uids: Iterable[str]) -> Dataset:
    """Return the Action Information of a request for instances of one class."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = []
    for sop_uid in sop_uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_uid
        ds.ReferencedSOPSequence.append(item)
    return ds


def ask_for_commitment(port: int, ds: Dataset) -> int:
    """Ask on an association of its own and release it at once; return the status."""
    ae = AE(AE_TITLE_OF_REQUESTER)
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate("127.0.0.1", port, ae_title=AE_TITLE)
    assert association.is_established
    try:
        status, _ = association.send_n_action(ds, 1, StorageCommitmentPushModel, WELL_KNOWN)
        return int(status.Status)
    finally:
        association.release()


@contextmanager
def taking_reports(port: int) -> Iterator["Queue[TakenReport]"]:
    """Listen on `port` and acknowledge every report."""
    reports: Queue[TakenReport] = Queue()

    def take(event: Event) -> tuple[int, None]:
        reports.put(TakenReport.of(event))
        return 0, None

    ae = AE(AE_TITLE_OF_REQUESTER)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    assert server is not None
    try:
        yield reports
    finally:
        server.shutdown()
