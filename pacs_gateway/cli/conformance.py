"""``pacs-gateway conformance``: what this version does of DICOM."""

import typer

from pacs_gateway.dimse.conformance import statement


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("conformance", epilog="Example: pacs-gateway conformance > conformance.md")(conformance_command)


def conformance_command() -> None:
    """Print the DICOM conformance statement (Markdown)."""
    typer.echo(statement(), nl=False)
