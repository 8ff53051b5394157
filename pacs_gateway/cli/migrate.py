"""``pacs-gateway migrate``: bring the index to this version's schema."""

import typer

from pacs_gateway.cli.context import loaded
from pacs_gateway.config import compose
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("migrate", epilog="Example: pacs-gateway migrate")(migrate_command)


def migrate_command(ctx: typer.Context) -> None:
    """Bring the index to this version's schema; `serve` does it by itself."""
    database = Database(compose(loaded(ctx).settings).database)
    try:
        changed = migrate(database)
    finally:
        database.close()
    typer.echo("the index is migrated" if changed else "the index is up to date")
