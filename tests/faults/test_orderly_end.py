"""SIGTERM while senders are busy: an end in order and in time, and nothing acknowledged is lost."""

import logging
from pathlib import Path
from time import monotonic

import pytest

from tests.faults import test_kill as kills
from tests.support.running_gateway import running_gateway
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.peer("dcmtk")

_GRACE_S = 30.0
"""Of the contract."""


def test_sigterm_finishes_what_is_in_flight(tmp_path: Path) -> None:
    planned = kills.plan(tmp_path / "files", n_images=200)
    with running_gateway(tmp_path / "gateway") as gateway:
        with kills.senders(gateway, planned) as running:
            wait_until(lambda: kills.n_acknowledged(running) >= 20, 60, "stores")
            start = monotonic()

            status = gateway.stop()

            _log.info("ended after %.1f s", monotonic() - start)
            assert monotonic() - start < _GRACE_S
        assert status == 0
        acknowledged = [planned.images[path] for sender in running for path in sender.acknowledged]
        assert 20 <= len(acknowledged) < len(planned.images), "the senders were to be interrupted"
        gateway.start()
        sent = {image.sop_uid: image for image in planned.images.values()}
        kills.check(gateway, planned.study_uids, {image.sop_uid for image in acknowledged}, sent)
