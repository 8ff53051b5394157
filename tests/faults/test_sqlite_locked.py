"""Somebody holds the SQLite index locked for 5 s while devices store: nothing is refused or lost (promises R7)."""

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.support.dicomweb import instance_uids
from tests.support.running_gateway import running_gateway
from tests.support.storescu import send
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_LOCKED_S = 5.0
_DEADLINE_S = 60.0


def test_a_locked_index_is_a_delay(tmp_path: Path) -> None:
    series = CtSeries(64)
    files = {tmp_path / f"{n}.dcm": series.image() for n in range(40)}
    for path, image in files.items():
        path.write_bytes(image.content)
    with running_gateway(tmp_path / "gateway") as gateway, gateway.client() as client:
        stranger = sqlite3.connect(gateway.data_dir / "index.db", isolation_level=None, check_same_thread=False)
        stranger.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(_LOCKED_S, stranger.execute, ("ROLLBACK",))
        letting_go.start()
        send(gateway.dicom_port, list(files), "-xe", "-R")
        was_locked = letting_go.is_alive()
        wait_until(lambda: len(instance_uids(client, series.study_uid)) == len(files), _DEADLINE_S, "the index")
        assert sorted(instance_uids(client, series.study_uid)) == sorted(image.sop_uid for image in files.values())
        assert was_locked, "a C-STORE is answered from the spool and waits for no index"
        letting_go.join()
        stranger.close()
