import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, func, select

from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.errors import UnavailableError
from pacs_gateway.index.rows import BatchResult, Outcome
from pacs_gateway.index.writer import BatchHooks, IndexWriter, WriterConfig
from tests.pacs_gateway.index.records import NODE, record
from tests.support.waiting import wait_until

DEADLINE_S = 20.0


class Hooks:
    """Records what each batch did; ``fails`` raises inside the transaction, ``breaks_dropping`` behind it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.dropped: list[str] = []
        self.fails: Exception | None = None
        self.breaks_dropping = False
        self.poison = ""
        self.hold = threading.Event()
        self.hold.set()

    def in_transaction(self, connection: Connection, result: BatchResult) -> None:
        self.hold.wait(DEADLINE_S)
        if self.fails is not None:
            raise self.fails
        if self.poison:
            held = select(func.count()).where(instance.c.sop_uid == self.poison)
            if connection.execute(held).scalar_one():
                raise ValueError("poison")
        self.batches.append(len(result.outcomes))

    def superfluous(self, entries: list[str]) -> None:
        if self.breaks_dropping:
            raise PermissionError("spool")
        self.dropped += entries


@contextmanager
def opened(database: Database, hooks: Hooks, config: WriterConfig | None = None) -> Iterator[IndexWriter]:
    writer = IndexWriter(database, BatchHooks(hooks.in_transaction, hooks.superfluous), config, node=NODE)
    try:
        yield writer
    finally:
        hooks.hold.set()
        writer.close()


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


def n_rows(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(instance)).scalar_one())


def test_what_arrives_together_is_committed_together(database: Database, hooks: Hooks) -> None:
    with opened(database, hooks, WriterConfig(max_batch=10, gather_s=30)) as writer:
        futures = [writer.submit(record(instance=n), f"p/{n}.dcm") for n in range(1, 21)]
        assert {future.result(DEADLINE_S) for future in futures} == {Outcome.STORED}
        assert hooks.batches == [10, 10]


def test_somebody_who_waits_is_not_kept_for_company(database: Database, hooks: Hooks) -> None:
    with opened(database, hooks, WriterConfig(gather_s=30)) as writer:
        patient = writer.submit(record(instance=1), "p/1.dcm")
        urgent = writer.submit(record(instance=2), "p/2.dcm", urgent=True)
        assert urgent.result(DEADLINE_S) is patient.result(DEADLINE_S) is Outcome.STORED


def test_duplicates_free_their_spool_entry(database: Database, hooks: Hooks) -> None:
    with opened(database, hooks) as writer:
        writer.submit(record(), "p/1.dcm", urgent=True).result(DEADLINE_S)
        assert writer.submit(record(), "p/2.dcm", urgent=True).result(DEADLINE_S) is Outcome.DUPLICATE
    assert hooks.dropped == ["p/2.dcm"]


def test_a_spool_that_cannot_drop_undoes_nothing(database: Database, hooks: Hooks) -> None:
    hooks.breaks_dropping = True
    with opened(database, hooks) as writer:
        writer.submit(record(), "p/1.dcm", urgent=True).result(DEADLINE_S)
        hooks.hold.clear()
        futures = [writer.submit(record(), "p/2.dcm"), writer.submit(record(instance=2), "p/3.dcm")]
        hooks.hold.set()
        assert [future.result(DEADLINE_S) for future in futures] == [Outcome.DUPLICATE, Outcome.STORED]
        hooks.breaks_dropping = False
        assert writer.submit(record(instance=3), "p/4.dcm", urgent=True).result(DEADLINE_S) is Outcome.STORED
    assert hooks.dropped == []
    assert writer.unindexed == []


def test_one_poisonous_instance_does_not_take_its_batch_along(database: Database, hooks: Hooks) -> None:
    hooks.poison = record(instance=2).sop_instance_uid
    with opened(database, hooks, WriterConfig(max_batch=3, gather_s=30)) as writer:
        futures = [writer.submit(record(instance=n), f"p/{n}.dcm") for n in (1, 2, 3)]
        assert [futures[n].result(DEADLINE_S) for n in (0, 2)] == [Outcome.STORED, Outcome.STORED]
        assert isinstance(futures[1].exception(DEADLINE_S), UnavailableError)
        assert writer.unindexed == ["p/2.dcm"]
    assert n_rows(database) == 2


def test_an_index_that_is_away_is_tried_again(database: Database, hooks: Hooks) -> None:
    hooks.fails = UnavailableError("away")
    with opened(database, hooks) as writer:
        future = writer.submit(record(), "p/1.dcm", urgent=True)
        wait_until(lambda: writer.backlog == 1, DEADLINE_S, "the batch goes back into the queue")
        assert not future.done()
        hooks.fails = None
        assert future.result(DEADLINE_S) is Outcome.STORED
    assert n_rows(database) == 1


def test_close_commits_what_waits(database: Database, hooks: Hooks) -> None:
    with opened(database, hooks, WriterConfig(gather_s=30)) as writer:
        futures = [writer.submit(record(instance=n), f"p/{n}.dcm") for n in range(1, 6)]
    assert [future.result(0) for future in futures] == [Outcome.STORED] * 5


def test_close_tells_those_whose_instances_stay_in_the_spool(database: Database, hooks: Hooks) -> None:
    hooks.fails = UnavailableError("away")
    with opened(database, hooks) as writer:
        futures = [writer.submit(record(instance=n), f"p/{n}.dcm") for n in (1, 2)]
    assert all(isinstance(future.exception(0), UnavailableError) for future in futures)
    assert n_rows(database) == 0
