"""A modality that nobody can call asks for what it has just sent, and hears of it while it is still there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from time import monotonic

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.support.commitment_requester import AE_TITLE_OF_REQUESTER, WELL_KNOWN, TakenReport, commitment_request
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import AE_TITLE, RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries, new_uid

_DEADLINE_S = 120.0
_N_IMAGES = 20
# The gateway reports on the association for five seconds; on a busy machine that may not be enough at the first try.
_PATIENCE_S = 10.0


@contextmanager
def associated(gateway: RunningGateway, reports: "Queue[TakenReport]") -> Iterator[Association]:
    def take(event: Event) -> tuple[int, None]:
        reports.put(TakenReport.of(event))
        return 0, None

    ae = AE(AE_TITLE_OF_REQUESTER)
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers = [(evt.EVT_N_EVENT_REPORT, take)]
    association = ae.associate("127.0.0.1", gateway.dicom_port, ae_title=AE_TITLE, evt_handlers=handlers)  # type: ignore[arg-type]
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def ask(association: Association, images: list[Ct], reports: "Queue[TakenReport]") -> TakenReport:
    """Ask until a report comes on this association."""
    give_up_at = monotonic() + _DEADLINE_S
    while monotonic() < give_up_at:
        ds = commitment_request(new_uid(), CT_IMAGE, [image.sop_uid for image in images])
        status, _ = association.send_n_action(ds, 1, StorageCommitmentPushModel, WELL_KNOWN)
        assert status.Status == 0
        try:
            return reports.get(timeout=_PATIENCE_S)
        except Empty:
            continue
    raise AssertionError("no report came on the association")


def test_what_was_just_sent_is_committed_to_on_the_same_association(tmp_path: Path) -> None:
    series, reports = CtSeries(64), Queue[TakenReport]()
    images = [series.image() for _ in range(_N_IMAGES)]
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        RawSender(
            gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, calling=AE_TITLE_OF_REQUESTER
        ) as sender,
    ):
        assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}

        with associated(gateway, reports) as association:
            report = ask(association, images, reports)

    assert (report.event_type, report.failed) == (1, {})
    assert report.committed == {image.sop_uid for image in images}
