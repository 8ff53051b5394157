"""Storage commitment as others meet it: requests answered, reports on the same association or on a new one."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from time import monotonic
from typing import cast

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from sqlalchemy import select

from pacs_gateway.access import Actor, NewDevice
from pacs_gateway.access.networks import Networks
from pacs_gateway.archive.commitment import COMMITMENT_CHECK, COMMITMENT_REPORT, CommitmentState
from pacs_gateway.database.schema.commitment import commitment
from pacs_gateway.dimse.commitment.message import MAX_REFERENCES, encode_request
from pacs_gateway.dimse.commitment.report import CommitmentReporter
from pacs_gateway.dimse.commitment.service import CommitmentService
from pacs_gateway.dimse.negotiation import STUDY_ROOT_GET
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.domain.commitment import CommitmentRequest, Reference
from pacs_gateway.errors import UnavailableError
from pacs_gateway.gateway import Gateway
from pacs_gateway.jobs.queue import Job, JobState
from pacs_gateway.roles.dicom import dicom_services
from tests.pacs_gateway.dimse.conftest import CONFIG
from tests.pacs_gateway.dimse.doubles import MemoryDevices
from tests.support.builders import Identity, image, uid
from tests.support.gateways import Clock, open_test_gateway, put, ship_all, work_all
from tests.support.ports import free_port
from tests.support.scripted_peer import ScriptedPeer, command, context, element, p_data, pdv, us
from tests.support.waiting import wait_until

DEADLINE_S = 30.0
CT = "1.2.840.10008.5.1.4.1.1.2"
WELL_KNOWN = UID("1.2.840.10008.1.20.1.1")
TRANSACTION = "2.25.1"


@dataclass
class Site:
    """A listening gateway with one image in its store, and one whose clock only the test moves."""

    gateway: Gateway
    clock: Clock
    port: int
    reports: "Queue[tuple[int, Dataset]]" = field(default_factory=Queue)

    def state(self, key: int = 1) -> CommitmentState:
        return self.gateway.archive.commitments.state(key)

    def taken_report(self, key: int = 1) -> tuple[int, Dataset]:
        """Return the next report once the gateway has its acknowledgement.

        A requester that released before would break off its own answer.
        """
        report = self.reports.get(timeout=DEADLINE_S)
        self.wait_for_delivery(key)
        return report

    def wait_for_delivery(self, key: int = 1) -> None:
        wait_until(lambda: self.state(key) is CommitmentState.DELIVERED, DEADLINE_S, "the acknowledgement")

    def reports_due(self) -> int:
        now = round(self.clock().timestamp() * 1e6)
        return sum(job.run_at <= now for job in self.gateway.jobs.list() if job.kind == COMMITMENT_REPORT)

    def run_report(self, key: int = 1) -> int | None:
        """Do the job of a worker that reports."""
        reporter = CommitmentReporter(self.gateway.archive.commitments, self.gateway.access.devices, CONFIG)
        return reporter.run(Job(1, COMMITMENT_REPORT, str(key), JobState.RUNNING, 0, 1, 0, ""))

    def register(self, ae_title: str, port: int | None) -> None:
        host = "127.0.0.1" if port else ""
        new = NewDevice(ae_title, "LOCAL", host=host, port=port, networks=Networks(is_any=True))
        self.gateway.access.devices.add(new, by=Actor("tests"))


@contextmanager
def open_site(folder: Path, *, soon_s: float) -> Iterator[Site]:
    clock = Clock()
    with open_test_gateway(folder, clock=clock) as gateway:
        put(gateway, image(Identity(instance=1)))
        ship_all(gateway)
        with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
            service = CommitmentService(gateway.archive.commitments, soon_s=soon_s)
            services = {**dicom_services(gateway), N_ACTION: service}
            server = DicomServer(CONFIG, gateway.archive.ingest, MemoryDevices(), [listener], services)
            thread = threading.Thread(target=server.serve)
            thread.start()
            yield Site(gateway, clock, listener.getsockname()[1])
            server.stop(grace_s=0)
            thread.join(DEADLINE_S)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that waits for as long as a test may take."""
    with open_site(tmp_path, soon_s=4 * DEADLINE_S) as opened:
        yield opened


def request(*instances: int, transaction: str = TRANSACTION) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = []
    for number in instances or (1,):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid(1, 1, number)
        ds.ReferencedSOPSequence.append(item)
    return ds


