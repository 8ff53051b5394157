import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from pacs_gateway.access.audit import Audit
from pacs_gateway.access.rejections import MAX_CALLERS, MAX_PER_ADDRESS, Rejections
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.errors import CapacityError
from tests.pacs_gateway.access.doubles import MovedClock, trail

T = TypeVar("T")

NEVER_S = 3600.0


class CountingDatabase(Database):
    """Counts transactions; full when told so."""

    n_writes = 0
    is_full = False

    def transact(self, work: Callable[[Connection], T]) -> T:
        if self.is_full:
            raise CapacityError("the index has no space left")
        self.n_writes += 1
        return super().transact(work)


@pytest.fixture
def counting(database_url: str) -> Iterator[CountingDatabase]:
    counting = CountingDatabase(DatabaseConfig(database_url))
    yield counting
    counting.close()


@pytest.fixture
def rejections(counting: CountingDatabase, clock: MovedClock) -> Iterator[Rejections]:
    rejections = Rejections(counting, Audit(clock=clock), clock=clock, flush_s=NEVER_S)
    yield rejections
    rejections.close()


def reject(rejections: Rejections, n: int = 0, address: str = "192.0.2.1") -> None:
    rejections.record(calling=f"CT{n}", called="PACSGW", address=address, reason="unknown")


def test_the_same_caller_is_one_row(rejections: Rejections, counting: CountingDatabase, clock: MovedClock) -> None:
    first = clock.now
    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: reject(rejections), range(500)))
        rejections.flush()
        clock.move(timedelta(seconds=10))
    (row,) = rejections.list()
    assert (row.n_rejected, row.first_at, row.last_at) == (1000, first, first + timedelta(seconds=10))
    assert counting.n_writes == 2


def test_a_flood_of_titles_from_one_address_does_not_push_out_the_others(
    rejections: Rejections, clock: MovedClock
) -> None:
    reject(rejections, address="192.0.2.9")
    for n in range(5000):
        reject(rejections, n)
        if n % 500 == 0:
            rejections.flush()
            clock.move(timedelta(seconds=1))
    rejections.flush()
    rows = rejections.list()
    assert len([row for row in rows if row.address == "192.0.2.1"]) <= MAX_PER_ADDRESS
    assert len([row for row in rows if row.address == "192.0.2.9"]) == 1


def test_a_flood_from_many_addresses_stays_bounded_and_keeps_the_newest(
    rejections: Rejections, counting: CountingDatabase, clock: MovedClock
) -> None:
    for start in range(0, 3 * MAX_CALLERS, MAX_CALLERS // 2):
        for n in range(start, start + MAX_CALLERS // 2):
            reject(rejections, n, f"10.0.{n // 256}.{n % 256}")
        rejections.flush()
        clock.move(timedelta(seconds=1))
    rows = rejections.list()
    assert len(rows) == MAX_CALLERS
    assert rows[-1].last_at == clock.now - timedelta(seconds=2)
    assert len([row for row in trail(counting) if row[2] == "device-rejected"]) == 100


def test_recording_does_not_write_and_a_thread_does_within_the_second(
    counting: CountingDatabase, clock: MovedClock
) -> None:
    interval_s = 0.2
    rejections = Rejections(counting, Audit(clock=clock), clock=clock, flush_s=interval_s)
    since = time.monotonic()
    for n in range(2000):
        reject(rejections, n % 10)
    while sum(row.n_rejected for row in rejections.list()) < 2000:
        assert time.monotonic() - since < 10
        time.sleep(0.02)
    assert counting.n_writes <= (time.monotonic() - since) / interval_s + 1
    rejections.close()


def test_counts_survive_a_full_database(rejections: Rejections, counting: CountingDatabase) -> None:
    reject(rejections)
    counting.is_full = True
    with pytest.raises(CapacityError):
        rejections.flush()
    reject(rejections)
    counting.is_full = False
    rejections.flush()
    assert [row.n_rejected for row in rejections.list()] == [2]


def test_hostile_texts_are_kept_short_and_printable(rejections: Rejections, counting: CountingDatabase) -> None:
    rejections.record(
        calling="\x1b[31mROOT\r\n" + "A" * 1_000_000, called="\ud800\0", address="192.0.2.1", reason="no\r\nway"
    )
    rejections.flush()
    (row,) = rejections.list()
    assert row.calling == "?[31mROOT??AAAAA"
    assert (row.called, row.reason) == ("??", "no??way")
    assert trail(counting) == [("?[31mROOT??AAAAA", "192.0.2.1", "device-rejected", "??: no??way", "failure")]


def test_closing_ends_its_thread_and_writes_the_rest(counting: CountingDatabase, clock: MovedClock) -> None:
    rejections = Rejections(counting, Audit(clock=clock), clock=clock, flush_s=NEVER_S)
    before = threading.active_count()
    reject(rejections)
    assert threading.active_count() == before + 1
    rejections.close()
    assert threading.active_count() == before
    assert len(rejections.list()) == 1
