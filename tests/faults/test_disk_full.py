"""The spool's disk is full: a status that says so, no false Success, and all is well when there is room again."""

import hashlib
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import own_disk
from tests.support.dicomweb import data_sets, instance_uids
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT, ScriptedPeer, associate_rq, context
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
_DEADLINE_S = 60.0
_DISK_MIB = 24
_REJECTED_TRANSIENT = (2, 3, 2)
"""Result, source and reason of an A-ASSOCIATE-RJ: local limit exceeded (PS3.8 9.3.4)."""


def store(gateway: RunningGateway, image: Ct) -> int:
    """Send one image over an association of its own; return its status."""
    with RawSender(
        gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, also_echoes=True
    ) as sender:
        return sender.store(image.sop_uid, image.data_set).status


def assert_kept(gateway: RunningGateway, acknowledged: Sequence[Ct]) -> None:
    """Exactly what was answered Success is there, with its bytes."""
    (study_uid,) = {image.study_uid for image in acknowledged}
    expected = {image.sop_uid for image in acknowledged}
    with gateway.client() as client:
        wait_until(lambda: set(instance_uids(client, study_uid)) == expected, _DEADLINE_S, "the index to agree")
        kept = sorted(hashlib.sha256(data).hexdigest() for data in data_sets(client, study_uid))
    assert kept == sorted(image.digest for image in acknowledged)


@contextmanager
def file_size_limit(gateway: RunningGateway, n_bytes: int) -> Iterator[None]:
    """Have the kernel refuse longer files to the processes that listen to devices."""
    pids = [child.pid for child in gateway.children("dicom")]
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_what_the_disk_does_not_take_is_answered_0xa700_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    small = CtSeries(32)
    large = CtSeries(1024, study_uid=small.study_uid, series_uid=small.series_uid)
    with running_gateway(tmp_path / "gateway") as gateway:
        before = gateway.children()
        # The index shares the limit: its files must fit.
        with file_size_limit(gateway, 1_500_000):
            first, too_large, second = small.image(), large.image(), small.image()
            answers = [store(gateway, image) for image in (first, too_large, second)]

        assert answers == [SUCCESS, OUT_OF_RESOURCES, SUCCESS]
        assert_kept(gateway, [first, second])
        again = store(gateway, too_large)
        assert again == SUCCESS
        assert_kept(gateway, [first, second, too_large])
        assert gateway.children() == before


@pytest.mark.skipif(not own_disk.can_mount(), reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    spool = tmp_path / "gateway" / "data" / "spool"
    small = CtSeries(64)
    large = CtSeries(1536, study_uid=small.study_uid, series_uid=small.series_uid)
    launcher = own_disk.launcher(spool, _DISK_MIB)
    with running_gateway(tmp_path / "gateway", launcher=launcher) as gateway:
        ballast = own_disk.seen_by(gateway.pid, spool) / "ballast"
        images = [small.image(), large.image(), small.image(), small.image(), large.image()]
        answers = [store(gateway, images[0])]

        # Above the low-water mark of a tenth, and yet too little for a large image.
        ballast.write_bytes(bytes((_DISK_MIB - 4) << 20))
        answers += [store(gateway, images[1]), store(gateway, images[2])]
        # Below it; only who proposes more than storage gets an association.
        ballast.write_bytes(bytes((_DISK_MIB - 1) << 20))
        answers.append(store(gateway, images[3]))
        assert is_refused_for_now(gateway)
        ballast.unlink()
        answers.append(store(gateway, images[4]))

        assert answers == [SUCCESS, OUT_OF_RESOURCES, SUCCESS, OUT_OF_RESOURCES, SUCCESS]
        assert_kept(gateway, [image for image, status in zip(images, answers, strict=True) if status == SUCCESS])


def is_refused_for_now(gateway: RunningGateway) -> bool:
    """Return whether an association for storage alone is rejected as by promise P9."""
    with ScriptedPeer(gateway.dicom_port) as peer:
        peer.send(associate_rq([context(1, CT_IMAGE, (EXPLICIT,))]))
        return peer.receive_pdu()[6:] == bytes([0, *_REJECTED_TRANSIENT])