def without_references() -> Dataset:
    ds = Dataset()
    ds.TransactionUID = TRANSACTION
    return ds


def event_type(event: Event) -> int:
    return cast(int, cast(N_EVENT_REPORT, event.request).EventTypeID)


@contextmanager
def requester(site: Site, *, answer: Callable[[], int] = lambda: 0) -> Iterator[Association]:
    """Associate as a modality that takes reports on the association it asks on."""

    def take(event: Event) -> tuple[int, None]:
        site.reports.put((event_type(event), event.event_information))
        return answer(), None

    ae = AE("CT1")
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", site.port, ae_title="PACSGW", evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def ask(association: Association, ds: Dataset | None, *, instance: UID = WELL_KNOWN, action: int = 1) -> int:
    status, _ = association.send_n_action(ds, action, StorageCommitmentPushModel, instance)
    return int(status.Status)


def test_what_is_decided_soon_is_reported_on_the_same_association(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1)) == 0x0000
        work_all(site.gateway)
        kind, ds = site.taken_report()

    assert kind == 1
    assert ds.TransactionUID == TRANSACTION
    assert ds.RetrieveAETitle == "PACSGW"
    assert [item.ReferencedSOPInstanceUID for item in ds.ReferencedSOPSequence] == [uid(1, 1, 1)]
    assert "FailedSOPSequence" not in ds


def test_failures_are_reported_with_their_reasons(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1, 2)) == 0x0000
        site.clock.move(4)
        work_all(site.gateway)
        kind, ds = site.taken_report()

    assert kind == 2
    assert [item.ReferencedSOPInstanceUID for item in ds.ReferencedSOPSequence] == [uid(1, 1, 1)]
    failed = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in ds.FailedSOPSequence]
    assert failed == [(CT, uid(1, 1, 2))]
    assert ds.FailedSOPSequence[0].FailureReason == 0x0112


def test_a_report_of_failures_alone_has_no_empty_sequence(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(2)) == 0x0000
        site.clock.move(4)
        work_all(site.gateway)
        _, ds = site.taken_report()

    assert "ReferencedSOPSequence" not in ds


def test_an_association_that_waits_for_its_report_serves_on(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1)) == 0x0000
        assert ask(association, request(1, transaction="2.25.2")) == 0x0000
        started = monotonic()
        assert all(association.send_c_echo().Status == 0 for _ in range(20))
        assert monotonic() - started < DEADLINE_S / 2
        work_all(site.gateway)

        reported = {site.taken_report(key)[1].TransactionUID for key in (1, 2)}
        assert association.send_c_echo().Status == 0
    assert reported == {TRANSACTION, "2.25.2"}


def test_an_association_that_has_retrieved_is_reported_on_too(site: Site) -> None:
    reports: Queue[Dataset] = Queue()

    def take(event: Event) -> tuple[int, None]:
        reports.put(event.event_information)
        return 0, None

    ae = AE("CT1")
    for abstract in (StorageCommitmentPushModel, STUDY_ROOT_GET, CT):
        ae.add_requested_context(abstract)
    handlers: list[EventHandlerType] = [(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_N_EVENT_REPORT, take)]
    roles = [build_role(CT, scp_role=True)]
    association = ae.associate(
        "127.0.0.1",
        site.port,
        ae_title="PACSGW",
        ext_neg=roles,  # type: ignore[arg-type]
        evt_handlers=handlers,
    )
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", uid(1)
    statuses = [status.Status for status, _ in association.send_c_get(wanted, STUDY_ROOT_GET)]
    assert statuses == [0xFF00, 0x0000]

    assert ask(association, request(1)) == 0x0000
    work_all(site.gateway)

    assert reports.get(timeout=DEADLINE_S).TransactionUID == TRANSACTION
    site.wait_for_delivery()
    association.release()


def test_a_requester_that_releases_at_once_is_reported_to_by_a_worker_at_once(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1)) == 0x0000
        started = monotonic()
    assert monotonic() - started < DEADLINE_S / 2

    work_all(site.gateway)
    wait_until(lambda: site.reports_due() == 1, DEADLINE_S, "the report to be due")
    assert site.state() is CommitmentState.DECIDED


def test_a_requester_that_breaks_off_is_reported_to_by_a_worker(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1)) == 0x0000
        association.abort()
    work_all(site.gateway)
    wait_until(lambda: site.reports_due() == 1, DEADLINE_S, "the report to be due")


