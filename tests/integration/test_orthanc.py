"""Orthanc pushes a study to the gateway."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.running_gateway import AE_TITLE, RunningGateway, running_gateway
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("orthanc")

_DEADLINE_S = 60.0
_N_IMAGES = 30


@contextmanager
def orthanc(folder: Path, gateway: RunningGateway) -> Iterator[httpx.Client]:
    """Run an Orthanc that knows the gateway, and return its REST client."""
    dicom_port, http_port = free_ports()
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "DicomModalities": {"gateway": [AE_TITLE, "127.0.0.1", gateway.dicom_port]},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(path)], stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=_DEADLINE_S) as client:
            wait_until(lambda: is_up(client), _DEADLINE_S, "Orthanc to start")
            yield client
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DEADLINE_S)
        process.kill()


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/system").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_a_study_that_orthanc_pushes_arrives_whole(tmp_path: Path) -> None:
    series = CtSeries(128)
    images = [series.image() for _ in range(_N_IMAGES)]
    with running_gateway(tmp_path / "gateway") as gateway, orthanc(tmp_path, gateway) as sender:
        for image in images:
            assert sender.post("/instances", content=image.content).status_code == httpx.codes.OK
        (study,) = sender.get("/studies").json()

        pushed = sender.post("/modalities/gateway/store", content=study)

        assert pushed.status_code == httpx.codes.OK, pushed.text
        assert pushed.json()["FailedInstancesCount"] == 0
        with gateway.client() as client:
            expected = {image.sop_uid for image in images}
            wait_until(lambda: set(instance_uids(client, series.study_uid)) == expected, _DEADLINE_S, "the study")
            assert sorted(data_sets(client, series.study_uid)) == sorted(image.data_set for image in images)
