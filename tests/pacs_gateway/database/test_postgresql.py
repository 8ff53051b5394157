import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic

import pytest
from psycopg import sql
from sqlalchemy import Connection, insert, select, text, update

from pacs_gateway.access import AccessConfig, Role, open_access
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.schema.access import change_counter
from pacs_gateway.errors import CapacityError, ConfigurationError, ConflictError, UnavailableError
from pacs_gateway.index.rows import Outcome
from tests.pacs_gateway.access.doubles import OPERATOR
from tests.pacs_gateway.index.records import arrival, record, write_arrivals
from tests.support.cutting_proxy import cutting_proxy
from tests.support.gateways import open_database
from tests.support.postgresql import PostgresqlServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("postgresql")
DEADLINE_S = 30.0


@pytest.fixture
def url(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.lent_database() as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()


def count(database: Database, by: int = 1) -> None:
    counted = update(change_counter).values(value=change_counter.c.value + by)
    database.transact(lambda connection: connection.execute(counted))


def value(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(change_counter.c.value)).scalar_one())


@contextmanager
def setting(server: PostgresqlServer, url: str, name: str, state: str) -> Iterator[None]:
    """Run the server with another setting until the end of the block."""

    def change(statement: str, expected: str) -> None:
        server.execute(sql.SQL(statement))
        server.execute(sql.SQL("SELECT pg_reload_conf()"))
        wait_until(lambda: server.shows(name) == expected, DEADLINE_S, "the setting to be read")

    change(f"ALTER SYSTEM SET {name} = {state}", state)
    try:
        yield
    finally:
        change(f"ALTER SYSTEM RESET {name}", "on")


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_loses_what_it_committed_is_refused(
    postgresql: PostgresqlServer, url: str, database: Database, name: str
) -> None:
    with setting(postgresql, url, name, "off"):
        with pytest.raises(ConfigurationError, match=f"{name}=off"):
            count(database)
        with pytest.raises(ConfigurationError, match=name), database.read():
            pass


