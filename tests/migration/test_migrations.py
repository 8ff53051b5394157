"""The migrations make the schema that the code describes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import pacs_gateway.database
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from pacs_gateway.database.revision import NEEDED, revisions
from pacs_gateway.database.schema import metadata
from pacs_gateway.errors import ConfigurationError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(DatabaseConfig(f"sqlite:///{tmp_path}/index.db"))
    yield opened
    opened.close()


def described(database: Database) -> dict[str, object]:
    """Return every table's columns, keys and indexes, and the text of indexes on expressions."""
    tables: dict[str, object] = {}
    with database.read() as connection:
        inspector = inspect(connection)
        for name in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
            columns = [
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]).strip("()'"))
                for column in inspector.get_columns(name)
            ]
            indexes = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name"), {"name": name}
            )
            tables[name] = {
                "columns": columns,
                "key": inspector.get_pk_constraint(name),
                "foreign": sorted(inspector.get_foreign_keys(name), key=str),
                "unique": sorted(map(str, inspector.get_unique_constraints(name))),
                "indexes": {row.name: "".join(str(row.sql).split()).replace('"', "") for row in indexes if row.sql},
            }
    return tables


def test_migrating_makes_the_schema_of_the_code(tmp_path: Path, database: Database) -> None:
    migrate(database)
    reference = Database(DatabaseConfig(f"sqlite:///{tmp_path}/reference.db"))
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


def test_an_index_of_a_newer_version_is_refused(database: Database) -> None:
    migrate(database)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    database.transact(lambda connection: connection.execute(newer))
    with pytest.raises(ConfigurationError, match="newer"):
        migrate(database)


def test_the_needed_revision_is_the_last_migration() -> None:
    scripts = ScriptDirectory(str(Path(pacs_gateway.database.__file__).parent / "migrations"))

    assert scripts.get_current_head() == NEEDED
