"""The manual's backup and restore, as it is written there: an older index, newer objects, and nothing is missing."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_dicom" / "subset"
MANUAL = ROOT / "docs" / "operations.md"


def gateway(data_dir: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pacs_gateway", "--data-dir", str(data_dir), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def listed(data_dir: Path) -> set[str]:
    with sqlite3.connect(data_dir / "index.db") as index:
        return {uid for (uid,) in index.execute("SELECT sop_uid FROM instance WHERE archived_at IS NOT NULL")}


@pytest.mark.peer("sqlite3")
def test_what_came_after_the_copy_of_the_index_is_found_again_in_the_objects(tmp_path: Path) -> None:
    data_dir, copy = tmp_path / "data", tmp_path / "index.db"
    gateway(data_dir, "import", str(SAMPLES / "ct"))
    written = re.search(r'^sqlite3 (\S+) "\.backup (\S+)"$', MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    assert written is not None
    subprocess.run(["sqlite3", data_dir / "index.db", f".backup {copy}"], check=True)
    gateway(data_dir, "import", str(SAMPLES / "mr"))
    everything = listed(data_dir)

    shutil.copy(copy, data_dir / "index.db")
    for leftover in ("index.db-wal", "index.db-shm"):
        (data_dir / leftover).unlink(missing_ok=True)
    assert listed(data_dir) < everything
    gateway(data_dir, "import", str(data_dir / "objects" / "instances"))

    assert listed(data_dir) == everything
    assert json.loads(gateway(data_dir, "jobs", "list", "--state", "dead", "--json")) == []
