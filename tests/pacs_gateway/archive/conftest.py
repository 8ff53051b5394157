from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.gateway import Gateway
from tests.support.gateways import Clock, open_test_gateway


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[Gateway]:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url) as opened:
        yield opened
