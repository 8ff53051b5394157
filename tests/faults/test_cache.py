"""A bucket whose server is away: what came in lately is still read, from this node's disk."""

import hashlib
from pathlib import Path

import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.object_servers import running, seaweedfs
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0
_N_IMAGES = 8


@pytest.mark.peer("seaweedfs")
def test_what_was_shipped_lately_is_read_while_the_store_is_away(tmp_path: Path) -> None:
    series = CtSeries(128)
    images = [series.image() for _ in range(_N_IMAGES)]
    with running(seaweedfs(tmp_path / "seaweedfs")) as server:
        settings = server.settings() | {"PACS_AUTH": "off"}
        with running_gateway(tmp_path / "gateway", settings) as gateway, gateway.client() as client:
            with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
                assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}
            found = {image.sop_uid for image in images}
            wait_until(lambda: set(instance_uids(client, series.study_uid)) == found, _DEADLINE_S, "the index")
            wait_until(lambda: not gateway.spooled(), _DEADLINE_S, "shipping")

            server.kill()
            kept = {hashlib.sha256(data).hexdigest() for data in data_sets(client, series.study_uid)}
            assert kept == {image.digest for image in images}
            assert client.get("/readyz").json()["store"] == "down"
