"""Bringing a database to this version's schema."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from pacs_gateway.database.engine import Database
from pacs_gateway.database.revision import revision_of, revisions
from pacs_gateway.errors import ConfigurationError

_MIGRATIONS = Path(__file__).with_name("migrations")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(database: Database) -> bool:
    """Bring the database to this version's schema; return whether there was anything to do.

    All migrations run in one transaction that no other process's overlaps: a kill leaves the schema as it was, and of
    several nodes that start together one migrates.

    Raises
    ------
    ConfigurationError
        The database was made by a newer version.
    """
    present, needed = revisions(database)
    if present == needed:
        return False
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if present is not None and present not in known:
        raise ConfigurationError("the index was made by a newer version of the gateway; install that version")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with database.exclusively() as connection:
        if revision_of(connection) == needed:  # another process was quicker
            return False
        command.upgrade(_config(connection), "head")
        if connection.dialect.name == "postgresql":
            # It plans by what it knows of the tables, which of new ones is nothing until its own housekeeping comes by:
            # searches that take 0.1 s took more than two until then.
            connection.execute(text("ANALYZE"))
    return True
