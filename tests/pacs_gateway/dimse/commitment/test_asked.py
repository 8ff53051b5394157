"""Asking another archive for a commitment: its report is taken on either association, and only where it was asked."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from pacs_gateway.access import Actor, Device, NewDevice
from pacs_gateway.access.networks import Networks
from pacs_gateway.dimse.commitment.asked import CommitmentReportService, request_commitment
from pacs_gateway.dimse.commitment.message import decode_request
from pacs_gateway.dimse.negotiation import STORAGE_COMMITMENT
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.domain.commitment import Reference
from pacs_gateway.errors import GatewayError, NotFoundError, RefusedError, UnavailableError
from pacs_gateway.gateway import Gateway
from tests.pacs_gateway.dimse.conftest import CONFIG
from tests.pacs_gateway.dimse.doubles import MemoryDevices
from tests.support.builders import encode, uid
from tests.support.commitment_requester import WELL_KNOWN
from tests.support.gateways import open_test_gateway
from tests.support.ports import free_port
from tests.support.scripted_destination import COMMAND, LAST, MESSAGE_ID, CalledPeer, called_peer
from tests.support.scripted_peer import command, echo_rq, element, p_data, pdu, pdv, us

DEADLINE_S = 30.0
ARCHIVE = "ARCHIVE"
CT = "1.2.840.10008.5.1.4.1.1.2"
REFERENCES = [Reference(CT, uid(1, 1, number)) for number in (1, 2, 3)]


@dataclass
class Site:
    gateway: Gateway
    port: int

    def ask(self, archive_port: int, *, wait_s: float = DEADLINE_S) -> str:
        new = NewDevice(ARCHIVE, "LOCAL", host="127.0.0.1", port=archive_port, networks=Networks(is_any=True))
        device: Device = self.gateway.access.devices.add(new, by=Actor("tests"))
        asked = self.gateway.archive.asked_commitments
        return request_commitment(device, REFERENCES, asked, CONFIG, calling="PACSGW", wait_s=wait_s)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_test_gateway(tmp_path) as gateway, socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        services = {N_EVENT_REPORT: CommitmentReportService(gateway.archive.asked_commitments)}
        server = DicomServer(CONFIG, gateway.archive.ingest, MemoryDevices(), [listener], services)  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield Site(gateway, listener.getsockname()[1])
        server.stop(grace_s=0)
        thread.join(DEADLINE_S)


def result(transaction_uid: str) -> Dataset:
    """Return a report: two are committed to, one is not."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [item(one) for one in REFERENCES[:2]]
    ds.FailedSOPSequence = [item(REFERENCES[2])]
    ds.FailedSOPSequence[0].FailureReason = 0x0112
    return ds


@dataclass
class Archive:
    port: int
    asked: list[str]
    """Transaction UIDs."""


def item(reference: Reference) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_uid
    return ds


@contextmanager
def archive(*, last_words: Sequence[bytes] = (), reports: bool = False, status: int = 0) -> Iterator["Archive"]:
    """Run an archive that answers a request with `status`, then reports on its association or says `last_words`."""
    asked: list[str] = []

    def serve(peer: CalledPeer) -> None:
        peer.accept({1: ExplicitVRLittleEndian})
        elements, encoded, _ = peer.receive_message()
        asked.append(decode_request(encoded, ExplicitVRLittleEndian).transaction_uid)
        answer = command(us(0x100, 0x8130), element(0x120, elements[MESSAGE_ID]), us(0x800, 0x101), us(0x900, status))
        peer.send(p_data(pdv(1, COMMAND | LAST, answer)))
        if reports:
            told = result(asked[0])
            peer.send(p_data(pdv(1, COMMAND | LAST, report_rq(2)), pdv(1, LAST, encode(told))))
            assert peer.receive_status()[0] == 0
        peer.send(*last_words)
        if last_words:
            assert peer.is_closed()
        else:
            peer.release()

    with called_peer(serve) as port:
        yield Archive(port, asked)


def report_rq(event_type: int) -> bytes:
    return command(
        element(2, STORAGE_COMMITMENT.encode()),
        us(0x100, 0x100),
        us(0x110, 7),
        us(0x800, 1),
        element(0x1000, WELL_KNOWN.encode()),
        us(0x1002, event_type),
    )


