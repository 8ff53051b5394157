"""Commands on an index in PostgreSQL, as typed at a site."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.postgresql import PostgresqlServer

_DEADLINE_S = 120.0
_PASSWORD = "canary-secret"  # the test's server asks for none


@pytest.fixture
def typed(tmp_path: Path, postgresql: PostgresqlServer) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    url = postgresql.new_database(is_migrated=False).replace("gateway@", f"gateway:{_PASSWORD}@")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PACS_")}
    environment |= {"PACS_DATABASE_URL": url, "PACS_DATA_DIR": str(tmp_path)}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pacs_gateway", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_DEADLINE_S)

    return run


@pytest.mark.peer("postgresql")
def test_an_index_in_postgresql_is_migrated_and_looked_at(
    typed: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    outputs = [typed("config", "show"), typed("migrate"), typed("migrate"), typed("user", "list", "--json")]
    assert [done.returncode for done in outputs] == [0, 0, 0, 0], outputs[-1].stderr
    assert "postgresql://***" in outputs[0].stdout
    assert [done.stdout.strip() for done in outputs[1:3]] == ["the index is migrated", "the index is up to date"]
    outputs.append(typed("doctor", "--json"))
    findings = {finding["subject"]: finding["well"] for finding in json.loads(outputs[-1].stdout)}
    assert (findings["index schema"], findings["index"]) == (True, True)
    assert not list(tmp_path.glob("*.db"))
    assert not any(_PASSWORD in done.stdout + done.stderr for done in outputs)
