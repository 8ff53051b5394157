"""Storage commitment with Orthanc: as the modality that asks, and as the archive that is asked."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from pacs_gateway.dimse.commitment.asked import request_commitment
from pacs_gateway.domain.commitment import FailureReason, Reference
from pacs_gateway.gateway import open_gateway
from tests.support.gateways import gateway_config
from tests.support.orthanc import Orthanc, orthanc
from tests.support.running_gateway import AE_TITLE, RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("orthanc")

_DEADLINE_S = 90.0
_N_IMAGES = 10


def keep(archive: Orthanc, images: list[Ct]) -> list[str]:
    """Put images into Orthanc and return its names for them."""
    answers = [archive.http.post("/instances", content=image.content) for image in images]
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    return [answer.json()["ID"] for answer in answers]


def register(gateway: RunningGateway, archive: Orthanc) -> None:
    gateway.must("device", "add", archive.ae_title, "127.0.0.1", str(archive.port), "--rights", "all")


def test_orthanc_is_told_what_is_safe_and_what_is_not(tmp_path: Path) -> None:
    series = CtSeries(64)
    images = [series.image() for _ in range(_N_IMAGES)]
    missing = series.image()
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        orthanc(tmp_path / "orthanc", gateway.dicom_port) as requester,
    ):
        register(gateway, requester)
        sent = keep(requester, images)
        assert requester.http.post("/modalities/gateway/store", json={"Resources": sent}).status_code == 200
        instances = [{"SOPClassUID": CT_IMAGE, "SOPInstanceUID": one.sop_uid} for one in (*images, missing)]

        asked = requester.http.post("/modalities/gateway/storage-commitment", json={"DicomInstances": instances})

        assert asked.status_code == httpx.codes.OK, asked.text
        path = asked.json()["Path"]
        wait_until(lambda: report_of(requester, path)["Status"] != "Pending", _DEADLINE_S, "the report")
        report = report_of(requester, path)
        assert report["Status"] == "Failure"
        assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in report["Failures"]] == [
            (missing.sop_uid, FailureReason.NO_SUCH_INSTANCE)
        ]
        assert {one["SOPInstanceUID"] for one in report["Success"]} == {image.sop_uid for image in images}
        assert report["RemoteAET"] == AE_TITLE


def report_of(requester: Orthanc, path: str) -> Any:
    return requester.http.get(path).json()


def test_orthanc_is_asked_and_its_report_is_kept_when_it_comes(tmp_path: Path) -> None:
    series = CtSeries(64)
    images = [series.image() for _ in range(_N_IMAGES)]
    references = [Reference(CT_IMAGE, image.sop_uid) for image in (*images, series.image())]
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        orthanc(tmp_path / "orthanc", gateway.dicom_port) as archive,
        open_gateway(gateway_config(gateway.data_dir)) as opened,
    ):
        register(gateway, archive)
        keep(archive, images)
        device = opened.access.devices.show(archive.ae_title)
        asked = opened.archive.asked_commitments

        transaction_uid = request_commitment(device, references, asked, opened.config.dimse, calling=AE_TITLE)

        def is_answered() -> bool:
            return asked.show(transaction_uid).answered_at is not None

        wait_until(is_answered, _DEADLINE_S, "the report")
        found = asked.show(transaction_uid)
        assert list(found.committed) == references[:-1]
        assert [one.reference for one in found.failed] == references[-1:]
