"""PostgreSQL is restarted, and stays away, while devices store: nobody is refused and nothing is lost (promises R7)."""

import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.support.dicomweb import data_sets, instance_uids, search
from tests.support.postgresql import PostgresqlServer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.storescu import send
from tests.support.synthetic_ct import Ct, CtSeries
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("postgresql")]

N_RESTARTS = 5
_N_AT_ONCE = 10
_DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What was answered Success, and the longest that one ``storescu`` took."""

    images: list[Ct]
    slowest_s: float


def send_until(gateway: RunningGateway, folder: Path, is_over: threading.Event) -> Sent:
    """Have ``storescu`` store a series, and the next one, until told to stop; every file is answered Success."""
    folder.mkdir()
    images: list[Ct] = []
    slowest_s = 0.0
    study_uid = CtSeries().study_uid
    while not is_over.is_set():
        series = CtSeries(64, study_uid=study_uid)
        files = {folder / f"{len(images) + n}.dcm": series.image() for n in range(_N_AT_ONCE)}
        for path, image in files.items():
            path.write_bytes(image.content)
        start = monotonic()
        send(gateway.dicom_port, list(files), "-xe", "-R")
        slowest_s = max(slowest_s, monotonic() - start)
        images += files.values()
    return Sent(images, slowest_s)


@contextmanager
def devices(gateway: RunningGateway, folder: Path, n_devices: int) -> Iterator[list[Ct]]:
    """Have devices store during the block; what they stored is in the list after it."""
    folder.mkdir()
    is_over = threading.Event()
    stored: list[Ct] = []
    with ThreadPoolExecutor(n_devices) as pool:
        sending = [pool.submit(send_until, gateway, folder / str(n), is_over) for n in range(n_devices)]
        try:
            yield stored
        finally:
            is_over.set()
    for done in sending:
        stored += done.result().images
    _log.info("%d stored, slowest series after %.1f s", len(stored), max(done.result().slowest_s for done in sending))


def check(gateway: RunningGateway, client: httpx.Client, stored: Sequence[Ct]) -> None:
    """Every object is found once, with the bytes that were sent."""
    expected = {image.sop_uid: image for image in stored}
    studies = {image.study_uid for image in stored}

    def found() -> list[str]:
        return [uid for study_uid in studies for uid in instance_uids(client, study_uid)]

    wait_until(lambda: len(found()) >= len(expected), _DEADLINE_S, "everything to be found")
    assert sorted(found()) == sorted(expected)
    kept = {hashlib.sha256(data).hexdigest() for study_uid in studies for data in data_sets(client, study_uid)}
    assert kept == {image.digest for image in stored}
    wait_until(lambda: not gateway.spooled(), _DEADLINE_S, "everything to be shipped")


@pytest.fixture
def gateway(tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[RunningGateway]:
    settings = {"PACS_DATABASE_URL": postgresql.new_database(is_migrated=False)}
    with running_gateway(tmp_path / "gateway", settings) as running:
        yield running


def test_restarts_while_devices_store_are_a_delay_at_most(
    gateway: RunningGateway, tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    with gateway.client() as client:
        with devices(gateway, tmp_path / "files", 4) as stored:
            for n in range(N_RESTARTS):
                n_before = len(search(client, "/instances"))
                postgresql.restart(immediately=n % 2 == 1)
                wait_until(lambda: len(search(client, "/instances")) > n_before, _DEADLINE_S, "more")  # noqa: B023
        assert len(stored) > N_RESTARTS
        check(gateway, client, stored)


def test_devices_store_while_the_index_is_away(
    gateway: RunningGateway, tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    with gateway.client() as client:
        with devices(gateway, tmp_path / "before", 1) as before:
            wait_until(lambda: bool(search(client, "/studies")), _DEADLINE_S, "something to be stored")
        postgresql.stop(immediately=True)
        try:
            with devices(gateway, tmp_path / "during", 2) as during:
                n_before = len(gateway.spooled())
                wait_until(lambda: len(gateway.spooled()) > n_before + 50, _DEADLINE_S, "the spool to fill")
                ready, all_ready = client.get("/readyz"), client.get("/readyz", params={"all": ""})
            assert ready.json()["index"] == all_ready.json()["index"] == "down"
            assert all_ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
        finally:
            postgresql.start()
        check(gateway, client, [*before, *during])
