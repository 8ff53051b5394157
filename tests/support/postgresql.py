"""A PostgreSQL server of the tests' own: the distribution's program, a data directory and a port of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql

from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from tests.support.waiting import wait_until

_START_DEADLINE_S = 60.0
_END_DEADLINE_S = 60.0
_TEMPLATE = "migrated"
_EMPTYING = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;  -- foreign keys do not matter where nothing is left
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public';
END $$
"""


@cache
def programs() -> Path | None:
    """Return the folder of the newest installed server's programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresqlServer:
    """One server; its data outlives its process, so that it can be restarted."""

    def __init__(self, folder: Path) -> None:
        """Make a cluster in `folder`, unless there is one."""
        found = programs()
        assert found is not None
        self._programs = found
        self._data = folder / "postgresql"
        self._log = folder / "postgresql.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._idle: list[str] = []
        self.port = _free_port()
        if self._data.exists():
            return
        self._data.mkdir(mode=0o700)
        self._log.touch()
        if (user := _user()) is not None:
            for path in (self._data, self._log):
                shutil.chown(path, user)
        command = [str(found / "initdb"), "-D", str(self._data), "-U", "gateway", "-A", "trust", "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--data-checksums", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=_START_DEADLINE_S, user=_user())

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        assert self._process is None
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=_user())
        wait_until(self._answers, _START_DEADLINE_S, "PostgreSQL to start")

    def stop(self, *, immediately: bool = False) -> None:
        """Stop the server: fast, or immediately, as a crash would, so that the next start recovers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
        self._process.wait(_END_DEADLINE_S)
        self._process = None

    def restart(self, *, immediately: bool = False) -> None:
        """Stop the server and start it again."""
        self.stop(immediately=immediately)
        self.start()

    def url(self, name: str) -> str:
        """Return the URL of a database, as the contract has it."""
        return f"postgresql://gateway@127.0.0.1:{self.port}/{name}"

    def new_database(self, *, is_migrated: bool = True) -> str:
        """Make a database that sorts as Vietnamese do, which the gateway is not to notice; return its URL."""
        name = f"test_{next(self._numbers)}"
        self._create(name, _TEMPLATE if is_migrated else "template0")
        return self.url(name)

    @contextmanager
    def lent_database(self) -> Iterator[str]:
        """Lend an empty, migrated database by its URL: emptying one is much quicker than making one."""
        url = self._idle.pop() if self._idle else self.new_database()
        yield url
        with psycopg.connect(url) as connection:
            connection.execute(_EMPTYING)
        self._idle.append(url)

    def make_template(self) -> None:
        """Migrate the database that those of the tests are copied from."""
        self._create(_TEMPLATE, "template0")
        database = Database(DatabaseConfig(self.url(_TEMPLATE)))
        migrate(database)
        database.close()

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run a statement as the server's administrator."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def shows(self, setting: str) -> str:
        """Return what a new connection sees of a setting."""
        with psycopg.connect(self.url("postgres")) as connection:
            row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone()
        assert row is not None
        return str(row[0])

    def _create(self, name: str, template: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        if int(self._programs.parent.name) >= 15:  # before, a database could not sort by ICU
            statement += sql.SQL(" LOCALE_PROVIDER icu ICU_LOCALE 'vi'")
        self.execute(statement)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")[-2000:]
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Run a server with a migrated template until the end of the block."""
    # pytest's own folders are closed to the user the server has to run as.
    with TemporaryDirectory(prefix="pacs-postgresql-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresqlServer(Path(folder))
        server.start()
        try:
            server.make_template()
            yield server
        finally:
            server.stop(immediately=True)


@cache
def _user() -> str | None:
    """Return whom the server has to run as, None for whoever runs the tests: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
