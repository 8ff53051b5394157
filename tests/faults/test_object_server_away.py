"""The object server is stopped, or hangs, while devices store: nobody is refused, and the backlog is uploaded after."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.object_servers import ObjectServer, minio, running
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_N_IMAGES = 60
_DEADLINE_S = 90.0


@pytest.mark.peer("minio")
@pytest.mark.timeout(400)
def test_a_gateway_starts_and_stores_without_its_object_server(tmp_path: Path) -> None:
    with running(minio(tmp_path / "minio")) as server:
        settings = server.settings()
        server.stop()
        with running_gateway(tmp_path / "gateway", settings) as gateway, gateway.client() as client:
            first, second = CtSeries(128), CtSeries(128)
            images = store(gateway, first)
            assert_served(client, first, images)
            assert len(gateway.spooled()) == _N_IMAGES
            ready, all_ready = client.get("/readyz"), client.get("/readyz", params={"all": ""})
            assert (ready.status_code, ready.json()["store"], ready.json()["spool"]) == (200, "down", "ok")
            assert all_ready.status_code == 503
            wait_until(lambda: "shipping waits with" in gateway.log.read_text(), _DEADLINE_S, "the log to say so")
            assert settings["PACS_S3_SECRET_KEY"] not in gateway.log.read_text()

            server.start()
            assert_all_is_uploaded(gateway, client, server, settings, 1)
            assert_served(client, first, images)

            with server.frozen():
                images = store(gateway, second)
                assert_served(client, second, images)
                assert client.get("/readyz").json()["store"] == "down"
            assert_all_is_uploaded(gateway, client, server, settings, 2)
            assert_served(client, second, images)
            assert gateway.facts("jobs", "list", "--state", "dead") == []
            assert gateway.cli("storage", "check").returncode == 0


def store(gateway: RunningGateway, series: CtSeries) -> Sequence[Ct]:
    images = [series.image() for _ in range(_N_IMAGES)]
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
        assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}
    return images


def assert_served(client: httpx.Client, series: CtSeries, images: Sequence[Ct]) -> None:
    found = {image.sop_uid for image in images}
    wait_until(lambda: set(instance_uids(client, series.study_uid)) == found, _DEADLINE_S, "the index")
    served = {hashlib.sha256(data).hexdigest() for data in data_sets(client, series.study_uid)}
    assert served == {image.digest for image in images}


def assert_all_is_uploaded(
    gateway: RunningGateway, client: httpx.Client, server: ObjectServer, settings: dict[str, str], n_series: int
) -> None:
    wait_until(lambda: not gateway.spooled(), _DEADLINE_S, "the backlog to be uploaded")
    bucket, _, prefix = settings["PACS_STORAGE_URL"].removeprefix("s3://").partition("/")
    objects = server.client().list_objects(bucket, f"{prefix}/instances/", recursive=True)
    assert len(list(objects)) == n_series * _N_IMAGES
    assert client.get("/readyz", params={"all": ""}).status_code == 200