def report_later(site: Site, ds: Dataset, *, ae_title: str = ARCHIVE, event_type: int = 2) -> int:
    """Report on an association of the archive's own; return the status."""
    ae = AE(ae_title)
    ae.add_requested_context(StorageCommitmentPushModel)
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
    association = ae.associate("127.0.0.1", site.port, ae_title="PACSGW", ext_neg=roles)  # type: ignore[arg-type]
    assert association.is_established
    try:
        status, _ = association.send_n_event_report(ds, event_type, StorageCommitmentPushModel, WELL_KNOWN)
        return cast(int, status.Status)
    finally:
        association.release()


def assert_answered(site: Site, transaction_uid: str) -> None:
    found = site.gateway.archive.asked_commitments.show(transaction_uid)
    assert found.ae_title == ARCHIVE
    assert found.answered_at is not None
    assert list(found.committed) == REFERENCES[:2]
    assert [(one.reference, one.reason) for one in found.failed] == [(REFERENCES[2], 0x0112)]
    assert list(found.unanswered) == []


def test_a_report_on_the_association_of_the_request_is_kept(site: Site) -> None:
    with archive(reports=True) as other:
        transaction_uid = site.ask(other.port)
    assert_answered(site, transaction_uid)


def test_a_report_that_comes_later_is_kept(site: Site) -> None:
    with archive() as other:
        transaction_uid = site.ask(other.port, wait_s=0.1)
    found = site.gateway.archive.asked_commitments.show(transaction_uid)
    assert (found.answered_at, list(found.unanswered)) == (None, REFERENCES)

    assert report_later(site, result(transaction_uid)) == 0x0000
    assert_answered(site, transaction_uid)


def test_the_first_report_counts_and_saying_it_again_is_acknowledged(site: Site) -> None:
    with archive() as other:
        transaction_uid = site.ask(other.port, wait_s=0.1)
    assert report_later(site, result(transaction_uid)) == 0x0000

    second = result(transaction_uid)
    second.ReferencedSOPSequence = [item(one) for one in REFERENCES]
    del second.FailedSOPSequence
    assert report_later(site, second, event_type=1) == 0x0000
    assert_answered(site, transaction_uid)


def test_reports_that_were_not_asked_for_are_refused(site: Site) -> None:
    with archive() as other:
        transaction_uid = site.ask(other.port, wait_s=0.1)

    assert report_later(site, result("2.25.404")) == 0x0115
    assert report_later(site, result(transaction_uid), ae_title="SOMEBODY") == 0x0115
    assert report_later(site, result(transaction_uid), event_type=3) == 0x0113
    assert site.gateway.archive.asked_commitments.show(transaction_uid).answered_at is None


@pytest.mark.parametrize(
    "last_words",
    [pdu(5, bytes(4)), pdu(7, bytes(4)), p_data(pdv(1, COMMAND | LAST, echo_rq()))],
    ids=["releases", "aborts", "asks something itself"],
)
def test_an_archive_that_does_something_else_may_still_report(site: Site, last_words: bytes) -> None:
    with archive(last_words=[last_words]) as other:
        transaction_uid = site.ask(other.port)
    assert report_later(site, result(transaction_uid)) == 0x0000
    assert_answered(site, transaction_uid)


def test_a_refused_request_is_said_and_forgotten(site: Site) -> None:
    with archive(status=0x0213) as other, pytest.raises(RefusedError, match="0x0213"):
        site.ask(other.port)
    with pytest.raises(NotFoundError):
        site.gateway.archive.asked_commitments.show(other.asked[0])


def test_an_archive_that_is_away_is_said(site: Site) -> None:
    with pytest.raises(UnavailableError):
        site.ask(free_port())


def test_an_archive_without_an_address_is_not_asked(site: Site) -> None:
    new = NewDevice(ARCHIVE, "LOCAL", networks=Networks(is_any=True))
    device = site.gateway.access.devices.add(new, by=Actor("tests"))
    with pytest.raises(GatewayError):
        request_commitment(device, REFERENCES, site.gateway.archive.asked_commitments, CONFIG, calling="PACSGW")
