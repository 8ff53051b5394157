"""What the deployments and their manual name exists in this version: settings, commands, options, files."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from pacs_gateway.cli.root import app
from pacs_gateway.config import PREFIX, Settings, load_settings

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "operations.md"
FILES = sorted(path for path in [*(ROOT / "deploy").rglob("*"), MANUAL] if path.is_file() and path.suffix != ".pyc")
_SETTING = re.compile(r"PACS_[A-Z0-9_]*[A-Z0-9]")
_COMMAND = re.compile(r"(?:^|[`\s])pacs-gateway((?: [^\s`|;#]+)+)", re.MULTILINE)
_FILE = re.compile(r"`((?:deploy|docs)/[^`\s]+)`")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_named_is_one(path: Path) -> None:
    named = {match.removeprefix(PREFIX).lower() for match in _SETTING.findall(path.read_text(encoding="utf-8"))}

    assert named - Settings.model_fields.keys() == set()


def test_the_installed_settings_are_valid() -> None:
    path = ROOT / "deploy" / "systemd" / "pacs.toml"

    loaded = load_settings(environment={}, config_file=path)

    assert loaded.settings.data_dir == Path("/var/lib/pacs-gateway")
    assert tomllib.loads(path.read_text(encoding="utf-8")).keys() <= Settings.model_fields.keys()


def named_commands() -> Iterator[list[str]]:
    """Yield the words after ``pacs-gateway`` of each command line in the manual's code."""
    text = MANUAL.read_text(encoding="utf-8")
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    for found in _COMMAND.findall("\n".join(code)):
        yield found.split()


@pytest.mark.parametrize("words", list(named_commands()), ids=" ".join)
def test_every_command_and_option_of_the_manual_exists(words: list[str]) -> None:
    command = get_command(app)
    options = {option for parameter in command.params for option in parameter.opts}
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
        options |= {option for parameter in command.params for option in parameter.opts}

    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}


def test_every_file_the_manual_names_is_there() -> None:
    named = set(_FILE.findall(MANUAL.read_text(encoding="utf-8")))

    assert {name for name in named if not (ROOT / name).exists()} == set()
