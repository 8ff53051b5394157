"""``pacs-gateway storage``: the object store."""

from typing import Annotated

import typer

from pacs_gateway.cli.context import prepared
from pacs_gateway.cli.facts import print_json, print_table
from pacs_gateway.storage.check import check_store
from pacs_gateway.storage.opening import open_store

app = typer.Typer(no_args_is_help=True, help="Storage: where objects are kept.")


@app.callback()
def storage() -> None:
    """Storage: where objects are kept."""


@app.command(epilog="Example: pacs-gateway storage check")
def check(ctx: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Write, read back, list, range, checksum and delete in the object store; nothing is left behind."""
    with open_store(prepared(ctx).objects) as store:
        steps = check_store(store)
    facts = [
        {"step": step.name, "passed": step.passed, "milliseconds": round(step.duration_s * 1000), "error": step.error}
        for step in steps
    ]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="nothing was checked")
    if not all(step.passed for step in steps):
        raise typer.Exit(1)
