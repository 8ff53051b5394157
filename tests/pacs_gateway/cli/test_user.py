from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.cli.user import app
from pacs_gateway.errors import ConflictError, NotFoundError
from tests.pacs_gateway.cli.console import Console, opened_console


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    with opened_console("pacs_gateway.cli.user", app, tmp_path, monkeypatch) as console:
        yield console


@pytest.mark.parametrize("command", ["add", "list", "show", "password", "remove"])
def test_every_command_has_help_with_an_example(console: Console, command: str) -> None:
    assert f"Example: pacs-gateway user {command}" in " ".join(console.type(command, "--help").split())


def one_time_password(console: Console, *words: str) -> str:
    facts = console.facts(*words)
    assert isinstance(facts, dict)
    assert facts["must_change_password"] is True
    return str(facts["one_time_password"])


def test_added_user_logs_in_with_the_printed_password(console: Console) -> None:
    password = one_time_password(console, "add", "Hoa")
    account = console.access.accounts.authenticate("hoa", password, address="192.0.2.1")
    assert (account.role, account.facility) == ("reader", "HUE")
    assert "one time password" in console.type("add", "lan", "--role", "administrator", "--facility", "DN")
    assert console.access.accounts.show("lan").facility == "DN"


def test_new_one_time_password_replaces_the_old_one(console: Console) -> None:
    first = one_time_password(console, "add", "hoa")
    second = one_time_password(console, "password", "hoa")
    assert first != second
    assert console.access.accounts.authenticate("hoa", second, address="192.0.2.1").name == "hoa"


def test_users_are_listed_shown_and_removed(console: Console) -> None:
    assert "user add" in console.type("list")
    console.type("add", "hoa")
    assert "reader" in console.type("list")
    assert "password_hash" not in console.type("show", "hoa", "--json")
    console.type("remove", "hoa")
    assert console.facts("list") == []


def test_what_cannot_be_done_is_said(console: Console) -> None:
    for command in ("show", "password", "remove"):
        with pytest.raises(NotFoundError):
            console.type(command, "hoa")
    console.type("add", "hoa", "--role", "administrator")
    with pytest.raises(ConflictError):
        console.type("add", "HOA")
    with pytest.raises(ConflictError, match="last administrator"):
        console.type("remove", "hoa")


@pytest.mark.parametrize("words", [["add"], ["add", "hoa", "--role", "king"], ["remove"], ["fly"]])
def test_wrong_usage_exits_with_2(console: Console, words: list[str]) -> None:
    console.type(*words, exit_code=2)
