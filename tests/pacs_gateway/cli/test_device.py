from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.cli.device import app
from pacs_gateway.errors import ConflictError, InputError, NotFoundError
from tests.pacs_gateway.cli.console import Console, opened_console

# Made by openssl for this test; its key was thrown away.
PEM = """-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUGI1af0nYK5MDSuuZJ9ZabemEGL8wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDY3QxMCAXDTI2MTEyMjA4NDAwMloYDzIxMjYxMDI5MDg0MDAy
WjAOMQwwCgYDVQQDDANjdDEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT1youh
YUJ2Aw/GSmYVEq2+MrVKLpBSyn9/floJKS1ITBYP8uF8ZqNX+c1Ajdwg0gyv2MrN
xILtkQOYOttYPqwxo1MwUTAdBgNVHQ4EFgQUJ50IDJEO5avjMBNTyc7Zh8veJnkw
HwYDVR0jBBgwFoAUJ50IDJEO5avjMBNTyc7Zh8veJnkwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiEAhBm0yNeXLoCxa84QRIwkZBNptwf/0A9LlzdO
EWmAzDICICMuFgzGo7gqnbBgnS8jwoVbaqIJFcQSzpk65Pyb1S7W
-----END CERTIFICATE-----
"""
FINGERPRINT = "7f71ddb8969ce0e5b62875c86e4e2beafa2536635c3817900d5d54e2e5467522"


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    with opened_console("pacs_gateway.cli.device", app, tmp_path, monkeypatch) as console:
        yield console


@pytest.mark.parametrize("command", ["add", "change", "list", "show", "allow", "remove"])
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
        "transfer_syntaxes": [],
        "charset": "",
        "issuer": "",
        "max_matches": 500,
        "ascii_answers": False,
        "ignore_case": False,
        "private_classes": True,
        "idle": 900,
        "certificate": [],
        "tls": False,
    }
    assert console.access.devices.identify(calling="CT1", called="PACSGW", address="10.1.2.3") is not None


def test_every_option_is_kept(console: Console) -> None:
    words = ["add", "PACS2", "--network", "10.1.0.0/16,::1", "--called", "PACSGW", "--facility", "DN"]
    facts = console.facts(*words, "--rights", "all")
    assert isinstance(facts, dict)
    assert (facts["networks"], facts["called"], facts["facility"]) == ("10.1.0.0/16,::1/128", "PACSGW", "DN")
    assert facts["rights"] == ["echo", "store", "find", "move", "get", "commit", "worklist", "delete"]


SETTINGS = {
    "--transfer-syntaxes": ("JPEG2000Lossless, 1.2.840.10008.1.2.1", ["JPEG2000Lossless", "ExplicitVRLittleEndian"]),
    "--charset": ("TCVN3", "TCVN3"),
    "--issuer": (" BV Huế ", "BV Huế"),
    "--max-matches": ("2000", 2000),
    "--ascii-answers": (None, True),
    "--ignore-case": (None, True),
    "--no-private-classes": (None, False),
    "--idle": ("60", 60),
    "--certificate": ("subject:CN=ct1,O=Hue", ["subject:CN=ct1,O=Hue"]),
    "--tls": (None, True),
}


@pytest.mark.parametrize("option", SETTINGS)
def test_each_setting_can_be_given_and_changed_alone(console: Console, option: str) -> None:
    value, kept = SETTINGS[option]
    words = [option] if value is None else [option, value]
    name = option.removeprefix("--").removeprefix("no-").replace("-", "_")
    given = console.facts("add", "CT1", "10.1.2.3", "104", *words)
    plain = console.facts("add", "CT2", "10.1.2.3", "104")
    changed = console.facts("change", "CT2", *words)
    assert isinstance(given, dict)
    assert isinstance(plain, dict)
    assert isinstance(changed, dict)
    assert given[name] == kept
    assert changed == {**plain, name: kept}
    assert console.facts("show", "CT2") == changed


def test_what_is_not_given_stays_and_what_is_empty_is_emptied(console: Console) -> None:
    console.type("add", "CT1", "10.1.2.3", "104", "--called", "PACSGW", "--charset", "VNI", "--certificate", "ab" * 32)
    console.type("change", "CT1", "--called", "PACSGW", "10.1.2.4", "105", "--rights", "all", "--facility", "DN")
    facts = console.facts("change", "CT1", "--called", "PACSGW", "--charset", "", "--network", "host,10.2.0.0/16")
    assert isinstance(facts, dict)
    assert (facts["host"], facts["port"], facts["networks"]) == ("10.1.2.4", 105, "host,10.2.0.0/16")
    assert (facts["charset"], facts["facility"], len(facts["rights"])) == ("", "DN", 8)
    assert facts["certificate"] == ["ab" * 32]
    facts = console.facts("change", "CT1", "--called", "PACSGW", "--certificate", "")
    assert isinstance(facts, dict)
    assert facts["certificate"] == []


def test_certificates_are_told_by_file_fingerprint_or_subject(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "ct1.pem"
    file.write_text(f"Certificate:\n    Subject: CN = ct1\n{PEM}")
    colons = ":".join(["AB"] * 32)
    words = ["--certificate", str(file), "--certificate", colons, "--certificate", "subject: CN=ct1"]
    facts = console.facts("add", "CT1", "10.1.2.3", "104", *words)
    assert isinstance(facts, dict)
    assert facts["certificate"] == [FINGERPRINT, "ab" * 32, "subject:CN=ct1"]


def test_files_without_a_certificate_are_refused(console: Console, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for file in ("key.pem", "bad.pem", "none.pem"):
        path = str(tmp_path / file)
        console.type("add", "CT1", "--network", "any", "--certificate", path, exit_code=2)


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
        ["CT1", "--network", "any", "--transfer-syntaxes", "JPEG2001"],
        ["CT1", "--network", "any", "--transfer-syntaxes", "1.2.840.10008.1.1"],  # verification is none
        ["CT1", "--network", "any", "--charset", "UTF-8"],
        ["CT1", "--network", "any", "--issuer", "A\\B"],
        ["CT1", "--network", "any", "--max-matches", "0"],
        ["CT1", "--network", "any", "--idle", "0"],
        ["CT1", "--network", "any", "--certificate", "subject:ct1"],
        [],
    ],
)
def test_wrong_usage_exits_with_2(console: Console, words: list[str]) -> None:
    console.type("add", *words, exit_code=2)
    assert console.access.devices.list() == ()


def test_what_cannot_be_done_is_said(console: Console) -> None:
    with pytest.raises(InputError):
        console.type("add", "A" * 17, "--network", "any")
    for command in ("show", "change", "allow", "remove"):
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
