"""``pacs-gateway trash``: what has been deleted or rejected, and how it comes back."""

from typing import Annotated

import typer

from pacs_gateway.access import Actor
from pacs_gateway.archive.remove import Removal
from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import Facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The trash: what was deleted or rejected. No bytes are destroyed.")


@app.command("list", epilog="Example: pacs-gateway trash list --all --json")
def list_trash(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    is_complete: Annotated[bool, typer.Option("--all", help="Those that have been restored, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List removals, the latest first: who took what out of sight, when and why."""
    with opened_gateway(ctx) as gateway:
        removals = gateway.archive.removals.list(limit=limit, is_complete=is_complete)
    facts = [_facts(removal) for removal in removals]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="the trash is empty")


@app.command(epilog="Example: pacs-gateway trash restore 17")
def restore(
    ctx: typer.Context,
    removal_id: Annotated[int, typer.Argument(metavar="ID", help="Number of a removal, as `list` shows it.")],
) -> None:
    """Show again what a removal has taken out of sight."""
    with opened_gateway(ctx) as gateway:
        n_shown = gateway.archive.removals.restore(removal_id, by=Actor.from_operating_system())
    typer.echo(f"removal {removal_id}: {n_shown} instances are shown again")


def _facts(removal: Removal) -> Facts:
    return {
        "id": removal.id,
        "study_uid": removal.target.study_uid,
        "series_uid": removal.target.series_uid,
        "sop_instance_uid": removal.target.sop_uid,
        "instances": removal.n_instances,
        "by": removal.actor,
        "at": removal.at,
        "reason": removal.reason,
        "kept_until": removal.kept_until,
        "sent_again": removal.n_sent_again,
        "restored_at": removal.restored_at,
        "restored_by": removal.restored_by,
    }
