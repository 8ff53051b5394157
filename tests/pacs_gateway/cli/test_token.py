from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.access import Actor, Role
from pacs_gateway.cli.token import app
from pacs_gateway.errors import ConflictError, NotFoundError
from tests.pacs_gateway.cli.console import Console, opened_console


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    with opened_console("pacs_gateway.cli.token", app, tmp_path, monkeypatch) as console:
        console.access.accounts.create("hoa", role=Role.READER, facility="HUE", by=Actor("test"))
        yield console


@pytest.mark.parametrize("command", ["add", "list", "show", "remove"])
def test_every_command_has_help_with_an_example(console: Console, command: str) -> None:
    assert f"Example: pacs-gateway token {command}" in " ".join(console.type(command, "--help").split())


def test_printed_token_is_alone_on_its_line_and_acts_as_the_user(console: Console) -> None:
    value = console.type("add", "report", "--user", "hoa")
    account = console.access.tokens.resolve(value.removesuffix("\n"))
    assert account is not None
    assert account.name == "hoa"


def test_token_with_days_expires(console: Console) -> None:
    facts = console.facts("add", "report", "--user", "hoa", "--days", "30")
    assert isinstance(facts, dict)
    assert facts["expires"] > facts["created"]
    assert console.access.tokens.resolve(facts["token"]) is not None


def test_tokens_are_listed_shown_and_removed_without_secrets(console: Console) -> None:
    assert "token add" in console.type("list")
    value = console.type("add", "report", "--user", "hoa").strip()
    for words in (["list"], ["show", "report"], ["list", "--json"], ["show", "report", "--json"]):
        printed = console.type(*words)
        assert "report" in printed
        assert value not in printed
    console.type("remove", "report")
    assert console.access.tokens.resolve(value) is None
    assert console.facts("list") == []


def test_what_cannot_be_done_is_said(console: Console) -> None:
    for words in (["show", "report"], ["remove", "report"], ["add", "report", "--user", "nobody"]):
        with pytest.raises(NotFoundError):
            console.type(*words)
    console.type("add", "report", "--user", "hoa")
    with pytest.raises(ConflictError):
        console.type("add", "report", "--user", "hoa")


@pytest.mark.parametrize("words", [["add"], ["add", "x"], ["add", "x", "--user", "hoa", "--days", "0"], ["show"]])
def test_wrong_usage_exits_with_2(console: Console, words: list[str]) -> None:
    console.type(*words, exit_code=2)
