"""Pools of guarded processes that do what `hostile` has in its table."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pacs_gateway.guard.nursery import Order
from pacs_gateway.guard.pool import Limits, Pool

HOSTILE = "tests.pacs_gateway.guard.hostile:load"


@contextmanager
def open_pool(
    *, n_processes: int = 2, n_waiting: int = 32, wait_s: float = 60, task_s: float = 60, cpu_s: int = 60
) -> Iterator[Pool]:
    """Open a pool whose limits are wide where the test names none."""
    order = Order(tasks=HOSTILE, cpu_s=cpu_s)
    pool = Pool(Limits(n_processes=n_processes, n_waiting=n_waiting, wait_s=wait_s, task_s=task_s, order=order))
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    with open_pool() as pool:
        yield pool


def numbers(pool: Pool) -> tuple[int, int]:
    """Return the process that does the next task, and its nursery."""
    own, parent = pool.call("number", {}, [])
    return int(own), int(parent)
