"""The worker forgets old events."""

import threading
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select

from pacs_gateway.database.schema.jobs import event
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.jobs.queue import announce
from pacs_gateway.roles.worker import _forget
from tests.support.gateways import open_test_gateway


def test_events_of_last_month_are_forgotten_and_new_ones_kept(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with open_test_gateway(tmp_path) as gateway:
        at = gateway.clock()
        for subject, age in (("1.2.3", timedelta(days=30)), ("1.2.4", timedelta())):
            gateway.database.transact(
                partial(announce, kind="instances-stored", subjects=[subject], at=to_microseconds(at - age))
            )

        _forget(gateway, stop)

        with gateway.database.read() as connection:
            assert connection.execute(select(event.c.subject)).scalars().all() == ["1.2.4"]
