"""A modality asks for a thousand images of which one is damaged, is switched off, and the gateway is killed."""

import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import pytest

from tests.support.commitment_requester import (
    AE_TITLE_OF_REQUESTER,
    ask_for_commitment,
    commitment_request,
    taking_reports,
)
from tests.support.ports import free_port
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

_DEADLINE_S = 120.0
_N_IMAGES = 1_000
_N_MANY = 10_000
_TRANSACTION = "2.25.77"
_PROCESSING_FAILURE = 0x0110


def keep(gateway: RunningGateway, n_images: int) -> list[Ct]:
    """Store small images and wait until all of them are in the object store."""
    series = CtSeries(16)
    images = [series.image() for _ in range(n_images)]
    with RawSender(
        gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, calling=AE_TITLE_OF_REQUESTER
    ) as sender:
        assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}

    def is_shipped() -> bool:
        return not gateway.spooled() and len(gateway.objects()) >= n_images

    wait_until(is_shipped, _DEADLINE_S, "all images to be in the object store")
    return images


def damage(gateway: RunningGateway, image: Ct) -> None:
    """Change one bit of one pixel in the object store."""
    (path,) = [path for path in gateway.objects() if path.stem == image.digest]
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.chmod(0o640)
    path.write_bytes(content)


def ask(gateway: RunningGateway, images: Sequence[Ct]) -> None:
    ds = commitment_request(_TRANSACTION, CT_IMAGE, [image.sop_uid for image in images])
    assert ask_for_commitment(gateway.dicom_port, ds) == 0


def restart(gateway: RunningGateway) -> None:
    gateway.kill_all()
    gateway.start()


def has_tried(gateway: RunningGateway) -> bool:
    return f"is not reported to {AE_TITLE_OF_REQUESTER} yet" in gateway.log.read_text(encoding="utf-8")


def open_jobs(gateway: RunningGateway) -> list[str]:
    """Return the states of the jobs that have not ended."""
    return [job["state"] for job in gateway.facts("jobs", "list") if job["kind"].startswith("commitment")]


def rests_after_a_try(gateway: RunningGateway) -> bool:
    return has_tried(gateway) and open_jobs(gateway) == ["waiting"]


@pytest.mark.timeout(600)
def test_exactly_the_damaged_one_fails_and_the_report_survives(tmp_path: Path) -> None:
    port = free_port()
    with running_gateway(tmp_path / "gateway") as gateway:
        gateway.must("device", "add", AE_TITLE_OF_REQUESTER, "127.0.0.1", str(port))
        images = keep(gateway, _N_IMAGES)
        damage(gateway, images[417])

        ask(gateway, images)
        restart(gateway)
        wait_until(lambda: rests_after_a_try(gateway), _DEADLINE_S, "a try to report")
        restart(gateway)
        with taking_reports(port) as reports:
            report = reports.get(timeout=_DEADLINE_S)

            assert report.event_type == 2
            assert report.transaction_uid == _TRANSACTION
            assert report.failed == {images[417].sop_uid: _PROCESSING_FAILURE}
            assert report.committed == {image.sop_uid for image in images} - report.failed.keys()
            wait_until(lambda: not open_jobs(gateway), _DEADLINE_S, "the transaction to end")
            assert reports.empty()
        assert "integrity fault" in gateway.log.read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_are_reported_in_half_a_minute(tmp_path: Path) -> None:
    port = free_port()
    with running_gateway(tmp_path / "gateway") as gateway, taking_reports(port) as reports:
        gateway.must("device", "add", AE_TITLE_OF_REQUESTER, "127.0.0.1", str(port))
        images = keep(gateway, _N_MANY)
        damage(gateway, images[4170])

        started_at = monotonic()
        ask(gateway, images)
        report = reports.get(timeout=_DEADLINE_S)

        _log.info("%d instances reported after %.1f s", len(images), monotonic() - started_at)
        assert report.failed == {images[4170].sop_uid: _PROCESSING_FAILURE}
        assert len(report.committed) == _N_MANY - 1
