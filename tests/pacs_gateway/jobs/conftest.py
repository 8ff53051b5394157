from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.database.engine import Database
from tests.support.gateways import Clock, migrated_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = migrated_database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()
