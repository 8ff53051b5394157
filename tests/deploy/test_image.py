"""The image's recipe: what can be judged of it without an engine to build it."""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent  # where the test extra puts its programs
RECIPE = ROOT / "deploy" / "Dockerfile"


@pytest.mark.parametrize("recipe", sorted((ROOT / "deploy").rglob("*Dockerfile")), ids=lambda path: path.name)
def test_the_linter_finds_nothing(recipe: Path) -> None:
    found = subprocess.run([BIN / "hadolint", recipe], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout) == (0, "")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", RECIPE.read_text(encoding="utf-8"), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}

    assert names
    assert {name for name in names if not (ROOT / name).exists()} == set()
    assert names == let_in


def test_nothing_else_of_the_working_copy_can_get_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in ignored if line and not line.startswith(("#", "!"))]

    assert any(fnmatch.fnmatch("pacs-data", pattern) for pattern in patterns)
    assert patterns[0] == "*"
