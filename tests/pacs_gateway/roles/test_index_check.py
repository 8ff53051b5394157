"""The index is looked at after a stop that was none, and only then."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pacs_gateway.database.engine import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from pacs_gateway.roles.index_check import index_check
from tests.support.waiting import wait_until

_DEADLINE_S = 30.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(DatabaseConfig(f"sqlite:///{tmp_path}/index.db"))) as opened:
        migrate(opened)
        yield opened


def killed(database: Database, folder: Path) -> None:
    """Begin to work, and do not come to the end."""
    index_check(database, folder).__enter__()


def test_after_an_orderly_end_nothing_is_checked(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        with index_check(database, tmp_path):
            pass
    assert caplog.messages == []


def test_after_a_kill_the_index_is_checked_once(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    killed(database, tmp_path)
    with index_check(database, tmp_path):
        wait_until(lambda: "the index is intact" in caplog.messages, _DEADLINE_S, "the check")
    caplog.clear()
    with index_check(database, tmp_path):
        pass
    assert caplog.messages == []


def test_damage_is_said_at_every_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = 4096
    config = DatabaseConfig(f"sqlite:///{tmp_path}/index.db")
    with closing(Database(config)) as database:
        migrate(database)
        killed(database, tmp_path)
    with (tmp_path / "index.db").open("r+b") as file:
        file.seek(3 * page)
        file.write(b"\xff" * 8 * page)
    for _ in range(2):
        caplog.clear()
        with closing(Database(config)) as damaged, index_check(damaged, tmp_path):
            wait_until(lambda: any("damaged" in message for message in caplog.messages), _DEADLINE_S, "the check")
