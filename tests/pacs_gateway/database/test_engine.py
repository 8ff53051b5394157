import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text, update

from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database import sqlite as sqlite_module
from pacs_gateway.database.engine import RefusedStatementError
from pacs_gateway.database.schema.access import change_counter
from pacs_gateway.database.schema.archive import patient
from pacs_gateway.errors import ConfigurationError, UnavailableError
from tests.support.gateways import migrated_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = migrated_database(tmp_path)
    yield opened
    opened.close()


def add(database: Database, value: int) -> None:
    row = insert(change_counter).values(name=f"n{value}", value=value)
    database.transact(lambda connection: connection.execute(row))


def n_rows(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(change_counter)).all())


def test_a_write_commits_at_its_end_and_rolls_back_on_any_exception(database: Database) -> None:
    add(database, 1)

    def fail(connection: Connection) -> None:
        connection.execute(insert(change_counter).values(name="lost", value=2))
        raise KeyError

    with pytest.raises(KeyError):
        database.transact(fail)
    assert n_rows(database) == 1


def test_readers_cannot_write_and_see_one_moment(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(select(change_counter)).all() == []
        add(database, 1)
        assert connection.execute(select(change_counter)).all() == []
    with pytest.raises(UnavailableError), database.read() as connection:
        connection.execute(insert(change_counter).values(name="x", value=1))
    assert n_rows(database) == 1


def test_readers_that_are_used_up_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(DatabaseConfig(f"sqlite:///{tmp_path}/index.db", readers=1))
    monkeypatch.setattr(database._backend.readers.pool, "_timeout", 0.01)

    def read() -> None:
        with database.read() as connection:
            connection.execute(text("SELECT 1"))

    with database.read() as one, database.read() as other:
        one.execute(text("SELECT 1"))
        other.execute(text("SELECT 1"))
        with pytest.raises(UnavailableError, match="in use"):
            read()
    database.close()


def test_errors_of_statements_hold_no_patient_data(database: Database) -> None:
    row = {"identity": "BN0001", "patient_name": "Nguyễn^Văn^Đức"}
    with pytest.raises(RefusedStatementError) as failure:
        database.transact(lambda connection: connection.execute(insert(patient), [row, row]))
    assert "patient" in str(failure.value)
    assert failure.value.__cause__ is None
    assert "Nguy" not in str(failure.value)
    assert "BN0001" not in str(failure.value)


def test_lower_knows_vietnamese_letters_and_like_knows_case(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("SELECT lower('ĐỨC'), 'a' LIKE 'A'")).one() == ("đức", 0)


def _count_up(url: str, n: int) -> None:
    database = Database(DatabaseConfig(url))
    counted = update(change_counter).values(value=change_counter.c.value + 1)
    for _ in range(n):
        database.transact(lambda connection: connection.execute(counted))
    database.close()


def test_processes_write_one_after_the_other(tmp_path: Path, database: Database) -> None:
    add(database, 0)
    context = multiprocessing.get_context("spawn")
    url = f"sqlite:///{tmp_path}/index.db"
    processes = [context.Process(target=_count_up, args=(url, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    _count_up(url, 25)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with database.read() as connection:
        assert connection.execute(select(change_counter.c.value)).scalar_one() == 100


@pytest.mark.parametrize(
    "url",
    [
        "",
        "index.db",
        "mysql://user:secret@host/db",
        "postgresql+asyncpg://user:secret@host/db",
        "postgresql://user:secret@host",
        "sqlite://",
        "sqlite:///:memory:",
        "://secret@x",
        "nosuch://x",
    ],
)
def test_other_urls_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Database(DatabaseConfig(url))
    assert "secret" not in str(refusal.value)


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=re.escape(str(tmp_path))):
        Database(DatabaseConfig(f"sqlite:///{tmp_path}/file/index.db"))


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {line.split(" ")[2] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()}
    monkeypatch.setattr(sqlite_module, "_NETWORK_FILESYSTEMS", frozenset(kinds))
    with pytest.raises(ConfigurationError, match="local disk"):
        Database(DatabaseConfig(f"sqlite:///{tmp_path}/index.db"))
