from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from pacs_gateway.access.snapshot import Snapshot, count_change
from pacs_gateway.database import DatabaseConfig
from pacs_gateway.errors import UnavailableError
from tests.pacs_gateway.access.doubles import LeavingDatabase, MovedClock


@pytest.fixture
def leaving(database_url: str) -> Iterator[LeavingDatabase]:
    database = LeavingDatabase(DatabaseConfig(database_url))
    yield database
    database.close()


class Counted:
    """Counts how often the table is read."""

    n_loads = 0

    def load(self, connection: Connection) -> int:
        self.n_loads += 1
        return self.n_loads


def test_table_is_read_again_only_after_a_change(leaving: LeavingDatabase, clock: MovedClock) -> None:
    table = Counted()
    snapshot = Snapshot(leaving, counter="t", load=table.load, monotonic=clock.monotonic)
    for _ in range(10):
        assert snapshot.get() == 1
        clock.seconds += 5
    leaving.transact(lambda connection: count_change(connection, "t"))
    assert snapshot.get() == 2
    leaving.transact(lambda connection: count_change(connection, "another"))
    clock.seconds += 5
    assert snapshot.get() == 2


def test_change_counts_after_a_second(leaving: LeavingDatabase, clock: MovedClock) -> None:
    snapshot = Snapshot(leaving, counter="t", load=Counted().load, monotonic=clock.monotonic)
    snapshot.get()
    leaving.transact(lambda connection: count_change(connection, "t"))
    clock.seconds += 0.9
    assert snapshot.get() == 1
    clock.seconds += 0.1
    assert snapshot.get() == 2


def test_table_is_kept_for_a_day_while_the_database_is_away(leaving: LeavingDatabase, clock: MovedClock) -> None:
    snapshot = Snapshot(leaving, counter="t", load=Counted().load, monotonic=clock.monotonic)
    snapshot.get()
    leaving.is_away = True
    clock.seconds += 24 * 3600
    assert snapshot.get() == 1
    clock.seconds += 1
    with pytest.raises(UnavailableError):
        snapshot.get()
    leaving.is_away = False
    clock.seconds += 1
    assert snapshot.get() == 1


def test_nothing_is_known_before_the_first_reading(leaving: LeavingDatabase, clock: MovedClock) -> None:
    leaving.is_away = True
    snapshot = Snapshot(leaving, counter="t", load=Counted().load, monotonic=clock.monotonic)
    with pytest.raises(UnavailableError):
        snapshot.get()
