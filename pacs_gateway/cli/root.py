"""The root command: options that every command knows, and the table of commands."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import typer.exceptions

from pacs_gateway import __version__
from pacs_gateway.cli import (
    calling,
    config,
    conflicts,
    conformance,
    device,
    doctor,
    export,
    fetch,
    importing,
    jobs,
    migrate,
    send,
    serve,
    storage,
    token,
    trash,
    user,
    viewer,
)
from pacs_gateway.config import load_settings
from pacs_gateway.errors import ConfigurationError, GatewayError, InvalidQueryError
from pacs_gateway.telemetry.log import configure_logging

app = typer.Typer(
    name="pacs-gateway",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A PACS gateway: receives DICOM, keeps it safe, finds it, serves it.",
    epilog="Example: pacs-gateway serve --demo",
)
# Known to every command, wherever in the line they stand.
_GLOBAL_OPTIONS = {"--data-dir": True, "--config": True, "--debug": False}


@app.callback()
def root(
    ctx: typer.Context,
    *,
    data_dir: Annotated[Path | None, typer.Option(help="Index, spool and local objects (PACS_DATA_DIR).")] = None,
    config_file: Annotated[Path | None, typer.Option("--config", help="pacs.toml to read.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")] = False,
) -> None:
    """Read the settings before any command."""
    ctx.obj = load_settings(flags={"data_dir": data_dir}, config_file=config_file)
    level = "debug" if debug else "warning"
    configure_logging(level=level, log_format=ctx.obj.settings.log_format, role=str(ctx.invoked_subcommand))


@app.command(epilog="Example: pacs-gateway version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


serve.register(app)
importing.register(app)
export.register(app)
calling.register(app)
send.register(app)
fetch.register(app)
conformance.register(app)
doctor.register(app)
migrate.register(app)
app.add_typer(device.app, name="device")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(jobs.app, name="jobs")
app.add_typer(conflicts.app, name="conflicts")
app.add_typer(trash.app, name="trash")
app.add_typer(storage.app, name="storage")
app.add_typer(viewer.app, name="viewer")
app.add_typer(config.app, name="config")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit status."""
    debug = "--debug" in arguments
    try:
        status = app(hoisted(arguments), standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if message:
            typer.echo(f"pacs-gateway: {message}", err=True)
        return error.exit_code
    except typer.Abort:
        return 130
    except InvalidQueryError as error:
        return _said(error, debug=debug, status=2)
    except GatewayError as error:
        return _said(error, debug=debug, status=1)
    except OSError as error:  # a path of this command line, or a folder of the settings
        where = f"{error.filename}: " if error.filename else ""
        return _said(ConfigurationError(f"{where}{error.strerror or error}"), debug=debug, status=1)
    return status if isinstance(status, int) else 0


def _said(error: GatewayError, *, debug: bool, status: int) -> int:
    if debug:
        raise error
    sys.stderr.write(f"pacs-gateway: {error}\n")
    return status


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Return a command line with the options every command knows moved to its front."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            rest += [argument, *remaining]
        elif name not in _GLOBAL_OPTIONS:
            rest.append(argument)
        else:
            front.append(argument)
            if _GLOBAL_OPTIONS[name] and not equals:
                front += [value for value in [next(remaining, None)] if value is not None]
    return [*front, *rest]
