"""``pacs-gateway conflicts``: several contents under one SOP Instance UID."""

from pathlib import Path
from typing import Annotated

import typer

from pacs_gateway.archive.conflicts import Choice, Version
from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import Facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Conflicts: objects that came with the UID of another. All are kept.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
InstanceId = Annotated[int, typer.Argument(metavar="ID", help="Number of a version, as `list` shows it.")]


@app.command("list", epilog="Example: pacs-gateway conflicts list")
def list_conflicts(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the versions that are not current and that nobody has decided about."""
    with opened_gateway(ctx) as gateway:
        _print(gateway.archive.conflicts.list(limit=limit), as_json=as_json)


@app.command(epilog="Example: pacs-gateway conflicts show 17 --save other.dcm")
def show(
    ctx: typer.Context,
    instance_id: InstanceId,
    *,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write this version's file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all versions under the UID of one of them."""
    with opened_gateway(ctx) as gateway:
        versions = gateway.archive.conflicts.show(instance_id)
        if save is not None:
            with save.open("xb") as file:
                file.writelines(gateway.archive.conflicts.part10(instance_id))
    _print(versions, as_json=as_json)


@app.command(epilog="Example: pacs-gateway conflicts resolve 17 make-current")
def resolve(
    ctx: typer.Context,
    instance_id: InstanceId,
    choice: Annotated[Choice, typer.Argument(help="Which version is current from now on.")],
) -> None:
    """Decide which version is current; the other stays kept."""
    with opened_gateway(ctx) as gateway:
        gateway.archive.conflicts.resolve(instance_id, choice)
    typer.echo(f"version {instance_id}: {choice}")


def _print(versions: tuple[Version, ...], *, as_json: bool) -> None:
    facts = [_facts(version) for version in versions]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="no conflicts")


def _facts(version: Version) -> Facts:
    return {
        "id": version.id,
        "sop_instance_uid": version.sop_uid,
        "study_uid": version.study_uid,
        "state": version.state,
        "digest": version.digest,
        "transfer_syntax": version.transfer_syntax_uid,
        "facility": version.facility,
        "method": version.method,
        "source": version.source,
        "received_at": version.received_at,
    }
