from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.cli.device import app
from pacs_gateway.errors import ConflictError, InputError, NotFoundError
from tests.pacs_gateway.cli.console import Console, opened_console


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    with opened_console("pacs_gateway.cli.device", app, tmp_path, monkeypatch) as console:
        yield console


@pytest.mark.parametrize("command", ["add", "list", "show", "allow", "remove"])
def test_every_command_has_help_with_an_example(console: Console, command: str) -> None:
    assert f"Example: pacs-gateway device {command}" in " ".join(console.type(command, "--help").split())


def test_modality_is_added_with_the_rights_of_a_modality(console: Console) -> None:
    facts = console.facts("add", "CT1", "10.1.2.3", "104")
    assert isinstance(facts, dict)
    del facts["created"]
    assert facts == {
        "ae_title": "CT1",
        "called": "",
        "networks": "host",
        "host": "10.1.2.3",
        "port": 104,
        "facility": "HUE",
        "rights": ["echo", "store", "commit", "worklist"],
    }
    assert console.access.devices.identify(calling="CT1", called="PACSGW", address="10.1.2.3") is not None


def test_every_option_is_kept(console: Console) -> None:
    words = ["add", "PACS2", "--network", "10.1.0.0/16,::1", "--called", "PACSGW", "--facility", "DN"]
    facts = console.facts(*words, "--rights", "all")
    assert isinstance(facts, dict)
    assert (facts["networks"], facts["called"], facts["facility"]) == ("10.1.0.0/16,::1/128", "PACSGW", "DN")
    assert facts["rights"] == ["echo", "store", "find", "move", "get", "commit", "worklist"]


@pytest.mark.parametrize(
    "words",
    [
        ["CT1"],
        ["CT1", "10.1.2.3"],
        ["CT1", "10.1.2.3", "0"],
        ["CT1", "10.1.2.3", "x"],
        ["CT1", "--network", "10.1.2.3/8"],
        ["CT1", "--network", "host"],
        ["CT1", "--network", "any", "--rights", "everything"],
        [],
    ],
)
def test_wrong_usage_exits_with_2(console: Console, words: list[str]) -> None:
    console.type("add", *words, exit_code=2)
    assert console.access.devices.list() == ()


def test_what_cannot_be_done_is_said(console: Console) -> None:
    with pytest.raises(InputError):
        console.type("add", "A" * 17, "--network", "any")
    for command in ("show", "allow", "remove"):
        with pytest.raises(NotFoundError):
            console.type(command, "CT1")
    console.type("add", "CT1", "--network", "any")
    with pytest.raises(ConflictError):
        console.type("add", "CT1", "--network", "any")


def test_devices_are_listed_shown_and_removed(console: Console) -> None:
    assert "device add" in console.type("list")
    console.type("add", "CT1", "10.1.2.3", "104")
    assert "CT1" in console.type("list")
    assert "echo,store,commit,worklist" in console.type("show", "CT1")
    console.type("remove", "CT1")
    assert console.facts("list") == []


def test_rejected_caller_is_listed_as_it_is_and_allowed(console: Console) -> None:
    devices = console.access.devices
    assert "nobody" in console.type("list", "--rejected")
    for title in ("CT1", "[red]x[/red]"):
        devices.record_rejection(calling=title, called="PACSGW", address="10.1.2.3")
    devices.close()
    listed = console.type("list", "--rejected")
    assert "[red]x[/red]" in listed  # what strangers send is no markup
    assert "unknown calling AE title" in listed
    facts = console.facts("allow", "CT1", "--address", "10.1.2.3", "--facility", "DN")
    assert isinstance(facts, dict)
    assert (facts["networks"], facts["facility"]) == ("10.1.2.3/32", "DN")
    rejected = console.facts("list", "--rejected")
    assert isinstance(rejected, list)
    assert [one["calling"] for one in rejected] == ["[red]x[/red]"]
