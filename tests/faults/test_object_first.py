"""``PACS_ACK=object`` on a running gateway: no Success without the object, and none is lost with the node."""

import hashlib
import shutil
import threading
from pathlib import Path

import pytest

from tests.support import own_disk
from tests.support.dicomweb import data_sets, instance_uids, store
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0
_DISK_MIB = 64
_N_SENDERS = 4


def settings(shared: Path) -> dict[str, str]:
    """Return settings with index and objects in `shared`: nothing that must last is in the data directory."""
    return {
        "PACS_ACK": "object",
        "PACS_AUTH": "off",
        "PACS_DATABASE_URL": f"sqlite:///{shared / 'index.db'}",
        "PACS_STORAGE_URL": f"file:{shared / 'objects'}",
    }


def sender(gateway: RunningGateway) -> RawSender:
    # With verification beside storage the association is accepted even when nothing can be stored.
    return RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, also_echoes=True)


@pytest.mark.skipif(not own_disk.can_mount(), reason="mounting a disk for the test needs root")
def test_nothing_is_success_while_the_store_is_away(tmp_path: Path) -> None:
    objects = tmp_path / "shared" / "objects"
    series = CtSeries(64)
    image, other = series.image(), series.image()
    launcher = own_disk.launcher(objects, _DISK_MIB)
    with (
        running_gateway(tmp_path / "gateway", settings(tmp_path / "shared"), launcher=launcher) as gateway,
        gateway.client() as client,
    ):
        wait_until(lambda: own_disk.remount(gateway.pid, objects, "ro"), _DEADLINE_S, "the disk to be idle")
        with sender(gateway) as scu:
            assert scu.store(image.sop_uid, image.data_set).status in (0x0110, 0xA700)
        refused = store(client, [other.content])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert instance_uids(client, series.study_uid) == []
        assert gateway.spooled() == []

        assert own_disk.remount(gateway.pid, objects, "rw")

        def is_kept() -> bool:
            with sender(gateway) as scu:
                return scu.store(image.sop_uid, image.data_set) == StoreAnswer(0)

        wait_until(is_kept, _DEADLINE_S, "C-STORE to go on")
        wait_until(lambda: store(client, [other.content]).status_code == 200, _DEADLINE_S, "STOW-RS to go on")
        assert {hashlib.sha256(data).hexdigest() for data in data_sets(client, series.study_uid)} == {
            image.digest,
            other.digest,
        }


def test_what_was_acknowledged_survives_the_loss_of_the_node(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    series = CtSeries(64)
    acknowledged: list[Ct] = []
    with running_gateway(tmp_path / "gateway", settings(shared)) as gateway:
        senders = [threading.Thread(target=_send, args=(gateway, series, acknowledged)) for _ in range(_N_SENDERS)]
        for thread in senders:
            thread.start()
        wait_until(lambda: len(acknowledged) >= 40, _DEADLINE_S, "stores")
        gateway.kill_all()
        for thread in senders:
            thread.join(_DEADLINE_S)

        shutil.rmtree(gateway.data_dir)
        gateway.start()
        with gateway.client() as client:
            kept = {hashlib.sha256(data).hexdigest() for data in data_sets(client, series.study_uid)}
            assert {image.digest for image in acknowledged} <= kept
            assert {image.sop_uid for image in acknowledged} <= set(instance_uids(client, series.study_uid))


def _send(gateway: RunningGateway, series: CtSeries, acknowledged: list[Ct]) -> None:
    """Send images until the gateway is gone, and note those that were answered Success."""
    try:
        with sender(gateway) as scu:
            while True:
                image = series.image()
                if scu.store(image.sop_uid, image.data_set) == StoreAnswer(0):
                    acknowledged.append(image)
    except (OSError, AssertionError, EOFError):
        return
