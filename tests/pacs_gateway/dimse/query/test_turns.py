"""Whose sub-operation is next."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pacs_gateway.dimse.query.turns import Turns
from pacs_gateway.dimse.scu.sending import Priority
from tests.support.waiting import wait_until

_DEADLINE_S = 10.0


class Queue:
    """Threads that want a turn, in the order they were told to ask."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.served: list[str] = []
        self._threads: list[threading.Thread] = []

    def ask(self, name: str, priority: Priority) -> None:
        def run() -> None:
            with self.turns.turn(priority, lambda: False) as has_turn:
                assert has_turn
                self.served.append(name)

        n_waiting = self.turns.n_waiting
        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()
        wait_until(lambda: self.turns.n_waiting == n_waiting + 1, _DEADLINE_S)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_DEADLINE_S)
            assert not thread.is_alive()


@pytest.fixture
def full() -> Iterator[tuple[Queue, ExitStack]]:
    """A single place, taken; closing the stack frees it."""
    queue, holding = Queue(Turns(1)), ExitStack()
    holding.enter_context(queue.turns.turn(Priority.LOW, lambda: False))
    yield queue, holding
    holding.close()
    queue.join()


def test_high_goes_first_and_equals_in_their_order(full: tuple[Queue, ExitStack]) -> None:
    queue, holding = full
    for name, priority in [
        ("low", Priority.LOW),
        ("first", Priority.MEDIUM),
        ("second", Priority.MEDIUM),
        ("high", Priority.HIGH),
    ]:
        queue.ask(name, priority)
    assert queue.served == []

    holding.close()
    queue.join()

    assert queue.served == ["high", "first", "second", "low"]


def test_who_is_cancelled_waits_no_longer(full: tuple[Queue, ExitStack]) -> None:
    queue, holding = full
    with queue.turns.turn(Priority.HIGH, lambda: True) as has_turn:
        assert not has_turn
    queue.ask("after", Priority.LOW)

    holding.close()
    queue.join()

    assert queue.served == ["after"]


def test_as_many_at_once_as_there_are_places() -> None:
    turns = Turns(3)
    with ExitStack() as holding:
        for _ in range(3):
            assert holding.enter_context(turns.turn(Priority.MEDIUM, lambda: False))
        with turns.turn(Priority.HIGH, lambda: True) as has_turn:
            assert not has_turn
    with turns.turn(Priority.LOW, lambda: False) as has_turn:
        assert has_turn