def test_a_report_that_is_refused_on_the_same_association_is_left_to_a_worker(site: Site) -> None:
    with requester(site, answer=lambda: 0x0110) as association:
        assert ask(association, request(1)) == 0x0000
        work_all(site.gateway)
        site.reports.get(timeout=DEADLINE_S)
        wait_until(lambda: site.reports_due() == 1, DEADLINE_S, "the report to be due")
        assert site.state() is CommitmentState.DECIDED
        assert association.send_c_echo().Status == 0


def test_what_is_not_decided_soon_is_left_to_a_worker(tmp_path: Path) -> None:
    with open_site(tmp_path, soon_s=0.1) as site, requester(site) as association:
        put(site.gateway, image(Identity(instance=2)))  # in the spool
        assert ask(association, request(2)) == 0x0000
        work_all(site.gateway)

        ship_all(site.gateway)
        site.clock.move(1)
        # The association lets go after its time; what is decided then is due at once.
        wait_until(lambda: not holder_of(site), DEADLINE_S, "the association to let go")
        work_all(site.gateway)
        assert site.reports_due() == 1
        assert association.send_c_echo().Status == 0
        assert site.reports.empty()


def holder_of(site: Site, key: int = 1) -> str | None:
    with site.gateway.database.read() as connection:
        holder = connection.execute(select(commitment.c.holder).where(commitment.c.id == key)).scalar_one()
    return None if holder is None else str(holder)


@pytest.mark.parametrize(
    ("ds", "instance", "action", "status"),
    [
        (request(1), UID("1.2.3"), 1, 0x0112),
        (request(1), WELL_KNOWN, 2, 0x0123),
        (None, WELL_KNOWN, 1, 0x0115),
        (without_references(), WELL_KNOWN, 1, 0x0115),
        (request(1, transaction=""), WELL_KNOWN, 1, 0x0115),
    ],
    ids=["instance", "action", "no data set", "no instance", "no transaction"],
)
def test_other_requests_have_their_status(
    site: Site, ds: Dataset | None, instance: UID, action: int, status: int
) -> None:
    with requester(site) as association:
        assert ask(association, ds, instance=instance, action=action) == status
        assert association.send_c_echo().Status == 0
    assert not [job for job in site.gateway.jobs.list() if job.kind == COMMITMENT_CHECK]


def test_a_transaction_uid_is_taken_once(site: Site) -> None:
    with requester(site) as association:
        assert ask(association, request(1)) == 0x0000
        assert ask(association, request(1)) == 0x0131
        assert ask(association, request(1, transaction="2.25.2")) == 0x0000


def test_a_request_that_cannot_be_kept_is_no_success(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object, **__: object) -> int:
        raise UnavailableError("the index is away")

    with requester(site) as association:
        with monkeypatch.context() as patched:
            patched.setattr(site.gateway.archive.commitments, "receive", be_away)
            assert ask(association, request(1)) == 0x0110
        assert ask(association, request(1)) == 0x0000


def test_more_instances_than_a_transaction_may_have_are_refused(site: Site) -> None:
    references = [Reference(CT, f"2.25.{number}") for number in range(MAX_REFERENCES + 1)]
    encoded = encode_request(CommitmentRequest(TRANSACTION, references), ImplicitVRLittleEndian)
    with ScriptedPeer(site.port, timeout_s=DEADLINE_S) as peer:
        peer.associate(context(1, StorageCommitmentPushModel), calling="CT1")
        peer.send(p_data(pdv(1, 3, action_rq())))
        for start in range(0, len(encoded), 60_000):
            is_last = start + 60_000 >= len(encoded)
            peer.send(p_data(pdv(1, 2 if is_last else 0, encoded[start : start + 60_000])))

        assert peer.receive_status()[0] == 0x0213


def action_rq() -> bytes:
    return command(
        element(3, StorageCommitmentPushModel.encode()),
        us(0x100, 0x130),
        us(0x110, 1),
        us(0x800, 1),
        element(0x1001, WELL_KNOWN.encode()),
        us(0x1008, 1),
    )


