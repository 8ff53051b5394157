"""Whose sub-operation is next when many retrievals run at once: by priority, then in the order they asked.

The turn is one object's, not a whole retrieval's: what is urgent overtakes a long one in the middle of it.
"""

import threading
from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from types import MappingProxyType

from pacs_gateway.dimse.scu.sending import Priority

_RANKS: Mapping[Priority, int] = MappingProxyType({Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2})
# Whoever waits looks that often whether it has been cancelled in the meantime.
_LOOK_S = 0.2


class Turns:
    """Lets at most `n_at_once` sub-operations of a process go on at the same time; thread-safe."""

    def __init__(self, n_at_once: int) -> None:
        self._n_free = n_at_once
        self._numbers = count()
        self._waiting: list[tuple[int, int]] = []
        self._changed = threading.Condition()

    @property
    def n_waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, priority: Priority, is_over: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn and hold it for the block; False when `is_over` came first, and there is none to hold."""
        has_turn = self._take(priority, is_over)
        try:
            yield has_turn
        finally:
            if has_turn:
                with self._changed:
                    self._n_free += 1
                    self._changed.notify_all()

    def _take(self, priority: Priority, is_over: Callable[[], bool]) -> bool:
        ticket = _RANKS[priority], next(self._numbers)
        with self._changed:
            insort(self._waiting, ticket)
        try:
            while True:
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_next(ticket), _LOOK_S):
                        self._n_free -= 1
                        return True
                if is_over():
                    return False
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                # Whoever is first now may find another place free.
                self._changed.notify_all()

    def _is_next(self, ticket: tuple[int, int]) -> bool:
        return self._n_free > 0 and self._waiting[0] == ticket
