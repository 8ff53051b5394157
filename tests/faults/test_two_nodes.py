"""Two nodes on one index and one object store: what one has not shipped is read through the other while it lives."""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import AS_STORED, data_sets, instance_uids
from tests.support.ports import free_port
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import ROOT, RunningGateway, children_of
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0
_N_IMAGES = 8

Nodes = tuple[RunningGateway, RunningGateway]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes that share index and object store; the first one's shipper is held."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(_node(tmp_path, name)) for name in ("a", "b"))
        one.start()
        other.start()
        hold(one.children("shipper")[0].pid, tmp_path)
        yield one, other


@contextmanager
def _node(shared: Path, name: str) -> Iterator[RunningGateway]:
    folder = shared / name
    folder.mkdir()
    port = free_port()
    gateway = RunningGateway(folder, settings(shared, port) | {"PACS_WEB_PORT": str(port)})
    try:
        yield gateway
    finally:
        gateway.close()


def settings(shared: Path, port: int) -> dict[str, str]:
    """Return the settings of a node that others reach on `port`."""
    return {
        "PACS_DATABASE_URL": f"sqlite:///{shared / 'index.db'}",
        "PACS_STORAGE_URL": f"file:{shared / 'objects'}",
        "PACS_NODE_URL": f"http://127.0.0.1:{port}",
        "PACS_NODE_SECRET": "a secret of all the nodes",
        "PACS_UNKNOWN_DEVICES": "accept",
        "PACS_AUTH": "off",
        "PACS_DICOM_WORKERS": "1",
    }


def hold(shipper: int, shared: Path) -> None:
    """Stop a node's shipper where it is, though not while it holds up everybody's writing to the index."""
    with (shared / "index.db.gate").open("rb") as gate:

        def is_held() -> bool:
            os.kill(shipper, signal.SIGSTOP)
            state = Path(f"/proc/{shipper}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            if state != "T":  # the signal is on its way
                return False
            try:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.kill(shipper, signal.SIGCONT)
                return False
            fcntl.flock(gate, fcntl.LOCK_UN)
            return True

        wait_until(is_held, _DEADLINE_S, "the shipper to be between two transactions")


def send(gateway: RunningGateway, images: list[Ct]) -> None:
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
        assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}


def wait_for_index(client: httpx.Client, series: CtSeries, images: list[Ct]) -> None:
    expected = {image.sop_uid for image in images}
    wait_until(lambda: set(instance_uids(client, series.study_uid)) == expected, _DEADLINE_S, "the index")


def digests(client: httpx.Client, study_uid: str) -> set[str]:
    return {hashlib.sha256(data).hexdigest() for data in data_sets(client, study_uid)}


def test_what_one_node_has_not_shipped_is_read_through_the_other_while_it_lives(nodes: Nodes) -> None:
    one, other = nodes
    series = CtSeries(128)
    images = [series.image() for _ in range(_N_IMAGES)]
    expected = {image.digest for image in images}
    study = f"/dicom-web/studies/{series.study_uid}"
    instance = f"{study}/series/{series.series_uid}/instances/{images[0].sop_uid}"
    with other.client() as client:
        send(one, images)
        wait_for_index(client, series, images)
        assert len(one.spooled()) == _N_IMAGES
        assert digests(client, series.study_uid) == expected
        frame = client.get(f"{instance}/frames/1", headers={"Accept": "application/octet-stream"})
        assert images[0].content.endswith(frame.content)
        for path in (f"{instance}/metadata", f"{instance}/rendered", f"{study}/thumbnail", f"{study}/metadata"):
            assert client.get(path, headers={"Accept": "*/*"}).status_code == 200, path

        one.kill_all()
        for path in (study, instance, f"{instance}/frames/1", f"{instance}/rendered", f"{instance}/metadata"):
            gone = client.get(path, headers={"Accept": "*/*"})
            assert (gone.status_code, gone.headers.get("retry-after")) == (503, "10"), path
        assert set(instance_uids(client, series.study_uid)) == {image.sop_uid for image in images}

        one.start()
        wait_until(lambda: client.get(study, headers=AS_STORED).status_code == 200, _DEADLINE_S, "the node's bytes")
        assert digests(client, series.study_uid) == expected
        wait_until(lambda: not one.spooled(), _DEADLINE_S, "the backlog to be shipped")
        assert digests(client, series.study_uid) == expected


def test_what_only_a_dead_node_has_can_be_sent_again_to_another(nodes: Nodes) -> None:
    one, other = nodes
    series = CtSeries(64)
    images = [series.image() for _ in range(_N_IMAGES)]
    with other.client() as client:
        send(one, images)
        wait_for_index(client, series, images)
        one.kill_all()
        assert client.get(f"/dicom-web/studies/{series.study_uid}", headers=AS_STORED).status_code == 503

        send(other, images)
        objects = other.folder.parent / "objects" / "instances"
        wait_until(lambda: len(list(objects.rglob("*.dcm"))) == _N_IMAGES, _DEADLINE_S, "the other node to ship")
        assert digests(client, series.study_uid) == {image.digest for image in images}

        one.start()
        wait_until(lambda: not one.spooled(), _DEADLINE_S, "the first node to drop what is kept")
        assert digests(client, series.study_uid) == {image.digest for image in images}
        assert len(instance_uids(client, series.study_uid)) == _N_IMAGES


def test_a_node_that_only_receives_serves_what_it_has_not_shipped(tmp_path: Path) -> None:
    series = CtSeries(64)
    images = [series.image() for _ in range(_N_IMAGES)]
    dicom_port, node_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PACS_")}
    environment |= {"PYTHONPATH": str(ROOT), "PACS_DATA_DIR": str(tmp_path / "receiver")} | settings(
        tmp_path, node_port
    )
    command = [sys.executable, "-m", "pacs_gateway", "serve", "--role", "dicom", "--dicom-port", str(dicom_port)]
    with _node(tmp_path, "web") as reading, ExitStack() as stack:
        reading.start()
        process = subprocess.Popen(command, env=environment, cwd=tmp_path)
        stack.callback(process.wait, _DEADLINE_S)
        stack.callback(process.terminate)
        url = f"http://127.0.0.1:{node_port}"
        wait_until(lambda: _is_ready(url), _DEADLINE_S, "the receiving node")
        (shipper,) = (child for child in children_of(process.pid) if child.role == "shipper")
        stack.callback(os.kill, shipper.pid, signal.SIGCONT)
        hold(shipper.pid, tmp_path)

        with RawSender(dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
            assert {sender.store(image.sop_uid, image.data_set) for image in images} == {StoreAnswer(0)}
        with reading.client() as client:
            wait_for_index(client, series, images)
            assert digests(client, series.study_uid) == {image.digest for image in images}
        for path in ("/", "/dicom-web/studies", "/login", "/api/openapi.json", "/static/portal.css"):
            assert httpx.get(f"{url}{path}").status_code == 404, path
        assert httpx.get(f"{url}/readyz").json()["spool"] == "ok"


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
