"""``pacs-gateway import``: take files in from this machine."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from pacs_gateway.archive.importing import Imported, count_files, import_paths
from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import print_json
from pacs_gateway.cli.shipping import ship_now
from pacs_gateway.domain.instance import Method, Origin


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("import", epilog="Example: pacs-gateway import /media/cdrom study.zip")(import_command)


def import_command(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, folders, ZIP archives.")],
    *,
    facility: Annotated[str, typer.Option(help="Facility the images belong to; default this gateway's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import DICOM files; bad ones are listed at the end and do not stop the rest."""
    bad: list[Imported] = []
    outcomes: Counter[str] = Counter()
    console = Console(stderr=True)
    with opened_gateway(ctx) as gateway:
        origin = Origin(Method.IMPORT, facility or gateway.config.access.facility)
        results = import_paths(gateway.archive.ingest, paths, origin)
        total = count_files(paths) if console.is_terminal else None
        for imported in track(results, "Importing", total=total, console=console, disable=not console.is_terminal):
            if imported.outcome is None:
                bad.append(imported)
            else:
                outcomes[imported.outcome] += 1
        ship_now(gateway)
    if as_json:
        print_json({**outcomes, "bad": [f"{item.name}: {item.error}" for item in bad]})
    else:
        typer.echo(", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items())) or "nothing imported")
        for item in bad:
            typer.echo(f"bad: {item.name}: {item.error}", err=True)
    if bad:
        raise typer.Exit(1)
