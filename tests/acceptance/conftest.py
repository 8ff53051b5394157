"""One running gateway for the tests that only add to it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.combinations import Combination
from tests.support.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="session")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that lets every device of this machine in, on SQLite and disk unless a module asks for others."""
    combination: Combination = getattr(request, "param", Combination())
    folder = tmp_path_factory.mktemp("gateway")
    with combination.settings(folder / "store") as settings, running_gateway(folder, settings) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """The administrator, by token."""
    with gateway.client() as client:
        yield client
