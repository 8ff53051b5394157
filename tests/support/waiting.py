"""Waiting for a condition, with a deadline."""

from collections.abc import Callable
from time import monotonic, sleep

_LOOK_S = 0.01


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str = "the condition") -> float:
    """Wait until `condition` holds; return how long that took, in seconds."""
    start = monotonic()
    while not condition():
        assert monotonic() - start < deadline_s, f"{what}: not within {deadline_s:g} s"
        sleep(_LOOK_S)
    return monotonic() - start
