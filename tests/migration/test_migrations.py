"""The migrations make the schema that the code describes, on both databases."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import pacs_gateway.database
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from pacs_gateway.database.revision import NEEDED, revisions
from pacs_gateway.database.schema import metadata
from pacs_gateway.domain.names import marks
from pacs_gateway.errors import ConfigurationError

_DEADLINE_S = 90.0
_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :table",
}
_COLLATIONS = {
    "sqlite": "SELECT 'BINARY' WHERE :table = ''",
    "postgresql": "SELECT column_name, collation_name FROM information_schema.columns WHERE table_name = :table",
}
# Tables that the planner has never looked at; SQLite's does not look.
_N_UNKNOWN = {
    "sqlite": "SELECT 0",
    "postgresql": "SELECT count(*) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples < 0",
}

_SCRIPTS = Path(pacs_gateway.database.__file__).parent / "migrations"
_A_STUDY = (
    "INSERT INTO patient (id, identity, patient_id, patient_name) VALUES (1, 'x', 'BN-Đ1', 'Trần^An')",
    "INSERT INTO study (id, study_uid, patient_key, facility, study_date, accession_number, received_at) "
    "VALUES (7, '1.2', 1, 'A', '20260102', 'CT1', 0)",
    "INSERT INTO vocabulary (word) VALUES ('an'), ('tran')",
    "INSERT INTO patient_word (word, study_key, study_date, study_time) "
    "VALUES ('an', 7, '20260102', '08'), ('tran', 7, '20260102', '08')",
)


@pytest.fixture
def database(blank_urls: Iterator[str]) -> Iterator[Database]:
    opened = Database(DatabaseConfig(next(blank_urls)))
    yield opened
    opened.close()


def described(database: Database) -> dict[str, object]:
    """Return every table's columns, keys and indexes, and the text of indexes on expressions."""
    with database.read() as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        return {name: _table(connection, name) for name in sorted(names)}


def _table(connection: Connection, name: str) -> dict[str, object]:
    inspector, dialect = inspect(connection), connection.dialect.name
    columns = [
        (column["name"], str(column["type"]), column["nullable"], str(column["default"]).strip("()'"))
        for column in inspector.get_columns(name)
    ]
    indexes = connection.execute(text(_INDEXES[dialect]), {"table": name})
    return {
        "columns": columns,
        "collations": sorted(map(str, connection.execute(text(_COLLATIONS[dialect]), {"table": name}))),
        "key": inspector.get_pk_constraint(name),
        "foreign": sorted(inspector.get_foreign_keys(name), key=str),
        "unique": sorted(map(str, inspector.get_unique_constraints(name))),
        "indexes": {index: "".join(str(words).split()).replace('"', "") for index, words in indexes},
    }


def test_migrating_makes_the_schema_of_the_code(blank_urls: Iterator[str], database: Database) -> None:
    migrate(database)
    reference = Database(DatabaseConfig(next(blank_urls)))
    with reference.exclusively() as connection:
        metadata.create_all(connection)
    assert described(database) == described(reference)
    reference.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert revisions(database)[0] is None
    assert migrate(database)
    present, needed = revisions(database)
    assert present == needed
    assert not migrate(database)


def test_a_database_plans_by_what_it_holds_from_the_first_search_on(database: Database) -> None:
    migrate(database)
    with database.read() as connection:
        assert connection.execute(text(_N_UNKNOWN[connection.dialect.name])).scalar_one() == 0


def _migrate(url: str, answers: "multiprocessing.Queue[bool]") -> None:
    database = Database(DatabaseConfig(url))
    answers.put(migrate(database))
    database.close()


def test_of_nodes_that_start_together_one_migrates(blank_urls: Iterator[str]) -> None:
    context = multiprocessing.get_context("spawn")
    url, answers = next(blank_urls), context.Queue()
    processes = [context.Process(target=_migrate, args=(url, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sorted(answers.get(timeout=_DEADLINE_S) for _ in processes) == [False, False, True]
    for process in processes:
        process.join(_DEADLINE_S)


def test_what_is_there_is_searched_as_what_comes(database: Database) -> None:
    with database.exclusively() as connection:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        for statement in _A_STUDY:
            connection.execute(text(statement))

    migrate(database)

    with database.read() as connection:
        assert connection.scalar(text("SELECT patient_id_lower FROM patient")) == "bn-đ1"
        assert connection.scalar(text("SELECT accession_number_lower FROM study")) == "ct1"
        words = connection.execute(text("SELECT study_key, word, study_date FROM patient_word ORDER BY word")).all()
        assert words == [(7, "an", "20260102"), (7, "tran", "20260102"), (7, "trần", "20260102")]
        assert connection.scalar(text("SELECT count(*) FROM vocabulary")) == 3
        marked = connection.execute(text("SELECT DISTINCT study_time, marks FROM patient_word")).all()
        assert marked == [("", marks(["an", "tran"]))]
        endings = connection.execute(text("SELECT ending FROM word_ending WHERE word = 'tran' ORDER BY ending"))
        assert endings.scalars().all() == ["an", "n", "ran", "tran"]


def test_an_index_of_a_newer_version_is_refused(database: Database) -> None:
    migrate(database)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    database.transact(lambda connection: connection.execute(newer))
    with pytest.raises(ConfigurationError, match="newer"):
        migrate(database)


def test_the_needed_revision_is_the_last_migration() -> None:
    scripts = ScriptDirectory(str(_SCRIPTS))

    assert scripts.get_current_head() == NEEDED