@pytest.mark.parametrize(
    "data_set",
    [b"\x08", b"\x08\x00\x99\x11\xff\xff\xff\xff" * 5_000, bytes(10_000), b"\xff" * 10_000],
    ids=["truncated", "nested", "zeros", "ones"],
)
def test_rubbish_is_refused_and_the_association_goes_on(site: Site, data_set: bytes) -> None:
    with ScriptedPeer(site.port, timeout_s=DEADLINE_S) as peer:
        peer.associate(context(1, StorageCommitmentPushModel), calling="CT1")
        for _ in range(2):
            peer.send(p_data(pdv(1, 3, action_rq())), p_data(pdv(1, 2, data_set)))
            assert peer.receive_status()[0] == 0x0115


@contextmanager
def waiting_for_reports(site: Site, port: int, *, answer: int = 0, has_role: bool = True) -> Iterator[None]:
    """Listen as a modality that takes reports on associations the gateway opens."""

    def take(event: Event) -> tuple[int, None]:
        assoc = event.assoc
        titles = assoc.requestor.ae_title, assoc.acceptor.ae_title
        roles = assoc.requestor.role_selection.get(StorageCommitmentPushModel)
        assert (titles, roles and (roles.scu_role, roles.scp_role)) == (("PACSGW", "CT1"), (False, True))
        site.reports.put((event_type(event), event.event_information))
        return answer, None

    ae = AE("CT1")
    if has_role:
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    else:
        ae.add_supported_context(StorageCommitmentPushModel)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    assert server is not None
    try:
        yield
    finally:
        server.shutdown()


@pytest.fixture
def asked(site: Site) -> Site:
    """A site with a decided transaction that nobody holds."""
    with requester(site) as association:
        assert ask(association, request(1, 2)) == 0x0000
    wait_until(lambda: not holder_of(site), DEADLINE_S, "the association to let go")
    site.clock.move(4)
    work_all(site.gateway)
    assert site.state() is CommitmentState.DECIDED
    return site


@pytest.mark.parametrize("has_role", [True, False], ids=["role accepted", "role forgotten"])
def test_a_worker_reports_on_an_association_of_its_own(asked: Site, has_role: bool) -> None:
    port = free_port()
    asked.register("CT1", port)
    with waiting_for_reports(asked, port, has_role=has_role):
        assert asked.run_report() is None

    kind, ds = asked.reports.get(timeout=DEADLINE_S)
    assert (kind, ds.TransactionUID) == (2, TRANSACTION)
    assert asked.state() is CommitmentState.DELIVERED
    assert asked.run_report() is None


def test_a_requester_that_is_down_is_tried_again(asked: Site) -> None:
    port = free_port()
    asked.register("CT1", port)
    again_at = asked.run_report()
    assert again_at is not None
    assert 0 < again_at / 1e6 - asked.clock().timestamp() <= 2
    assert asked.state() is CommitmentState.DECIDED

    with waiting_for_reports(asked, port):
        assert asked.run_report() is None
    assert asked.state() is CommitmentState.DELIVERED


def test_a_requester_without_an_address_is_not_forgotten(asked: Site) -> None:
    asked.register("CT1", None)
    assert asked.run_report() is not None
    assert asked.state() is CommitmentState.DECIDED


def test_a_report_that_is_refused_is_tried_again(asked: Site) -> None:
    port = free_port()
    asked.register("CT1", port)
    with waiting_for_reports(asked, port, answer=0x0110):
        assert asked.run_report() is not None
    assert asked.state() is CommitmentState.DECIDED


def test_a_report_that_somebody_else_holds_is_left_alone(asked: Site) -> None:
    commitments = asked.gateway.archive.commitments
    assert commitments.take(1, holder="another", hold_s=60)

    assert asked.run_report() == commitments.held_until(1)


def test_many_reports_do_not_each_wait_for_a_requester_that_is_away(asked: Site) -> None:
    with requester(asked) as association:
        assert ask(association, request(1, transaction="2.25.2")) == 0x0000
    wait_until(lambda: not holder_of(asked, 2), DEADLINE_S, "the association to let go")
    work_all(asked.gateway)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        asked.register("CT1", silent.getsockname()[1])
        impatient = replace(CONFIG, artim_s=0.5, message_s=0.5)
        reporter = CommitmentReporter(asked.gateway.archive.commitments, asked.gateway.access.devices, impatient)
        for key in (1, 2):
            assert reporter.run(Job(key, COMMITMENT_REPORT, str(key), JobState.RUNNING, 0, 1, 0, "")) is not None

        silent.settimeout(DEADLINE_S)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
