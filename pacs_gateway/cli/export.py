"""``pacs-gateway export``: write studies out as files."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from pacs_gateway.access import Scope
from pacs_gateway.archive.exporting import Export
from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.on_record import put_on_record
from pacs_gateway.errors import CapacityError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export", epilog="Example: pacs-gateway export --patient BN000123 -o patient.zip")(export_command)


def export_command(
    ctx: typer.Context,
    *,
    study: Annotated[str, typer.Option(metavar="UID", help="Study to export.")] = "",
    patient: Annotated[str, typer.Option(metavar="ID", help="PatientID whose studies to export.")] = "",
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR|ZIP", help="Where to.")],
    dicomdir: Annotated[
        bool, typer.Option("--dicomdir", help="Write a DICOMDIR, as CDs and workstations want it.")
    ] = False,
) -> None:
    """Export a study, or all studies of a patient, as Part 10 files into a folder or a ZIP archive."""
    if bool(study) == bool(patient):
        raise typer.BadParameter("give either --study or --patient")
    console = Console(stderr=True)
    everything = Scope(None)
    with opened_gateway(ctx) as gateway:
        export = Export(gateway.archive.search, gateway.archive.retrieve)
        study_uids = [study] if study else export.studies_of(everything, patient)
        files = export.files(everything, study_uids)
        _check_room(output, sum(file.instance.size_bytes for file in files))
        put_on_record(gateway, "export", study_uids)
        write = export.to_zip if output.suffix.lower() == ".zip" else export.to_folder
        written = track(
            write(files, output, with_dicomdir=dicomdir),
            "Exporting",
            total=len(files) + dicomdir,
            console=console,
            disable=not console.is_terminal,
        )
        for _ in written:
            pass
    typer.echo(f"{len(files)} files of {len(study_uids)} studies in {output}")


def _check_room(output: Path, size_bytes: int) -> None:
    folder = output if output.is_dir() else output.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size_bytes:
        raise CapacityError(f"{folder} has no room for {size_bytes / 1e6:.0f} MB")
