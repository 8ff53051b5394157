"""The folder of figures: there while a node runs, and not left behind by one that was killed."""

import os
import subprocess
import sys
from pathlib import Path

from pacs_gateway.roles.figures import FOLDER, shared_figures

_OTHER = """
import os, signal, sys
from pacs_gateway.roles.figures import FOLDER, shared_figures
with shared_figures():
    print(os.environ[FOLDER], flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def _folder_of_another(how_it_ends: str) -> Path:
    command = [sys.executable, "-c", _OTHER, how_it_ends]
    return Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())


def test_the_folder_lasts_as_long_as_the_node() -> None:
    with shared_figures():
        folder = Path(os.environ[FOLDER])
        assert folder.is_dir()
    assert not folder.exists()
    assert FOLDER not in os.environ


def test_what_a_killed_node_left_is_removed_by_the_next_and_a_living_ones_is_not() -> None:
    left = _folder_of_another("killed")
    assert left.is_dir()

    with shared_figures():
        mine = Path(os.environ[FOLDER])
        assert not left.exists()
        assert not _folder_of_another("in order").exists()
        assert mine.is_dir()
