"""Runs one group of commands on an access of the test's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pacs_gateway.access import Access, AccessConfig, open_access
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.database.schema import metadata
from pacs_gateway.errors import GatewayError


class Console:
    """Types commands; a `GatewayError` comes out as itself, for the main program turns it into its line."""

    def __init__(self, app: typer.Typer, access: Access) -> None:
        self._app = app
        self.access = access

    def type(self, *words: str, exit_code: int = 0) -> str:
        """Return what the command printed, on either stream."""
        result = CliRunner().invoke(self._app, list(words))
        if isinstance(result.exception, GatewayError):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.output

    def facts(self, *words: str) -> object:
        """Return what the command printed as JSON."""
        return json.loads(self.type(*words, "--json"))


@contextmanager
def opened_console(module: str, app: typer.Typer, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Console]:
    """Give the commands of `module` an empty gateway in `folder`."""
    database = Database(DatabaseConfig(f"sqlite:///{folder}/index.db"))
    try:
        with database.exclusively() as connection:
            metadata.create_all(connection)
        with open_access(database, AccessConfig(facility="HUE")) as access:
            patch.setattr(f"{module}.opened_access", lambda _: nullcontext(access))
            yield Console(app, access)
    finally:
        database.close()
