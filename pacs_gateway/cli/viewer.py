"""``pacs-gateway viewer``: the viewer in the browser."""

from importlib import import_module
from typing import Annotated

import typer

from pacs_gateway.cli.facts import print_json

app = typer.Typer(no_args_is_help=True, help="Viewer: OHIF, in the browser.")


@app.callback()
def viewer() -> None:
    """Viewer: OHIF, in the browser."""


@app.command(epilog="Example: pacs-gateway viewer install")
def install(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Fetch OHIF by npm and prepare it for this installation; quick where it is there already."""
    # By name: what is headless knows no web framework.
    about = import_module("viewer_api.viewer.install").install()
    if as_json:
        print_json({"version": about.version, "files": len(about.files), "bytes": sum(about.files.values())})
    else:
        typer.echo(f"OHIF {about.version} is installed; a running gateway serves it at /viewer/")
