"""Whatever a task does, its caller gets an answer, the others theirs, and the next one a process that works."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs_gateway.errors import (
    CapacityError,
    GatewayError,
    InputError,
    InvalidInstanceError,
    NotFoundError,
    UnavailableError,
    UnsupportedSyntaxError,
)
from pacs_gateway.guard.pool import Pool
from tests.pacs_gateway.guard.conftest import numbers, open_pool
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0


def is_running(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split(") ")[1].startswith("Z")
    except OSError:
        return False


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 5], [3_000_000, 17, 9_000_000]])
def test_blobs_of_any_size_come_back(pool: Pool, sizes: list[int]) -> None:
    blobs = [os.urandom(size) for size in sizes]
    assert pool.call("echo", {}, blobs) == blobs


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ("InputError", InputError),
        ("NotFoundError", NotFoundError),
        ("UnsupportedSyntaxError", UnsupportedSyntaxError),
        ("MismatchError", InvalidInstanceError),
    ],
)
def test_errors_of_ours_come_back_as_themselves(pool: Pool, said: str, raised: type[GatewayError]) -> None:
    before = numbers(pool)
    with pytest.raises(raised, match=r"^Rows is missing$") as caught:
        pool.call("say", {"error": said, "message": "Rows is missing"}, [])
    assert type(caught.value) is raised
    assert numbers(pool) == before


def test_any_other_exception_is_the_fault_of_the_image_and_tells_nothing_about_it(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    before = numbers(pool)
    with pytest.raises(InvalidInstanceError, match="KeyError"):
        pool.call("break", {}, [])
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "hostile.py" in record.getMessage()
    assert "Nguyen" not in caplog.text
    assert numbers(pool) == before


@pytest.mark.parametrize(
    "answer",
    [["no object"], {"error": "SystemExit", "message": ""}, {"error": ["none"]}, {"error": "InputError", "message": 5}],
    ids=["no object", "another's error", "no error", "no message"],
)
def test_what_a_process_says_is_not_believed(pool: Pool, answer: object) -> None:
    before = numbers(pool)
    with pytest.raises(InvalidInstanceError, match="ended the process"):
        pool.call("lie", {"answer": answer}, [])
    assert numbers(pool) != before


@pytest.mark.parametrize("task", ["crash", "leave", "talk rubbish"])
def test_a_process_that_is_lost_is_replaced(pool: Pool, task: str) -> None:
    before = numbers(pool)
    with pytest.raises(InvalidInstanceError):
        pool.call(task, {}, [])
    after = numbers(pool)
    assert after[0] != before[0]
    assert after[1] == before[1]
    wait_until(lambda: not is_running(before[0]), _DEADLINE_S, "the lost process to be gone")


def test_memory_ends_at_the_limit_and_is_the_next_tasks_again(pool: Pool) -> None:
    assert pool.call("allocate", {"n_bytes": 2**30}, []) == [str(2**30).encode()]
    before = numbers(pool)
    with pytest.raises(InvalidInstanceError, match="memory"):
        pool.call("allocate", {"n_bytes": 3 * 2**30}, [])
    assert numbers(pool) != before
    assert pool.call("allocate", {"n_bytes": 2**30}, []) == [str(2**30).encode()]


def test_processor_time_is_limited_for_each_task_apart() -> None:
    with open_pool(cpu_s=2) as pool:
        before = numbers(pool)
        for _ in range(2):
            pool.call("work", {"seconds": 1.5}, [])
        assert numbers(pool) == before
        with pytest.raises(InvalidInstanceError, match="ended the process"):
            pool.call("loop", {}, [])
        assert numbers(pool) != before


def test_a_task_that_does_nothing_is_given_up() -> None:
    with open_pool(task_s=0.5) as pool, pytest.raises(InvalidInstanceError, match="took too long"):
        pool.call("sleep", {"seconds": 3600}, [])


@pytest.mark.parametrize("way", ["open a file", "open a socket", "duplicate", "open a pipe"])
def test_nothing_can_be_opened(pool: Pool, way: str) -> None:
    assert pool.call("reach", {"way": way}, []) == [b"refused: Too many open files"]


def test_nothing_is_open_but_its_own_channel(pool: Pool, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("wb"):
        assert pool.call("facts", {}, []) == [repr((1, (0, 0), 1, 0)).encode()]


def test_others_are_not_disturbed_by_one_that_is_lost() -> None:
    with open_pool(n_processes=2) as pool, ThreadPoolExecutor(12) as threads:

        def call(n: int) -> bytes:
            if n % 7 == 3:
                with pytest.raises(InvalidInstanceError):
                    pool.call(("crash", "leave")[n % 2], {}, [])
                return b"lost"
            (result,) = pool.call("echo", {}, [b"%d" % n])
            return result

        answers = list(threads.map(call, range(70)))
    assert answers == [b"lost" if n % 7 == 3 else b"%d" % n for n in range(70)]


def test_one_process_is_used_where_one_is_enough(pool: Pool) -> None:
    assert len({numbers(pool) for _ in range(5)}) == 1


def _in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_who_waits_too_long_is_told_to_try_again() -> None:
    with open_pool(n_processes=1, wait_s=0.2) as pool:
        numbers(pool)
        held = _in_background(lambda: pool.call("sleep", {"seconds": 1.5}, []))
        with pytest.raises(CapacityError, match="take long"):
            wait_until(lambda: pool.call("echo", {}, []) is None, _DEADLINE_S, "the pool to be full")
        held.join()
        assert pool.call("echo", {}, [b"x"]) == [b"x"]


def test_only_so_many_wait() -> None:
    with open_pool(n_processes=1, n_waiting=0) as pool:
        numbers(pool)
        held = _in_background(lambda: pool.call("sleep", {"seconds": 1.5}, []))
        with pytest.raises(CapacityError, match="too many"):
            wait_until(lambda: pool.call("echo", {}, []) is None, _DEADLINE_S, "the pool to be full")
        held.join()
        assert pool.call("echo", {}, [b"x"]) == [b"x"]


def test_closing_ends_the_processes_the_busy_ones_too() -> None:
    with open_pool() as pool:
        busy, _ = numbers(pool)
        caught: list[BaseException] = []

        def hold() -> None:
            try:
                pool.call("sleep", {"seconds": 3600}, [])
            except InvalidInstanceError as error:
                caught.append(error)

        held = _in_background(hold)
        wait_until(lambda: bool(pool._busy), _DEADLINE_S, "the task to begin")
        idle, _ = numbers(pool)
        assert idle != busy
    held.join(_DEADLINE_S)
    assert len(caught) == 1
    for pid in (idle, busy):
        wait_until(lambda pid=pid: not is_running(pid), _DEADLINE_S, "the processes to be gone")  # type: ignore[misc]
    with pytest.raises(UnavailableError):
        pool.call("echo", {}, [])


def test_no_descriptor_is_left_behind() -> None:
    with open_pool() as pool:
        numbers(pool)
    before = open_descriptors()
    for _ in range(3):
        with open_pool() as pool:
            numbers(pool)
            for task in ("crash", "leave"):
                with pytest.raises(InvalidInstanceError):
                    pool.call(task, {}, [])
            numbers(pool)
    assert open_descriptors() == before


def test_a_process_that_was_killed_while_idle_costs_nobody_an_answer(pool: Pool) -> None:
    pid, _ = numbers(pool)
    os.kill(pid, 9)
    wait_until(lambda: not is_running(pid), _DEADLINE_S, "the process to be gone")
    assert pool.call("echo", {}, [b"x"]) == [b"x"]
