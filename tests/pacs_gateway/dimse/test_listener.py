"""The door never sleeps over a pause that ran out while it was looking the other way."""

from collections.abc import Iterator

import pytest

from pacs_gateway.dimse import listener
from pacs_gateway.dimse.listener import Door
from pacs_gateway.dimse.wire import StopSignal
from tests.pacs_gateway.dimse.conftest import CONFIG


def test_a_pause_that_ends_between_two_looks_at_the_clock_is_not_slept_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopSignal()
    door = Door(CONFIG, [], stop, lambda _connection: None)
    door._paused_until = 100.0
    clock: Iterator[float] = iter([99.999, 100.001, 100.002])
    monkeypatch.setattr(listener, "monotonic", lambda: next(clock))

    door._watch_listeners()
    seconds = door._seconds_to_next_deadline()

    assert seconds == 0
    door._close()
    stop.close()
