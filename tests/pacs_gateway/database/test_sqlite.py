import re
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert

from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database import sqlite as sqlite_module
from pacs_gateway.database.schema.access import change_counter
from pacs_gateway.errors import ConfigurationError
from tests.support.gateways import migrated_database


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=re.escape(str(tmp_path))):
        Database(DatabaseConfig(f"sqlite:///{tmp_path}/file/index.db"))


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {line.split(" ")[2] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()}
    monkeypatch.setattr(sqlite_module, "_NETWORK_FILESYSTEMS", frozenset(kinds))
    with pytest.raises(ConfigurationError, match="local disk"):
        Database(DatabaseConfig(f"sqlite:///{tmp_path}/index.db"))


def test_a_writer_outside_of_the_gate_is_waited_for(tmp_path: Path) -> None:
    database = migrated_database(tmp_path)
    stranger = sqlite3.connect(tmp_path / "index.db", isolation_level=None, check_same_thread=False)
    stranger.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(1.0, stranger.execute, ("ROLLBACK",))
    letting_go.start()
    database.transact(lambda connection: connection.execute(insert(change_counter).values(name="n", value=1)))
    letting_go.join()
    stranger.close()
    database.close()