def test_a_server_that_answers_before_its_disk_is_warned_of(
    postgresql: PostgresqlServer, url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with setting(postgresql, url, "synchronous_commit", "off"), caplog.at_level(logging.WARNING):
        count(database)
        count(database)
    assert [r.getMessage() for r in caplog.records] == ["PostgreSQL runs with synchronous_commit=off: set it on"]


def test_connections_have_time_limits_and_migrations_none(database: Database) -> None:
    def limits(connection: Connection) -> list[str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        return [str(connection.execute(text(f"SHOW {name}")).scalar_one()) for name in names]

    with database.read() as connection:
        assert limits(connection) == ["5s", "3s", "30s"]
    assert database.transact(limits) == ["5s", "3s", "30s"]
    with database.exclusively() as connection:
        assert limits(connection) == ["0", "0", "0"]


@pytest.mark.parametrize(
    ("sqlstate", "error", "n_tries"),
    [
        ("40001", UnavailableError, 6),
        ("40P01", UnavailableError, 6),
        ("53300", UnavailableError, 6),
        ("53100", CapacityError, 1),
        ("57014", UnavailableError, 1),
        ("55P03", UnavailableError, 1),
        ("25006", UnavailableError, 1),
    ],
)
def test_errors_are_told_by_what_the_caller_can_do(
    database: Database, sqlstate: str, error: type[Exception], n_tries: int
) -> None:
    tries = []

    def fail(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text(f"DO $$ BEGIN RAISE 'canary' USING ERRCODE = '{sqlstate}'; END $$"))

    with pytest.raises(error) as failure:
        database.transact(fail)
    assert "canary" not in str(failure.value)
    assert len(tries) == n_tries


def test_deadlocked_transactions_both_end_well(database: Database) -> None:
    rows = [{"name": "a", "value": 0}, {"name": "b", "value": 0}]
    database.transact(lambda connection: connection.execute(insert(change_counter), rows))
    meeting = threading.Barrier(2)

    def both(first: str, second: str) -> None:
        is_first_try = True

        def work(connection: Connection) -> None:
            nonlocal is_first_try
            for name in (first, second):
                same = change_counter.c.name == name
                connection.execute(update(change_counter).where(same).values(value=change_counter.c.value + 1))
                if is_first_try:
                    is_first_try = False
                    meeting.wait(DEADLINE_S)

        database.transact(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(both, "ab", "ba"))
    with database.read() as connection:
        assert connection.execute(select(change_counter.c.value)).scalars().all() == [2, 2]


def test_two_who_look_before_they_insert_are_told_apart(database: Database) -> None:
    access = open_access(database, AccessConfig())
    meeting = threading.Barrier(4)

    def create(_: int) -> bool:
        meeting.wait(DEADLINE_S)
        try:
            access.accounts.create("hoa", role=Role.READER, facility="HUE", by=OPERATOR)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [False, False, False, True]
    access.close()


def test_a_lost_connection_is_replaced_and_the_work_done_again(database: Database) -> None:
    database.transact(lambda connection: connection.execute(insert(change_counter).values(name="n", value=0)))
    losses = iter([True, True, False])

    def work(connection: Connection) -> None:
        connection.execute(update(change_counter).values(value=change_counter.c.value + 1))
        if next(losses):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    database.transact(work)
    assert value(database) == 1


@pytest.mark.parametrize("n_cuts", [1, 3])
def test_a_commit_that_nobody_could_confirm_is_recognised(postgresql: PostgresqlServer, url: str, n_cuts: int) -> None:
    arrivals = [arrival(record(instance=n)) for n in range(1, 4)]
    with cutting_proxy(postgresql.port, n_cuts=n_cuts) as proxy:
        database = open_database(url.replace(f":{postgresql.port}/", f":{proxy.port}/"))
        result = write_arrivals(database, arrivals)
        assert set(result.outcomes) == {Outcome.DUPLICATE}
        assert result.superfluous == ()
        proxy.n_cuts = n_cuts
        access = open_access(database, AccessConfig())
        made = access.accounts.create("hoa", role=Role.ADMINISTRATOR, facility="HUE", by=OPERATOR)
        assert made.one_time_password is not None
        proxy.n_cuts = n_cuts
        value = access.tokens.add("t", account_name="hoa", by=OPERATOR)
        proxy.n_cuts = n_cuts
        cookie = access.sessions.create(made.account)
        assert access.tokens.resolve(value) == access.sessions.resolve(cookie) == made.account
        access.close()
        database.close()


def test_restarts_are_not_noticed(postgresql: PostgresqlServer, url: str, database: Database) -> None:
    database.transact(lambda connection: connection.execute(insert(change_counter).values(name="n", value=0)))
    for n in range(4):
        count(database)
        assert value(database) == n + 1
        postgresql.restart(immediately=n % 2 == 1)
    n_counted = value(database)
    restarting = threading.Thread(target=postgresql.restart)
    restarting.start()
    is_over = False
    while not is_over:
        is_over = not restarting.is_alive()
        count(database)
        n_counted += 1
    restarting.join()
    assert value(database) >= n_counted  # a commit that nobody could confirm is counted twice by this work


def test_a_server_that_is_away_costs_one_wait_and_is_found_again(
    postgresql: PostgresqlServer, url: str, database: Database
) -> None:
    def is_refused(work: Callable[[], object]) -> bool:
        try:
            work()
        except UnavailableError:
            return True
        return False

    database.transact(lambda connection: connection.execute(insert(change_counter).values(name="n", value=0)))
    postgresql.stop()
    try:
        assert is_refused(lambda: value(database))
        start = monotonic()
        assert all(is_refused(lambda: value(database)) for _ in range(20))
        assert monotonic() - start < DEADLINE_S
    finally:
        postgresql.start()
    count(database)
    assert value(database) == 1


def test_a_parameter_that_libpq_does_not_know_is_said() -> None:
    with pytest.raises(ConfigurationError, match="parameter") as refusal:
        Database(DatabaseConfig("postgresql://gateway:secret@127.0.0.1/index?sslmod=require"))
    assert "secret" not in str(refusal.value)


def test_a_database_of_another_encoding_is_refused(postgresql: PostgresqlServer) -> None:
    postgresql.execute(sql.SQL("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"))
    database = Database(DatabaseConfig(postgresql.url("latin")))
    with pytest.raises(ConfigurationError, match="UTF8"), database.read():
        pass
    database.close()
