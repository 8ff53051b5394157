"""INSERT ... ON CONFLICT for both databases: how races for the same new row are settled (promises R9)."""

from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table


@cache
def insert_of(dialect: str) -> Any:
    """Return the ``INSERT`` constructor of a dialect."""
    # Only the dialect in use is loaded: either takes a tenth of a second of every process's start.
    return import_module(f"sqlalchemy.dialects.{dialect}").insert


def insert(connection: Connection, table: Table) -> Any:
    """Return the dialect's ``INSERT``, which knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return insert_of(connection.dialect.name)(table)


@cache
def _ignoring(dialect: str, table: Table) -> Any:
    return insert_of(dialect)(table).on_conflict_do_nothing()


def insert_ignoring(connection: Connection, table: Table) -> Any:
    """Return ``INSERT ... ON CONFLICT DO NOTHING``, built once: building it costs more than running it."""
    return _ignoring(connection.dialect.name, table)
