"""The object store is gone while eight senders store: nobody is refused, nothing is lost, the backlog goes."""

import logging
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.faults import test_kill as kills
from tests.support.object_servers import minio
from tests.support.running_gateway import running_gateway
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("minio")]

_N_SENDERS = 8
_DEADLINE_S = 120.0


@pytest.mark.parametrize(
    ("outage_s", "n_images"),
    [
        pytest.param(10.0, 40, marks=pytest.mark.timeout(600)),
        pytest.param(60.0, 400, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_senders_do_not_notice_that_the_object_store_is_away(tmp_path: Path, outage_s: float, n_images: int) -> None:
    server = minio(tmp_path / "minio")
    server.start()
    try:
        planned = kills.plan(tmp_path / "files", n_images, n_senders=_N_SENDERS)
        with running_gateway(tmp_path / "gateway", server.settings()) as gateway, gateway.client() as client:
            with kills.senders(gateway, planned) as running:
                wait_until(lambda: kills.n_acknowledged(running) >= _N_SENDERS, _DEADLINE_S, "stores")
                server.stop()
                gone_at = monotonic()
                wait_until(lambda: ready(client)["store"] == "down", _DEADLINE_S, "the outage to be noticed")
                assert client.get("/readyz").status_code == httpx.codes.OK
                wait_until(lambda: monotonic() - gone_at >= outage_s, _DEADLINE_S, "the outage to be long enough")
                n_during_outage = kills.n_acknowledged(running)
                backlog = len(gateway.spooled())
                server.start()
            back_at = monotonic()
            assert [sender.finish() for sender in running] == [0] * _N_SENDERS
            kept = {planned.images[path].sop_uid for sender in running for path in sender.acknowledged}
            assert kept == {image.sop_uid for image in planned.images.values()}
            assert backlog
            assert "object store" in gateway.log.read_text(encoding="utf-8")

            wait_until(lambda: not gateway.spooled(), _DEADLINE_S, "the backlog to be shipped")
            _log.info(
                "%d acknowledged by the end of the outage, a backlog of %d, gone %.1f s after the store was back",
                n_during_outage,
                backlog,
                monotonic() - back_at,
            )
            wait_until(lambda: ready(client)["store"] == "ok", _DEADLINE_S, "the store to be well again")
            kills.check(gateway, planned.study_uids, kept, {i.sop_uid: i for i in planned.images.values()})
            archived = server.client().list_objects("objects", recursive=True)
            n_archived = sum(1 for one in archived if "/instances/" in f"/{one.object_name}")
            assert n_archived == len(planned.images)
    finally:
        server.stop()


def ready(client: httpx.Client) -> dict[str, str]:
    answer: dict[str, str] = client.get("/readyz").json()
    return answer
