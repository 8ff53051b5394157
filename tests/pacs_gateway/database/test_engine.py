"""What holds on both databases."""

import multiprocessing
import traceback

import pytest
from sqlalchemy import Connection, insert, literal, select, text, update

from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.engine import RefusedStatementError
from pacs_gateway.database.lowered import lowered
from pacs_gateway.database.schema.access import change_counter
from pacs_gateway.database.schema.archive import patient
from pacs_gateway.errors import ConfigurationError, TooBroadError, UnavailableError


def add(database: Database, value: int) -> None:
    row = insert(change_counter).values(name=f"n{value}", value=value)
    database.transact(lambda connection: connection.execute(row))


def n_rows(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(change_counter)).all())


def test_a_transaction_is_committed_and_rolled_back_on_any_exception(database: Database) -> None:
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


def test_a_read_that_takes_longer_than_it_may_is_ended_and_the_next_is_not(database: Database) -> None:
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last) SELECT max(i) FROM n"
    )

    with pytest.raises(TooBroadError, match="narrow"), database.read(limit_s=0.2) as connection:
        connection.execute(endless, {"last": 1_000_000_000}).all()

    with database.read() as connection:
        assert connection.execute(endless, {"last": 100_000}).scalar_one() == 100_000


def test_readers_that_are_used_up_say_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(DatabaseConfig(database_url, readers=1))
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
    logged = "".join(traceback.format_exception(failure.value))
    assert "BN0001" not in logged
    assert "Nguy" not in logged


def test_lower_case_is_that_of_python_and_like_knows_case(database: Database) -> None:
    words = ["ĐỨC", "NGỰC", "İ", "ß", "ẞ", "ΑΣ", "Ａ", "ǅ", "a"]
    with database.read() as connection:
        for word in words:
            assert connection.execute(select(lowered(literal(word)))).scalar_one() == word.lower()
        assert not connection.execute(text("SELECT 'a' LIKE 'A'")).scalar_one()


def test_text_is_ordered_and_compared_by_code_point(database: Database) -> None:
    words = ["", " ", "-", "0", "10", "9", "A", "B", "Z", "\\", "_", "a", "b", "~", "Á", "á", "Đ", "đ", "ạ", "山", "😀"]
    rows = [{"name": word, "value": n} for n, word in enumerate(reversed(words))]
    database.transact(lambda connection: connection.execute(insert(change_counter), rows))
    name = change_counter.c.name
    with database.read() as connection:
        assert connection.execute(select(name).order_by(name)).scalars().all() == sorted(words)
        middle = connection.execute(select(name).where(name >= "Z", name <= "Á").order_by(name)).scalars().all()
    assert middle == [word for word in sorted(words) if "Z" <= word <= "Á"]


def _count_up(url: str, n: int) -> None:
    database = Database(DatabaseConfig(url))
    counted = update(change_counter).values(value=change_counter.c.value + 1)
    for _ in range(n):
        database.transact(lambda connection: connection.execute(counted))
    database.close()


def test_processes_write_one_after_the_other(database_url: str, database: Database) -> None:
    add(database, 0)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(database_url, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    _count_up(database_url, 25)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with database.read() as connection:
        assert connection.execute(select(change_counter.c.value)).scalar_one() == 100


def test_a_sound_database_says_so(database: Database) -> None:
    assert database.is_intact()


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
