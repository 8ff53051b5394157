"""``pacs-gateway config``: the effective settings."""

from typing import Annotated

import typer

from pacs_gateway.cli.context import loaded
from pacs_gateway.cli.facts import print_json, print_table
from pacs_gateway.config import PREFIX, compose

app = typer.Typer(no_args_is_help=True, help="Settings: flags over environment over pacs.toml over defaults.")


@app.callback()
def config() -> None:
    """Settings: flags over environment over pacs.toml over defaults."""


@app.command(epilog="Example: pacs-gateway config show")
def show(ctx: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the effective settings and where each came from; secrets are masked."""
    settings = loaded(ctx)
    compose(settings.settings)
    facts = [
        {"setting": PREFIX + name.upper(), "value": value, "source": source}
        for name, (value, source) in settings.shown().items()
    ]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="no settings")
