"""The object store takes nothing while devices store: nobody is refused, and the backlog is shipped afterwards."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import own_disk
from tests.support.dicomweb import data_sets, instance_uids
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

_N_IMAGES = 60
_DISK_MIB = 64
_DEADLINE_S = 60.0


@contextmanager
def read_only(gateway: RunningGateway, folder: Path) -> Iterator[None]:
    """Have the disk of the objects refuse writes for the block, as a damaged one does."""
    wait_until(lambda: own_disk.remount(gateway.pid, folder, "ro"), _DEADLINE_S, "the disk to be idle")
    try:
        yield
    finally:
        assert own_disk.remount(gateway.pid, folder, "rw")


@pytest.mark.skipif(not own_disk.can_mount(), reason="mounting a disk for the test needs root")
def test_storing_goes_on_and_the_backlog_is_shipped_afterwards(tmp_path: Path) -> None:
    objects = tmp_path / "gateway" / "data" / "objects"
    series = CtSeries(128)
    images = [series.image() for _ in range(_N_IMAGES)]
    launcher = own_disk.launcher(objects, _DISK_MIB)
    with running_gateway(tmp_path / "gateway", launcher=launcher) as gateway, gateway.client() as client:
        with read_only(gateway, objects):
            with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
                answers = {sender.store(image.sop_uid, image.data_set) for image in images}

            assert answers == {StoreAnswer(0)}
            found = {image.sop_uid for image in images}
            wait_until(lambda: set(instance_uids(client, series.study_uid)) == found, _DEADLINE_S, "the index")
            assert digests(client, series.study_uid) == {image.digest for image in images}
            assert len(gateway.spooled()) == _N_IMAGES
            ready, all_ready = client.get("/readyz"), client.get("/readyz", params={"all": ""})
            assert (ready.status_code, ready.json()["store"], ready.json()["spool"]) == (200, "down", "ok")
            assert all_ready.status_code == 503

        wait_until(lambda: not gateway.spooled(), _DEADLINE_S, "the backlog to be shipped")
        assert digests(client, series.study_uid) == {image.digest for image in images}
        assert client.get("/readyz", params={"all": ""}).status_code == 200
        kept = own_disk.seen_by(gateway.pid, objects).glob("instances/*/*.dcm")
        assert len(list(kept)) == _N_IMAGES


def digests(client: httpx.Client, study_uid: str) -> set[str]:
    """Return the digests of what a study's retrieval gives."""
    return {hashlib.sha256(data).hexdigest() for data in data_sets(client, study_uid)}
