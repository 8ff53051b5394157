"""Two nodes behind HAProxy on one PostgreSQL and one MinIO: one is killed while eight devices send, nothing is lost."""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import data_sets, instance_uids
from tests.support.haproxy import ADDRESS, balanced
from tests.support.object_servers import ObjectServer
from tests.support.ports import free_port
from tests.support.postgresql import PostgresqlServer
from tests.support.running_gateway import RunningGateway
from tests.support.storescu import StoreScu
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.peer(name) for name in ("haproxy", "dcmtk", "postgresql", "minio")]

N_SENDERS = 8
_N_STUDIES = 4
_DEADLINE_S = 300.0
_PER_ASSOCIATION = 25
_ATTEMPTS = 200
_SETTINGS = {
    "PACS_TRUSTED_PROXIES": ADDRESS,
    "PACS_UNKNOWN_DEVICES": "reject",
    "PACS_NODE_SECRET": "a secret of all the nodes",
}
_PAUSE_S = 0.2
"""Before a device tries again; devices wait for minutes."""


@dataclass(slots=True)
class Sender:
    """A device that sends its images some at a time, and again what was not answered Success, until all are."""

    port: int
    paths: Sequence[Path]
    giving_up: threading.Event
    n_failures: int = 0
    _associations: list[StoreScu] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Path]:
        """What has been answered Success until now."""
        return [path for association in self._associations for path in association.acknowledged]

    def send(self) -> None:
        """Return when every image was answered Success."""
        missing = list(self.paths)
        for _ in range(_ATTEMPTS):
            association = StoreScu(self.port, missing[:_PER_ASSOCIATION], "-xe", "-R")
            self._associations.append(association)
            status = association.finish()
            answered = set(association.acknowledged)
            missing = [path for path in missing if path not in answered]
            if not missing:
                return
            if status != 0:
                self.n_failures += 1
                assert not self.giving_up.wait(_PAUSE_S), f"{len(missing)} images were never answered Success"
        raise AssertionError(f"{len(missing)} images were not answered Success in {_ATTEMPTS} attempts")


@contextmanager
def two_nodes(folder: Path, shared: Mapping[str, str]) -> Iterator[list[RunningGateway]]:
    """Run two nodes with all roles on what they share, prepared for one another and for devices of this machine."""
    with ExitStack() as stack:
        nodes = []
        for number in (1, 2):
            home, port = folder / f"node{number}", free_port()
            home.mkdir()
            own = {"PACS_WEB_PORT": str(port), "PACS_NODE_URL": f"http://127.0.0.1:{port}"}
            node = RunningGateway(home, {**_SETTINGS, **own, **shared})
            stack.callback(node.close)
            nodes.append(node)
        nodes[0].must("migrate")
        nodes[0].must("user", "add", "admin", "--role", "administrator")
        nodes[0].must("device", "add", "STORESCU", "--network", "127.0.0.1")
        for node in nodes:
            node.start()
        yield nodes


@contextmanager
def sending(senders: Sequence[Sender], giving_up: threading.Event) -> Iterator[None]:
    """Have all send during the block, and until they are through with it."""
    with ThreadPoolExecutor(len(senders)) as pool:
        running = [pool.submit(sender.send) for sender in senders]
        try:
            yield
            for one in running:
                one.result(_DEADLINE_S)
        finally:
            giving_up.set()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n_images", [100, pytest.param(500, marks=pytest.mark.long)])
def test_a_node_that_is_killed_takes_nothing_with_it(
    tmp_path: Path, postgresql: PostgresqlServer, minio_server: ObjectServer, n_images: int
) -> None:
    images = make_images(tmp_path / "images", N_SENDERS * n_images)
    store = minio_server.settings()
    shared = {"PACS_DATABASE_URL": postgresql.new_database(is_migrated=False), **store}
    paths, giving_up = list(images), threading.Event()
    with two_nodes(tmp_path, shared) as nodes, balanced(tmp_path / "haproxy", nodes) as balancer:
        token = nodes[0].token
        senders = [Sender(balancer.dicom_port, paths[n::N_SENDERS], giving_up) for n in range(N_SENDERS)]
        with sending(senders, giving_up):
            wait_for(senders, len(paths) // 8)
            nodes[0].kill_all()
            n_before = n_acknowledged(senders)
            wait_for(senders, len(paths) * 3 // 4)
            with balancer.client(token) as client:
                # Until its checks have noticed, the balancer may still ask the dead one.
                wait_until(lambda: is_ok(client, "/dicom-web/studies"), _DEADLINE_S, "the other node to answer")
            nodes[0].start()
            balancer.follow(1, nodes[0])
        n_lost = sum(sender.n_failures for sender in senders)
        _log.info("%d images, %d before the kill, %d associations lost", len(paths), n_before, n_lost)

        assert sorted(path for sender in senders for path in sender.acknowledged) == sorted(paths)
        assert n_lost > 0
        wait_until(lambda: not any(node.spooled() for node in nodes), _DEADLINE_S, "everything to be archived")
        wait_until(lambda: balancer.n_up() == 2 * len(nodes), _DEADLINE_S, "both nodes to be taken for alive")
        for node in nodes:
            check(node, token, list(images.values()))
        # What the first one received is in the store: the other serves it alone.
        nodes[0].kill_all()
        check(nodes[1], token, list(images.values()))
    assert n_objects(minio_server, store["PACS_STORAGE_URL"]) == len(images)


def make_images(folder: Path, n: int) -> dict[Path, Ct]:
    """Write images of some studies, every tenth a large one; return them by file."""
    folder.mkdir()
    studies = [CtSeries(64) for _ in range(_N_STUDIES)]
    large = [CtSeries(512, study_uid=study.study_uid, series_uid=study.series_uid) for study in studies]
    images: dict[Path, Ct] = {}
    for number in range(n):
        image = (studies if number % 10 else large)[number % _N_STUDIES].image()
        path = folder / f"{number}.dcm"
        path.write_bytes(image.content)
        images[path] = image
    return images


def is_ok(client: httpx.Client, path: str) -> bool:
    return client.get(path).status_code == httpx.codes.OK


def n_objects(server: ObjectServer, url: str) -> int:
    """Return how many instances are in the store, seen past the gateway."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    names = [found.object_name for found in server.client().list_objects(bucket, f"{prefix}/", recursive=True)]
    return sum(1 for name in names if name.endswith(".dcm"))


def n_acknowledged(senders: Sequence[Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in senders)


def wait_for(senders: Sequence[Sender], n: int) -> None:
    """Wait until so many images have been answered Success."""
    wait_until(lambda: n_acknowledged(senders) >= n, _DEADLINE_S, "stores")


def check(node: RunningGateway, token: str, images: Sequence[Ct]) -> None:
    """Compare what a node finds and serves with what was sent: all of it, once, with the same bytes."""
    with httpx.Client(base_url=node.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for study_uid in {image.study_uid for image in images}:
            sent = [image for image in images if image.study_uid == study_uid]
            assert sorted(instance_uids(client, study_uid)) == sorted(image.sop_uid for image in sent)
            kept = [hashlib.sha256(data).hexdigest() for data in data_sets(client, study_uid)]
            assert sorted(kept) == sorted(image.digest for image in sent)
