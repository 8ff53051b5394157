"""``pacs-gateway serve``: run the gateway."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pacs_gateway.access import Actor, Listening, UnknownDevices, check_exposure
from pacs_gateway.access import Role as AccountRole
from pacs_gateway.archive.importing import import_paths
from pacs_gateway.cli.context import loaded
from pacs_gateway.config import GatewayConfig, Loaded, Settings, compose, load_settings
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate
from pacs_gateway.dimse.tls import make_context
from pacs_gateway.domain.clock import utc_now
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.errors import ConfigurationError
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.roles.children import Role, programs
from pacs_gateway.roles.figures import shared_figures
from pacs_gateway.supervisor import Supervisor, bind
from pacs_gateway.telemetry.log import configure_logging

# All samples where `make run` has made them, else the few that are in the repository.
_SAMPLES = (Path("sample_dicom/generated"), Path("sample_dicom/subset"))


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("serve", epilog="Example: pacs-gateway serve --dicom-host 0.0.0.0 --ae-title HUE_PACS")(serve_command)


def serve_command(  # noqa: PLR0913 - one parameter for each option of the contract
    ctx: typer.Context,
    *,
    role: Annotated[Role, typer.Option(help="What to run here.")] = Role.ALL,
    dicom_host: Annotated[str | None, typer.Option(help="Address(es) DICOM listens on.")] = None,
    dicom_port: Annotated[int | None, typer.Option(help="Port DICOM listens on.")] = None,
    ae_title: Annotated[str | None, typer.Option(help="Our AE title(s).")] = None,
    web_host: Annotated[str | None, typer.Option(help="Address(es) the web listens on.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port the web listens on.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Loopback only, with the sample studies.")] = False,
) -> None:
    """Run the gateway until it is told to stop (Ctrl-C, SIGTERM).

    DICOM over TLS is set by PACS_DICOM_TLS_CERT, _KEY, _CA and _PORT; who may then still call without it by
    PACS_DICOM_PLAIN_NETWORKS (docs/settings.md).
    """
    flags = {
        "dicom_host": dicom_host,
        "dicom_port": dicom_port,
        "ae_title": ae_title,
        "web_host": web_host,
        "web_port": web_port,
    }
    settings = _with_flags(loaded(ctx), flags, demo=demo)
    run(settings, role, demo=demo)


def run(settings: Loaded, role: Role, *, demo: bool) -> None:
    """Prepare the data directory, bind the ports, and supervise the roles until told to stop."""
    configure_logging(level=settings.settings.log_level, log_format=settings.settings.log_format, role="supervisor")
    config = compose(settings.settings)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    if config.dimse.tls is not None and role in (Role.ALL, Role.DICOM):
        make_context(config.dimse.tls, is_server=True, now=utc_now())
    database = Database(config.database)
    try:
        migrate(database)
    finally:
        database.close()
    with open_gateway(config) as gateway:
        password = _prepare(gateway, role, demo=demo)
    dicom = bind(config.dicom_hosts, config.dicom_port) if role in (Role.ALL, Role.DICOM) else []
    dicom_tls = bind(config.dicom_hosts, config.dicom_tls_port) if dicom and config.dimse.tls else []
    web = bind(config.web_hosts, config.web_port) if role in (Role.ALL, Role.WEB) else []
    # The web serves the other nodes beside people; without it a process of its own does.
    where = config.archive.node.listens_at if role is Role.DICOM else None
    node = bind((where[0],), where[1]) if where else []
    with shared_figures():
        children = programs(
            role,
            settings.settings,
            dicom_sockets=dicom,
            dicom_tls_sockets=dicom_tls,
            web_sockets=web,
            node_sockets=node,
        )
        _say(config, _Ports(_numbers(dicom), _numbers(dicom_tls), _numbers(web)), password)
        Supervisor(children).run()


def _with_flags(before: Loaded, flags: dict[str, str | int | None], *, demo: bool) -> Loaded:
    """Return the settings with this command's options on top; a demo is open to this machine, and only to it."""
    known = {name: getattr(before.settings, name) for name, origin in before.sources.items() if origin != "default"}
    given = known | {name: value for name, value in flags.items() if value is not None}
    if demo:
        given.setdefault("unknown_devices", UnknownDevices.ACCEPT)
    settings = load_settings(flags=given, environment={})
    if demo and not _is_local(settings.settings):
        raise ConfigurationError("--demo listens on 127.0.0.1 only; leave out --dicom-host and --web-host")
    return settings


