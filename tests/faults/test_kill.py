"""``kill -9`` of everything, or of one process, while four senders store: what was answered Success is there."""

import hashlib
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.storescu import StoreScu, echo
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.peer("dcmtk")

N_SENDERS = 4
_ALL = "everything"
# Half of the rounds end everything; the others one process, the listener most often.
_VICTIMS = (_ALL, "dicom", _ALL, "shipper", _ALL, "dicom", _ALL, "worker", _ALL, "web")
_N_PROCESSES = 5
_ROUND_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """What four senders were to send, by file."""

    images: dict[Path, Ct]
    by_sender: list[list[Path]]

    @property
    def study_uids(self) -> set[str]:
        return {image.study_uid for image in self.images.values()}


@pytest.mark.parametrize(
    ("n_rounds", "n_images"),
    [
        pytest.param(20, 40, marks=pytest.mark.timeout(900)),
        pytest.param(500, 100, marks=[pytest.mark.long, pytest.mark.timeout(6 * 3600)]),
    ],
)
def test_what_was_acknowledged_survives_kills(tmp_path: Path, n_rounds: int, n_images: int) -> None:
    chance = random.Random(2026)
    acknowledged: dict[str, Ct] = {}
    sent: dict[str, Ct] = {}
    slowest_s = 0.0
    with running_gateway(tmp_path / "gateway") as gateway:
        for number in range(n_rounds):
            planned = plan(tmp_path / f"round-{number}", n_images)
            victim = _VICTIMS[number % len(_VICTIMS)]
            kill_after = chance.randrange(1, N_SENDERS * n_images // 2)
            with senders(gateway, planned) as running:
                wait_until(lambda: n_acknowledged(running) >= kill_after, _ROUND_DEADLINE_S, "stores")  # noqa: B023
                slowest_s = max(slowest_s, kill(gateway, victim))
            sent |= {image.sop_uid: image for image in planned.images.values()}
            kept = [planned.images[path] for sender in running for path in sender.acknowledged]
            acknowledged |= {image.sop_uid: image for image in kept}
            check(gateway, planned.study_uids, {image.sop_uid for image in kept}, sent)
        gateway.kill_all()
        gateway.start()
        check(gateway, {image.study_uid for image in sent.values()}, set(acknowledged), sent)
    _log.info("%d kills, %d acknowledged, accepting after %.1f s", n_rounds, len(acknowledged), slowest_s)
    assert len(acknowledged) > n_rounds


def plan(folder: Path, n_images: int, *, n_senders: int = N_SENDERS) -> Round:
    """Write the files of a round, `n_images` for each sender: two studies, every tenth image a large one."""
    folder.mkdir()
    images: dict[Path, Ct] = {}
    by_sender: list[list[Path]] = []
    studies = [CtSeries().study_uid for _ in range(2)]
    for sender in range(n_senders):
        small = CtSeries(64, study_uid=studies[sender % 2])
        large = CtSeries(512, study_uid=small.study_uid, series_uid=small.series_uid)
        paths = [folder / f"{sender}-{number}.dcm" for number in range(n_images)]
        for number, path in enumerate(paths):
            images[path] = (small if number % 10 else large).image()
            path.write_bytes(images[path].content)
        by_sender.append(paths)
    return Round(images, by_sender)


@contextmanager
def senders(gateway: RunningGateway, planned: Round) -> Iterator[list[StoreScu]]:
    """Run one ``storescu`` for each list of files; all have ended after the block."""
    with ExitStack() as stack:
        running = [StoreScu(gateway.dicom_port, paths, "-xe", "-R") for paths in planned.by_sender]
        for sender in running:
            stack.callback(sender.finish)
        yield running


def n_acknowledged(running: Sequence[StoreScu]) -> int:
    return sum(len(sender.acknowledged) for sender in running)


def kill(gateway: RunningGateway, victim: str) -> float:
    """Kill, and return after how many seconds the gateway accepts again."""
    if victim == _ALL:
        gateway.kill_all()
        return gateway.start()
    gone = {child.pid for child in gateway.children(victim)}
    gateway.kill_child(victim)
    start = monotonic()

    def is_whole() -> bool:
        pids = {child.pid for child in gateway.children()}
        return len(pids) == _N_PROCESSES and not gone <= pids and gateway.is_serving()

    wait_until(is_whole, _ROUND_DEADLINE_S, "the process to be started again")
    return monotonic() - start


def check(gateway: RunningGateway, study_uids: set[str], acknowledged: set[str], sent: dict[str, Ct]) -> None:
    """Compare what is kept with what was sent: nothing acknowledged is lost, every row has its bytes."""
    assert echo(gateway.dicom_port)[0]
    digests = {image.digest for image in sent.values()}
    with gateway.client() as client:

        def rows() -> dict[str, list[str]]:
            return {uid: instance_uids(client, uid) for uid in study_uids}

        def is_indexed() -> bool:
            return acknowledged <= {uid for uids in rows().values() for uid in uids}

        wait_until(is_indexed, _ROUND_DEADLINE_S, "every acknowledged instance to be found")
        for study_uid, uids in rows().items():
            assert len(uids) == len(set(uids))
            if not uids:
                continue
            kept = {hashlib.sha256(data).hexdigest() for data in data_sets(client, study_uid)}
            assert kept <= digests, "bytes that nobody sent"
            assert {sent[uid].digest for uid in uids} <= kept, "a row without its bytes"
