"""One running gateway for the tests that only add to it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that lets every device of this machine in."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """The administrator, by token."""
    with gateway.client() as client:
        yield client
