"""Orthanc pushes a study to the gateway."""

from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.orthanc import orthanc
from tests.support.running_gateway import running_gateway
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("orthanc")

_DEADLINE_S = 60.0
_N_IMAGES = 30


def test_a_study_that_orthanc_pushes_arrives_whole(tmp_path: Path) -> None:
    series = CtSeries(128)
    images = [series.image() for _ in range(_N_IMAGES)]
    with running_gateway(tmp_path / "gateway") as gateway, orthanc(tmp_path, gateway.dicom_port) as sender:
        for image in images:
            assert sender.http.post("/instances", content=image.content).status_code == httpx.codes.OK
        (study,) = sender.http.get("/studies").json()

        pushed = sender.http.post("/modalities/gateway/store", content=study)

        assert pushed.status_code == httpx.codes.OK, pushed.text
        assert pushed.json()["FailedInstancesCount"] == 0
        with gateway.client() as client:
            expected = {image.sop_uid for image in images}
            wait_until(lambda: set(instance_uids(client, series.study_uid)) == expected, _DEADLINE_S, "the study")
            assert sorted(data_sets(client, series.study_uid)) == sorted(image.data_set for image in images)
