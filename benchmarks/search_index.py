"""Indexes to be searched: very many studies of a province, on either database, kept in the cache from run to run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.synthetic_index import (
    EDITION,
    PROVINCE,
    PROVINCIAL_FACILITIES,
    Study,
    copy_index,
    make_studies,
    write_index,
)
from pacs_gateway.database.engine import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from tests.support.postgresql import PostgresqlServer

_NAME = "province"


def studies(n_studies: int) -> Iterator[Study]:
    """Yield the studies that the index holds."""
    return islice(make_studies(PROVINCE, facilities=PROVINCIAL_FACILITIES), n_studies)


def sqlite_index(cache: Path, n_studies: int) -> Path:
    """Return a SQLite index of so many studies, written now unless the cache has it."""
    folder = cache / f"search-sqlite-{n_studies}-{EDITION}"
    index = folder / "index.db"
    if not index.exists():
        shutil.rmtree(folder, ignore_errors=True)
        unfinished = folder / "unfinished.db"
        _write(f"sqlite:///{unfinished}", n_studies)
        unfinished.rename(index)
    with _migrated(f"sqlite:///{index}"):  # by a version before this one, it may be
        return index


@contextmanager
def postgresql_index(cache: Path, n_studies: int) -> Iterator[str]:
    """Run a server with an index of so many studies, written now unless the cache has it; yield its URL."""
    folder = cache / f"search-postgresql-{n_studies}-{EDITION}"
    is_finished = folder / "finished"
    if not is_finished.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    server = PostgresqlServer(folder)
    server.start()
    try:
        if not is_finished.exists():
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(_NAME)))
            _copy(sqlite_index(cache, n_studies), server.url(_NAME))
            with psycopg.connect(server.url(_NAME), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # as its own housekeeping does sooner or later
            is_finished.touch()
        with _migrated(server.url(_NAME)):
            pass
        yield server.url(_NAME)
    finally:
        server.stop()


def _write(url: str, n_studies: int) -> None:
    with _migrated(url) as database:
        write_index(database, studies(n_studies), with_images=False)


def _copy(source: Path, url: str) -> None:
    with _migrated(url) as database:
        copy_index(source, database)


@contextmanager
def _migrated(url: str) -> Iterator[Database]:
    database = Database(DatabaseConfig(url))
    try:
        migrate(database)
        yield database
    finally:
        database.close()
