"""A database with the schema, a clock that tests move, and cheap password hashing."""

from collections.abc import Callable, Iterator

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from pacs_gateway.access import Access, AccessConfig, open_access
from pacs_gateway.access.passwords import Passwords
from pacs_gateway.database import Database, DatabaseConfig
from tests.pacs_gateway.access.doubles import MovedClock


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(DatabaseConfig(database_url))
    yield database
    database.close()


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def open_with(database: Database, clock: MovedClock) -> Iterator[Callable[[AccessConfig], Access]]:
    """Open access as often as a test likes, as several processes would."""
    opened: list[Access] = []
    passwords = Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))

    def open_one(config: AccessConfig) -> Access:
        opened.append(open_access(database, config, clock=clock, passwords=passwords))
        return opened[-1]

    yield open_one
    for access in opened:
        access.close()


@pytest.fixture
def access(open_with: Callable[[AccessConfig], Access]) -> Access:
    return open_with(AccessConfig())
