import threading

import pytest

from pacs_gateway.database.engine import Database
from pacs_gateway.errors import CapacityError, GatewayError, InvalidInstanceError, UnavailableError
from pacs_gateway.jobs.queue import MAX_ATTEMPTS, Job, JobList, JobQueue, JobState, enqueue
from pacs_gateway.jobs.worker import Worker
from tests.support.gateways import Clock
from tests.support.waiting import wait_until


def ask(database: Database, *keys: str) -> None:
    database.transact(lambda connection: enqueue(connection, "work", keys, run_at=0))


@pytest.fixture
def queue(database: Database, clock: Clock) -> JobQueue:
    return JobQueue(database, owner="one", clock=clock.shared)


def test_broken_handlers_do_not_stop_the_others(database: Database, queue: JobQueue) -> None:
    done: list[str] = []

    def handle(job: Job) -> None:
        if job.key == "bad":
            raise InvalidInstanceError("cannot be read")
        if job.key == "broken":
            raise KeyError("Nguyễn^Văn^Đức")
        done.append(job.key)

    ask(database, "bad", "broken", "good")
    worker = Worker(queue, {"work": handle})
    assert [worker.run_one() for _ in range(4)] == [True, True, True, False]
    assert done == ["good"]
    left = {job.key: (job.state, job.error) for job in JobList(database).list()}
    assert left == {
        "bad": (JobState.WAITING, "InvalidInstanceError: cannot be read"),
        "broken": (JobState.WAITING, "KeyError"),
    }


@pytest.mark.parametrize("trouble", [UnavailableError("away"), CapacityError("full")])
def test_the_loop_outlives_a_queue_that_is_away(
    database: Database, queue: JobQueue, monkeypatch: pytest.MonkeyPatch, trouble: GatewayError
) -> None:
    done, stop, away = threading.Event(), threading.Event(), threading.Event()
    real = queue.lease

    def lease(kinds: tuple[str, ...], *, overdue_s: float) -> Job | None:
        if away.is_set():
            return real(kinds, overdue_s=overdue_s)
        away.set()
        raise trouble

    monkeypatch.setattr(queue, "lease", lease)
    ask(database, "1")
    thread = threading.Thread(target=Worker(queue, {"work": lambda _: done.set()}, idle_s=0.01).run, args=(stop,))
    thread.start()
    try:
        wait_until(done.is_set, 20, "the job is done")
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("trouble", [UnavailableError("away"), CapacityError("full")])
def test_an_outage_costs_a_job_none_of_its_attempts(
    database: Database, queue: JobQueue, clock: Clock, trouble: GatewayError
) -> None:
    is_over = False

    def handle(_: Job) -> None:
        if not is_over:
            raise trouble

    ask(database, "1")
    worker = Worker(queue, {"work": handle})
    for _ in range(3 * MAX_ATTEMPTS):
        assert worker.run_one()
        assert not worker.run_one()
        clock.move(60)
    assert [(job.state, job.attempts) for job in JobList(database).list()] == [(JobState.WAITING, 0)]
    is_over = True
    assert worker.run_one()
    assert not JobList(database).list()


def test_a_handler_may_ask_to_run_again(database: Database, queue: JobQueue, clock: Clock) -> None:
    at = round(clock().timestamp() * 1e6) + 2_000_000
    ask(database, "1")
    worker = Worker(queue, {"work": lambda _: at})
    assert worker.run_one()
    assert not worker.run_one()
    clock.move(2)
    assert worker.run_one()


def test_jobs_wait_while_something_more_urgent_is_under_way_but_not_for_ever(
    database: Database, queue: JobQueue, clock: Clock
) -> None:
    busy = True
    due_at = round(clock().timestamp() * 1e6)
    database.transact(lambda connection: enqueue(connection, "work", ["1", "2"], run_at=due_at))
    worker = Worker(queue, {"work": lambda _: None}, is_busy=lambda: busy)
    assert not worker.run_one()
    clock.move(31)
    assert worker.run_one()
    database.transact(lambda connection: enqueue(connection, "work", ["3"], run_at=due_at + 31_000_000))
    assert worker.run_one()
    assert not worker.run_one()
    busy = False
    assert worker.run_one()