def _is_local(settings: Settings) -> bool:
    hosts = {host.strip() for text in (settings.dicom_host, settings.web_host) for host in text.split(",")}
    return hosts <= {"127.0.0.1", "::1", "localhost"}


def _prepare(gateway: Gateway, role: Role, *, demo: bool) -> str | None:
    """Refuse an unsafe start, take over what a crash left, make the first administrator; return its password."""
    config = gateway.config
    check_exposure(
        Listening(
            dicom_hosts=config.dicom_hosts if role in (Role.ALL, Role.DICOM) else (),
            web_hosts=config.web_hosts if role in (Role.ALL, Role.WEB) else (),
            trusted_proxies=tuple(str(network) for network in config.trusted_proxies.ranges),
        ),
        is_auth_on=config.access.is_auth_on,
        unknown_devices=config.access.unknown_devices,
        has_administrator=gateway.access.accounts.has_administrator(),
    )
    with gateway.archive.recovery(facility=config.access.facility) as recovery:
        recovery.adopt()
    if role is not Role.WORKER:
        # Before anything is received: readers on other nodes are to know from the first image on where to ask for it.
        gateway.archive.nodes.beat()
    if demo:
        _import_samples(gateway)
    return _first_password(gateway, demo=demo) if role in (Role.ALL, Role.WEB) else None


def _first_password(gateway: Gateway, *, demo: bool) -> str | None:
    """Make the first administrator and return its one-time password; a demo prints a new one until it is used."""
    accounts = gateway.access.accounts
    password = accounts.ensure_administrator()
    if password is not None or not demo:
        return password
    unused = [a for a in accounts.list() if a.role is AccountRole.ADMINISTRATOR and a.must_change]
    return accounts.reset_password(unused[0].name, by=Actor.from_operating_system()) if unused else None


def _import_samples(gateway: Gateway) -> None:
    """Take the sample studies in; those that are there already change nothing."""
    folder = next((folder for folder in _SAMPLES if folder.is_dir()), None)
    if folder is None:
        typer.echo("no sample_dicom/ here; the list starts empty", err=True)
        return
    origin = Origin(Method.IMPORT, gateway.config.access.facility, "demo")
    files = sorted(folder.rglob("*.dcm"))
    n_bad = sum(1 for imported in import_paths(gateway.archive.ingest, files, origin) if imported.error)
    if n_bad:
        typer.echo(f"{n_bad} sample files could not be imported", err=True)


@dataclass(frozen=True, slots=True)
class _Ports:
    """Where each socket listens."""

    dicom: list[int]
    dicom_tls: list[int]
    web: list[int]


def _numbers(sockets: Sequence[socket.socket]) -> list[int]:
    return [listening.getsockname()[1] for listening in sockets]


def _say(config: GatewayConfig, ports: _Ports, password: str | None) -> None:
    title = config.access.ae_titles[0]
    for host, port in zip(config.dicom_hosts, ports.dicom, strict=False):
        typer.echo(f"DICOM  {title} at {host or '*'}:{port}")
    for host, port in zip(config.dicom_hosts, ports.dicom_tls, strict=False):
        typer.echo(f"TLS    {title} at {host or '*'}:{port}")
    for host, port in zip(config.web_hosts, ports.web, strict=False):
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"Web    http://{shown or '*'}:{port}/")
    if password is not None:
        typer.echo(f"Login  admin / {password}   (one time: a new password is asked for at the first login)")
