import os
import pwd
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from pacs_gateway.access import Access, Actor, Outcome
from pacs_gateway.access.audit import Seldom, printable
from pacs_gateway.database import Database
from tests.pacs_gateway.access.doubles import MovedClock, trail


def test_record_is_kept_exactly_when_its_transaction_is(access: Access, database: Database) -> None:
    def record(connection: Connection, subject: str) -> None:
        access.audit.record(
            connection, actor="hoa", address="", action="read", subject=subject, outcome=Outcome.SUCCESS
        )

    def fail(connection: Connection) -> None:
        record(connection, "lost")
        raise ZeroDivisionError

    database.transact(lambda connection: record(connection, "kept"))
    with pytest.raises(ZeroDivisionError):
        database.transact(fail)
    assert trail(database) == [("hoa", "", "read", "kept", "success")]


def test_texts_cannot_forge_lines() -> None:
    assert printable("a\r\nb\x1b\u2028\ud800") == "a??b???"
    assert printable("Đức") == "Đức"
    assert len(printable("x" * 10_000)) == 256


def test_seldom_says_yes_once_per_key_and_window(clock: MovedClock) -> None:
    seldom = Seldom(clock=clock)
    assert [seldom.is_due(key) for key in "aab"] == [True, False, True]
    clock.move(timedelta(minutes=5))
    assert seldom.is_due("a")
    assert sum(seldom.is_due(n) for n in range(1000)) == 99
    clock.move(timedelta(days=-1))  # a clock set back must not silence the trail for a day
    assert seldom.is_due("a")


def test_actor_of_a_command_line_is_the_user_who_runs_it() -> None:
    assert Actor.from_operating_system().name == f"os:{pwd.getpwuid(os.getuid()).pw_name}"
