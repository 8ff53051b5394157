import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select

from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.jobs import event
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.errors import NotFoundError
from pacs_gateway.jobs.queue import MAX_ATTEMPTS, Job, JobList, JobQueue, JobState, announce, enqueue, prune_events
from tests.support.gateways import Clock, open_database


@pytest.fixture
def queue(database: Database, clock: Clock) -> JobQueue:
    return JobQueue(database, owner="one", clock=clock.shared)


@pytest.fixture
def jobs(database: Database) -> JobList:
    return JobList(database)


def ask(database: Database, clock: Clock, *keys: str, kind: str = "derive", in_s: float = 0) -> None:
    run_at = to_microseconds(clock()) + round(in_s * 1e6)
    database.transact(lambda connection: enqueue(connection, kind, keys, run_at=run_at))


def leased(queue: JobQueue, *kinds: str) -> Job:
    job = queue.lease(kinds or ("derive",))
    assert job is not None
    return job


def test_asking_twice_for_the_same_work_is_one_job(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    ask(database, clock, "1", "1", "2")
    ask(database, clock, "1")
    assert [(job.key, job.state) for job in jobs.list()] == [("1", JobState.WAITING), ("2", JobState.WAITING)]
    queue.finish(leased(queue))
    queue.finish(leased(queue))
    assert jobs.list() == ()
    assert queue.lease(("derive",)) is None


def test_a_rolled_back_fact_leaves_no_job(database: Database, jobs: JobList) -> None:
    def fail(connection: Connection) -> None:
        enqueue(connection, "derive", ["1"], run_at=0)
        announce(connection, "stored", ["1.2"], at=0)
        raise KeyError

    with pytest.raises(KeyError):
        database.transact(fail)
    assert jobs.list() == ()


def test_only_due_jobs_of_known_kinds_are_leased_oldest_first(
    database: Database, clock: Clock, queue: JobQueue
) -> None:
    ask(database, clock, "later", in_s=5)
    ask(database, clock, "foreign", kind="other")
    clock.move(1)
    ask(database, clock, "second")
    ask(database, clock, "first", in_s=-1)
    assert [leased(queue).key, leased(queue).key] == ["first", "second"]
    assert queue.lease(("derive",)) is None
    clock.move(5)
    assert leased(queue).key == "later"


def test_a_waiting_job_takes_the_earlier_time(database: Database, clock: Clock, queue: JobQueue) -> None:
    ask(database, clock, "1", in_s=60)
    ask(database, clock, "1")
    queue.finish(leased(queue), again_at=to_microseconds(clock()) + 3_000_000)
    assert queue.lease(("derive",)) is None
    ask(database, clock, "1")
    ask(database, clock, "1", in_s=60)
    assert leased(queue).key == "1"


def test_a_job_asked_for_while_it_runs_runs_again_when_asked(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    for again_in_s in (None, 60):
        ask(database, clock, "1")
        job = leased(queue)
        ask(database, clock, "1")
        assert queue.lease(("derive",)) is None
        queue.finish(job, again_at=again_in_s and to_microseconds(clock()) + again_in_s * 1_000_000)
        queue.finish(leased(queue))
        assert jobs.list() == ()


def test_a_lease_that_runs_out_goes_to_somebody_else(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    other = JobQueue(database, owner="other", clock=clock.shared)
    ask(database, clock, "1")
    stuck = leased(queue)
    assert other.lease(("derive",)) is None
    clock.move(61)
    taken = leased(other)
    assert (taken.id, taken.attempts) == (stuck.id, 2)
    queue.finish(stuck)
    queue.fail(stuck, "late")
    assert jobs.list()[0].state is JobState.RUNNING
    other.finish(taken)
    assert jobs.list() == ()


def test_a_job_that_kills_its_worker_every_time_is_put_aside(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    ask(database, clock, "1")
    for _ in range(MAX_ATTEMPTS):
        leased(queue)
        clock.move(61)
    assert queue.lease(("derive",)) is None
    (dead,) = jobs.list(state=JobState.DEAD)
    assert dead.attempts == MAX_ATTEMPTS


def test_failures_back_off_and_end_dead_until_a_person_retries(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    ask(database, clock, "1")
    waits = []
    for _ in range(MAX_ATTEMPTS):
        waits.append((jobs.list()[0].run_at - to_microseconds(clock())) / 1e6)
        clock.move(waits[-1] - 0.1)
        assert queue.lease(("derive",)) is None
        clock.move(0.2)
        queue.fail(leased(queue), "x" * 1000)
        ask(database, clock, "1") if len(waits) < MAX_ATTEMPTS else None
    assert waits[0] == 0
    assert 1 <= waits[1] <= 3.5
    assert waits[-1] > 100
    clock.move(10_000)
    assert queue.lease(("derive",)) is None
    (dead,) = jobs.list(state=JobState.DEAD)
    assert dead.error == "x" * 500
    assert jobs.retry(dead.id) == 1
    assert leased(queue).attempts == 1
    with pytest.raises(NotFoundError):
        jobs.retry(dead.id)
    assert jobs.retry() == 0


def test_asking_for_a_dead_job_gives_it_another_chance(
    database: Database, clock: Clock, queue: JobQueue, jobs: JobList
) -> None:
    ask(database, clock, "1")
    for _ in range(MAX_ATTEMPTS):
        clock.move(10_000)
        queue.fail(leased(queue), "broken")
    ask(database, clock, "1")
    assert leased(queue).attempts == 1


def test_no_job_is_run_by_two_workers(database_url: str, database: Database, clock: Clock) -> None:
    ask(database, clock, *(str(n) for n in range(40)))

    def work(owner: str) -> list[str]:
        mine, keys = open_database(database_url), []
        queue = JobQueue(mine, owner=owner, clock=clock.shared)
        while (job := queue.lease(("derive",))) is not None:
            keys.append(job.key)
            queue.finish(job)
        mine.close()
        return keys

    with ThreadPoolExecutor(4) as pool:
        done = [key for keys in pool.map(work, "abcd") for key in keys]
    assert sorted(done, key=int) == [str(n) for n in range(40)]


def test_a_lease_is_held_by_one_worker_while_others_look_for_jobs(
    database_url: str, database: Database, clock: Clock
) -> None:
    ask(database, clock, *(str(n) for n in range(20)))
    meeting = threading.Barrier(6)

    def take(owner: str) -> list[int]:
        mine = open_database(database_url)
        queue = JobQueue(mine, owner=owner, clock=clock.shared)
        meeting.wait(30)
        taken = []
        while (job := queue.lease(("derive",))) is not None:
            taken.append(job.id)
        mine.close()
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(take, "abcdef") for job in jobs]
    assert len(taken) == len(set(taken)) == 20


def test_events_are_written_once_per_subject_and_pruned(database: Database) -> None:
    database.transact(lambda connection: announce(connection, "stored", ["1.2", "1.2", "1.3"], at=5))
    database.transact(lambda connection: announce(connection, "stored", ["1.4"], at=9))
    prune_events(database, before=9)
    with database.read() as connection:
        assert connection.execute(select(event.c.subject)).scalars().all() == ["1.4"]
