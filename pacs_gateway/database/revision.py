"""Which schema a database has, and which this version needs: a look that every process takes at its start.

Alembic knows both too, but loading it takes a fifth of a second; only migrating needs it.
"""

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from pacs_gateway.database.engine import Database

NEEDED = "0010"
"""The last migration; a test holds it to the migrations' own head."""

_version = Table("alembic_version", MetaData(), Column("version_num", Text))


def revisions(database: Database) -> tuple[str | None, str]:
    """Return the revision the database has (None when it is empty) and the one this version needs."""
    with database.read() as connection:
        return revision_of(connection), NEEDED


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the database, None when it is empty."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()
