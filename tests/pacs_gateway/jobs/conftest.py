from collections.abc import Iterator

import pytest

from pacs_gateway.database.engine import Database
from tests.support.gateways import Clock, open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()
