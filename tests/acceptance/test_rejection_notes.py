"""Rejection notes from real senders: who may hides images, also across a power cut; who may not changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import Identity, image, part10, rejection_note, uid
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.storescu import send
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("rejecting"), {"PACS_UNKNOWN_DEVICES": ""}) as opened:
        opened.must("device", "add", "CT1", "--network", "127.0.0.1/32")
        opened.must("device", "add", "QC", "--network", "127.0.0.1/32", "--rights", "store,delete")
        yield opened


def shown(gateway: RunningGateway) -> list[str]:
    with gateway.client() as client:
        found = client.get(f"/dicom-web/studies/{uid(1)}/series/{uid(1, 1)}/instances").json()
    return sorted(one["00080018"]["Value"][0] for one in found)


def files(folder: Path) -> tuple[list[Path], Path, Path]:
    """Write three images, a note on the first and one on the second."""
    contents = {f"{n}.dcm": image(Identity(instance=n)) for n in (1, 2, 3)}
    for n in (1, 2):
        rejected = [(uid(1), uid(1, 1), uid(1, 1, n))]
        contents[f"note-{n}.dcm"] = rejection_note(Identity(series=9, instance=n), rejected, title="113037")
    for name, ds in contents.items():
        (folder / name).write_bytes(part10(ds))
    return [folder / f"{n}.dcm" for n in (1, 2, 3)], folder / "note-1.dcm", folder / "note-2.dcm"


def test_a_quality_desk_rejects_what_a_modality_sent(gateway: RunningGateway, tmp_path: Path) -> None:
    images, of_the_first, of_the_second = files(tmp_path)
    send(gateway.dicom_port, images, "-aet", "CT1")
    send(gateway.dicom_port, [of_the_first], "-aet", "CT1")
    send(gateway.dicom_port, [of_the_second], "-aet", "QC")
    gateway.kill_all()
    gateway.start()
    rest = [uid(1, 1, 1), uid(1, 1, 3)]
    wait_until(lambda: shown(gateway) == rest, _DEADLINE_S, "the rejected image to be gone")

    said = "a rejection note of CT1 hides nothing"
    wait_until(lambda: said in gateway.log.read_text(), _DEADLINE_S, "the other note to be read")
    assert shown(gateway) == rest

    (removal,) = gateway.facts("trash", "list")
    assert (removal["by"], removal["reason"], removal["sop_instance_uid"]) == ("QC", "113037", uid(1, 1, 2))
    gateway.must("trash", "restore", str(removal["id"]))
    assert shown(gateway) == [uid(1, 1, 1), uid(1, 1, 2), uid(1, 1, 3)]
