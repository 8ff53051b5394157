from datetime import timedelta

import pytest
from sqlalchemy import select

from pacs_gateway.access import Access, Account, Role
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import session
from tests.pacs_gateway.access.doubles import OPERATOR, MovedClock, trail


@pytest.fixture
def owner(access: Access) -> Account:
    return access.accounts.create("hoa", role=Role.READER, facility="LOCAL", by=OPERATOR).account


def test_cookie_finds_its_account_and_is_not_kept(access: Access, database: Database, owner: Account) -> None:
    cookie = access.sessions.create(owner)
    assert access.sessions.resolve(cookie) == owner
    with database.read() as connection:
        assert cookie not in str(connection.execute(select(session)).all())


@pytest.mark.parametrize("value", ["", "x", "x" * 43, "x" * 1_000_000, "\ud800" * 43, "é" * 43, "\x00" * 43])
def test_values_that_are_no_session_find_nobody(access: Access, owner: Account, value: str) -> None:
    access.sessions.create(owner)
    assert access.sessions.resolve(value) is None
    access.sessions.revoke(value, address="192.0.2.7")


def test_session_ends_after_a_quarter_of_an_hour_without_use(access: Access, owner: Account, clock: MovedClock) -> None:
    cookie = access.sessions.create(owner)
    for _ in range(5):
        clock.move(timedelta(minutes=14))
        assert access.sessions.resolve(cookie)
    clock.move(timedelta(minutes=15))
    assert access.sessions.resolve(cookie) is None


def test_session_in_use_ends_after_twelve_hours(access: Access, owner: Account, clock: MovedClock) -> None:
    cookie = access.sessions.create(owner)
    for _ in range(71):
        clock.move(timedelta(minutes=10))
        assert access.sessions.resolve(cookie)
    clock.move(timedelta(minutes=10))
    assert access.sessions.resolve(cookie) is None


def test_use_is_written_once_a_minute_at_most(
    access: Access, database: Database, owner: Account, clock: MovedClock
) -> None:
    def used_at() -> int | None:
        with database.read() as connection:
            return connection.scalar(select(session.c.used_at))

    cookie = access.sessions.create(owner)
    opened = used_at()
    clock.move(timedelta(seconds=59))
    access.sessions.resolve(cookie)
    assert used_at() == opened
    clock.move(timedelta(seconds=1))
    access.sessions.resolve(cookie)
    assert used_at() != opened


def test_logging_out_ends_the_session_and_only_this_one(access: Access, database: Database, owner: Account) -> None:
    here, there = access.sessions.create(owner), access.sessions.create(owner)
    access.sessions.revoke(here, address="192.0.2.7")
    assert access.sessions.resolve(here) is None
    assert access.sessions.resolve(there) == owner
    assert trail(database)[-1] == ("hoa", "192.0.2.7", "logout", "hoa", "success")


def test_ended_sessions_are_cleared_away(access: Access, database: Database, owner: Account, clock: MovedClock) -> None:
    for _ in range(3):
        access.sessions.create(owner)
    clock.move(timedelta(hours=12))
    access.sessions.create(owner)
    with database.read() as connection:
        assert len(connection.execute(select(session)).all()) == 1
