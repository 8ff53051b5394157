"""A gateway of the test's own: one process, SQLite and local disk in a folder, and a clock that tests move."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Connection

from pacs_gateway.config import GatewayConfig, compose, load_settings
from pacs_gateway.database.engine import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from pacs_gateway.domain.clock import to_microseconds
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.index.writer import Stored
from pacs_gateway.jobs.queue import JobQueue
from pacs_gateway.jobs.worker import Worker
from tests.support.builders import part10

ORIGIN = Origin(Method.DIMSE, "LOCAL", "CT1", "127.0.0.1")


class Clock:
    """Stands still until moved, so that what a test sees does not depend on the machine."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def shared(self, _connection: Connection) -> int:
        """Stand in for the clock of the database."""
        return to_microseconds(self._now)

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def gateway_config(folder: Path, **settings: object) -> GatewayConfig:
    """Return the configuration of a gateway in `folder`."""
    return compose(load_settings(flags={"data_dir": folder, **settings}, environment={}).settings)


def sqlite_url(folder: Path) -> str:
    """Return the URL of the index in `folder`, made empty where there is none."""
    path = folder / "index.db"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


def open_database(url: str) -> Database:
    """Return the database at `url`; the caller closes it."""
    return Database(DatabaseConfig(url))


def migrated_database(folder: Path) -> Database:
    """Return the database in `folder`, with the schema; the caller closes it."""
    return open_database(sqlite_url(folder))


@cache
def _migrated() -> bytes:
    """Return an empty index: migrating takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        database = open_database(f"sqlite:///{path}")
        migrate(database)
        database.close()
        return path.read_bytes()


@contextmanager
def open_test_gateway(folder: Path, *, clock: Clock | None = None, **settings: object) -> Iterator[Gateway]:
    """Open a gateway in `folder`, on a database there unless `settings` name a migrated one."""
    config = gateway_config(folder, **{"database_url": sqlite_url(folder), **settings})
    with open_gateway(config, clock=clock or Clock()) as gateway:
        yield gateway


def put(gateway: Gateway, ds: Dataset, syntax: str = ExplicitVRLittleEndian, *, origin: Origin = ORIGIN) -> Stored:
    """Take an object in and wait until queries see it."""
    return put_file(gateway, part10(ds, syntax), origin=origin)


def put_file(gateway: Gateway, file: bytes, *, origin: Origin = ORIGIN) -> Stored:
    """Take a Part 10 file in and wait until queries see it."""
    reception = gateway.archive.ingest.receive_part10(origin)
    try:
        reception.write(file)
        return reception.finish(wait_for_index=True)
    finally:
        reception.discard()


def ship_all(gateway: Gateway) -> int:
    """Ship until nothing is left; return how many."""
    shipper, n_shipped = gateway.archive.shipper(), 0
    while n := shipper.ship():
        n_shipped += n
    return n_shipped


def work_all(gateway: Gateway) -> int:
    """Do the jobs that are due now; return how many."""
    queue = JobQueue(gateway.database, owner="tests", clock=gateway.queue_clock)
    handlers = gateway.archive.handlers() | gateway.archive.prompt_handlers()
    worker, n_done = Worker(queue, handlers), 0
    while worker.run_one():
        n_done += 1
    return n_done
