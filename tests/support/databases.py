"""Fixtures of both databases: what takes an index runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.support.gateways import sqlite_url
from tests.support.postgresql import PostgresqlServer, running_postgresql

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """One server for all tests of a process."""
    with running_postgresql() as server:
        yield server


@contextmanager
def _empty_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(folder)
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    with server.lent_database() as url:
        yield url


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty index, on each of the databases."""
    with _empty_database(request, tmp_path) as url:
        yield url


@pytest.fixture(params=BOTH, scope="module")
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index for the tests of a module to share, on each of the databases."""
    with _empty_database(request, tmp_path_factory.mktemp("index")) as url:
        yield url


@pytest.fixture(params=BOTH)
def blank_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URLs of databases without a schema, as many as a test takes, on each of the databases."""
    if request.param == "sqlite":
        return (f"sqlite:///{tmp_path}/blank-{n}.db" for n in count(1))
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return (server.new_database(is_migrated=False) for _ in count(1))
