"""The door never sleeps over a pause that ran out, and leaves a fair part to its siblings."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pacs_gateway.dimse import listener
from pacs_gateway.dimse.listener import Connection, Door, Listeners
from pacs_gateway.dimse.wire import StopSignal
from tests.pacs_gateway.dimse.conftest import CONFIG
from tests.pacs_gateway.dimse.doubles import MemoryDevices
from tests.support.scripted_peer import ScriptedPeer, associate_rq
from tests.support.waiting import wait_until


def test_a_pause_that_ends_between_two_looks_at_the_clock_is_not_slept_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopSignal()
    door = Door(CONFIG, Listeners([]), stop, lambda _connection: None, MemoryDevices().record_refusal)
    door._paused_until = 100.0
    clock: Iterator[float] = iter([99.999, 100.001, 100.002])
    monkeypatch.setattr(listener, "monotonic", lambda: next(clock))

    door._watch_listeners()
    seconds = door._seconds_to_next_deadline()

    assert seconds == 0
    door._close()
    stop.close()


def test_the_lead_that_siblings_get_grows_with_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopSignal()
    door = Door(CONFIG, Listeners([]), stop, lambda _connection: None, MemoryDevices().record_refusal)
    monkeypatch.setattr(listener, "monotonic", lambda: 100.0)
    assert not door._gives_lead()
    for n_associations, lead_s in ((1, 0.001), (3, 0.003), (40, 0.005)):
        door._n_associations, door._paused_until = n_associations, 0.0
        assert door._gives_lead()
        assert door._paused_until == pytest.approx(100.0 + lead_s)
        # Nobody else took it.
        assert not door._gives_lead()
    door._close()
    stop.close()


def test_processes_that_share_a_listener_share_the_associations() -> None:
    entered: tuple[list[Connection], list[Connection]] = ([], [])
    with socket.create_server(("127.0.0.1", 0)) as shared, ExitStack() as stack:
        stop = StopSignal()
        threads = []
        for connections in entered:
            sibling = stack.enter_context(shared.dup())
            door = Door(CONFIG, Listeners([sibling]), stop, connections.append, MemoryDevices().record_refusal)
            threads.append(threading.Thread(target=door.run))
            threads[-1].start()
        try:
            for n in range(1, 13):
                peer = stack.enter_context(ScriptedPeer(shared.getsockname()[1]))
                peer.send(associate_rq())
                wait_until(lambda n=n: sum(map(len, entered)) == n, 10, "an association is taken")  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
            stop.close()
            for connection in (*entered[0], *entered[1]):
                connection.sock.close()

    assert min(map(len, entered)) >= 3
