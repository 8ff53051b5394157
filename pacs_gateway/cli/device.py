"""`pacs-gateway device`: the application entities that may call, and those that were turned away."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from pacs_gateway.access import Actor, Device, NewDevice, Right
from pacs_gateway.access.device import MODALITY_RIGHTS, parse_rights
from pacs_gateway.access.networks import HOST, Networks
from pacs_gateway.cli.context import opened_access
from pacs_gateway.cli.facts import Facts, print_facts, print_json, print_table
from pacs_gateway.errors import InputError

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="Devices: who may call this gateway over DICOM. A change counts in a running gateway within 2 s.",
)

Title = Annotated[str, typer.Argument(metavar="AET", help="AE title of the device; upper and lower case count.")]
Called = Annotated[str, typer.Option("--called", metavar="AET", help="The one of our titles it calls; default any.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: pacs-gateway device add CT1 10.1.2.3 104 --facility HUE")
def add(  # noqa: PLR0913 - one parameter for each argument and option of the command
    ctx: typer.Context,
    ae_title: Title,
    host: Annotated[str, typer.Argument(metavar="HOST", help="Where it listens itself; makes it a destination.")] = "",
    port: Annotated[int | None, typer.Argument(metavar="PORT", min=1, max=65535, help="And its port.")] = None,
    *,
    network: Annotated[
        str,
        typer.Option(
            "--network", metavar="CIDR,...|any", help="Where it calls from; default the addresses of HOST ('host')."
        ),
    ] = HOST,
    called: Called = "",
    facility: Annotated[str, typer.Option("--facility", help="Facility it belongs to; default this gateway's.")] = "",
    rights: Annotated[
        str, typer.Option("--rights", metavar="all|RIGHT,...", help=f"Some of {', '.join(Right)}.")
    ] = ",".join(right for right in Right if right in MODALITY_RIGHTS),
    as_json: AsJson = False,
) -> None:
    """Register a device."""
    networks = _parsed(Networks.parse, network, "--network")
    if bool(host) != (port is not None):
        raise typer.BadParameter("give both HOST and PORT, or neither")
    if networks.is_host and not host:
        raise typer.BadParameter("nothing says where the device calls from: give HOST PORT or --network")
    granted = _parsed(parse_rights, rights, "--rights")
    with opened_access(ctx) as access:
        new = NewDevice(
            ae_title,
            facility or access.config.facility,
            called=called,
            networks=networks,
            host=host,
            port=port,
            rights=granted,
        )
        _print(access.devices.add(new, by=Actor.from_operating_system()), as_json=as_json)


@app.command("list", epilog="Example: pacs-gateway device list --rejected")
def list_devices(
    ctx: typer.Context,
    *,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Callers that were turned away, the latest first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the devices, or who was turned away and why."""
    with opened_access(ctx) as access:
        if rejected:
            rows: list[Facts] = [
                {
                    "calling": one.calling,
                    "called": one.called,
                    "address": one.address,
                    "times": one.n_rejected,
                    "first": one.first_at,
                    "last": one.last_at,
                    "reason": one.reason,
                }
                for one in access.devices.rejected()
            ]
        else:
            rows = [_facts(device) for device in access.devices.list()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, none="nobody was turned away" if rejected else "no devices: see `device add --help`")


@app.command(epilog="Example: pacs-gateway device show CT1")
def show(ctx: typer.Context, ae_title: Title, *, called: Called = "", as_json: AsJson = False) -> None:
    """Show one device."""
    with opened_access(ctx) as access:
        _print(access.devices.show(ae_title, called=called), as_json=as_json)


@app.command(epilog="Example: pacs-gateway device allow CT1 --address 10.1.2.3")
def allow(
    ctx: typer.Context,
    ae_title: Title,
    *,
    address: Annotated[str, typer.Option("--address", help="Which, where it called from several addresses.")] = "",
    facility: Annotated[str, typer.Option("--facility", help="Facility of a new device; default this one's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let in a caller that was turned away, from the address it called from."""
    with opened_access(ctx) as access:
        by = Actor.from_operating_system()
        _print(access.devices.allow(ae_title, address=address, facility=facility, by=by), as_json=as_json)


@app.command(epilog="Example: pacs-gateway device remove CT1")
def remove(ctx: typer.Context, ae_title: Title, *, called: Called = "") -> None:
    """Forget a device: from now on it is turned away."""
    with opened_access(ctx) as access:
        access.devices.remove(ae_title, called=called, by=Actor.from_operating_system())


def _parsed(parse: Callable[[str], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _facts(device: Device) -> Facts:
    return {
        "ae_title": device.ae_title,
        "called": device.called,
        "networks": str(device.networks),
        "host": device.host,
        "port": device.port,
        "facility": device.facility,
        "rights": [right.value for right in Right if right in device.rights],
        "created": device.created_at,
    }


def _print(device: Device, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(device))
    else:
        print_facts(_facts(device))
