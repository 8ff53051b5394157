"""``pacs-gateway fetch``: a study from another device into this gateway."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import print_json
from pacs_gateway.cli.on_record import put_on_record
from pacs_gateway.cli.peer import AsJson, Peer, find_device, peer_of
from pacs_gateway.cli.shipping import ship_now
from pacs_gateway.dimse.store import StoreService
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.peers.fetch import fetch


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("fetch", epilog="Example: pacs-gateway fetch ORTHANC 1.2.840.113619.2.5.1762583153")(fetch_command)


def fetch_command(
    ctx: typer.Context,
    peer: Peer,
    study_uid: Annotated[str, typer.Argument(metavar="UID", help="Study to fetch.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Fetch a study from a device into this gateway (C-GET, or C-MOVE to this gateway where there is no C-GET)."""
    check_uid(study_uid, "StudyInstanceUID")
    console = Console(stderr=True)
    n_completed = n_failed = 0
    with opened_gateway(ctx) as gateway:
        device = find_device(gateway.access, gateway.config, peer)
        called = peer_of(device, gateway.config)
        put_on_record(gateway, "fetch", [study_uid], peer=peer)
        service = StoreService(gateway.archive.ingest, device, device.host)
        with Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("Fetching", total=None)
            for step in fetch(called, study_uid, service):
                n_completed, n_failed = step.n_completed, step.n_failed
                total = step.n_remaining + n_completed + n_failed
                bar.update(task, total=total or None, completed=n_completed + n_failed)
    with opened_gateway(ctx) as gateway:
        ship_now(gateway)
    if as_json:
        print_json({"fetched": n_completed, "failed": n_failed})
    else:
        typer.echo(f"{n_completed} fetched from {peer}, {n_failed} failed")
    if n_failed:
        raise typer.Exit(1)
