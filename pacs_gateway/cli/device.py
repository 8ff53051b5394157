"""`pacs-gateway device`: the application entities that may call, and those that were turned away."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from pacs_gateway.access import Actor, Device, NewDevice, Right
from pacs_gateway.access.certificates import SUBJECT, check_certificate, fingerprint_of_pem, is_fingerprint
from pacs_gateway.access.device import MODALITY_RIGHTS, D, parse_rights
from pacs_gateway.access.device_settings import (
    DEFAULT_IDLE_S,
    DEFAULT_MAX_MATCHES,
    check_charset,
    check_issuer,
    parse_syntaxes,
    syntax_keyword,
)
from pacs_gateway.access.networks import Networks
from pacs_gateway.access.rejections import Rejected
from pacs_gateway.cli.context import opened_access
from pacs_gateway.cli.facts import Facts, print_facts, print_json, print_table
from pacs_gateway.domain.vietnamese import VIETNAMESE_ENCODINGS
from pacs_gateway.errors import InputError

T = TypeVar("T")


def _listed(rights: Collection[Right]) -> list[str]:
    return [right.value for right in Right if right in rights]


app = typer.Typer(
    no_args_is_help=True,
    help="Devices: who may call this gateway over DICOM. A change counts in a running gateway within 2 s.",
)

Title = Annotated[str, typer.Argument(metavar="AET", help="AE title of the device; upper and lower case count.")]
Called = Annotated[str, typer.Option("--called", metavar="AET", help="The one of our titles it calls; default any.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# What is set for a device; absent: the default of a new one, no change of one that is known.
Network = Annotated[
    str | None,
    typer.Option(
        "--network", metavar="CIDR,...", help="Where it calls from, or any; default the addresses of HOST ('host')."
    ),
]
Facility = Annotated[
    str | None, typer.Option("--facility", metavar="CODE", help="Facility it belongs to; default this gateway's.")
]
Rights = Annotated[
    str | None,
    typer.Option(
        "--rights",
        metavar="RIGHTS",
        help=f"Some of {', '.join(Right)}, or all; default {', '.join(_listed(MODALITY_RIGHTS))}.",
    ),
]
Syntaxes = Annotated[
    str | None,
    typer.Option(
        "--transfer-syntaxes",
        metavar="UID,...",
        help="The only ones it may send and is sent, the preferred first, by UID or keyword; default all.",
    ),
]
Charset = Annotated[
    str | None,
    typer.Option(
        "--charset",
        metavar="TERM",
        help=f"What it writes without saying so: a DICOM term, {', '.join(VIETNAMESE_ENCODINGS)}; default by evidence.",
    ),
]
Issuer = Annotated[
    str | None,
    typer.Option("--issuer", metavar="TEXT", help="Issuer of patient ID where it sends none; default its facility."),
]
MaxMatches = Annotated[
    int | None,
    typer.Option(
        "--max-matches",
        metavar="N",
        min=1,
        help=f"Answers to one query; default {DEFAULT_MAX_MATCHES}.",
    ),
]
AsciiAnswers = Annotated[
    bool | None, typer.Option("--ascii-answers/--no-ascii-answers", help="Answer its queries without accents.")
]
IgnoreCase = Annotated[
    bool | None,
    typer.Option("--ignore-case/--no-ignore-case", help="Upper and lower case count alike in all its queries."),
]
PrivateClasses = Annotated[
    bool | None,
    typer.Option(
        "--private-classes/--no-private-classes", help="Take objects of private and unknown classes; default yes."
    ),
]
Idle = Annotated[
    int | None,
    typer.Option(
        "--idle",
        metavar="S",
        min=1,
        help=f"Seconds of silence that end its association; default {DEFAULT_IDLE_S}.",
    ),
]
Certificate = Annotated[
    list[str] | None,
    typer.Option(
        "--certificate",
        metavar="CERT",
        help="Its TLS certificate: a PEM file, its SHA-256 or subject:CN=...; may be repeated; default any.",
    ),
]
Tls = Annotated[bool | None, typer.Option("--tls/--no-tls", help="Call it over TLS.")]


@app.command(
    "add",
    help="Register a device.",
    epilog="Example: pacs-gateway device add CT1 10.1.2.3 104 --facility HUE; "
    "pacs-gateway device add OLDRIS 10.1.2.9 104 --rights echo,find --charset TCVN3 --ascii-answers",
)
@app.command(
    "change",
    help="Change what is given of a device; '' empties a setting.",
    epilog="Example: pacs-gateway device change CT1 --rights all --max-matches 2000; "
    "pacs-gateway device change CT1 10.1.2.4 104; pacs-gateway device change CT1 --transfer-syntaxes ''",
)
def configure(  # noqa: PLR0913 - one parameter for each argument and option of the commands
    ctx: typer.Context,
    ae_title: Title,
    host: Annotated[
        str | None, typer.Argument(metavar="HOST", help="Where it listens itself; makes it a destination.")
    ] = None,
    port: Annotated[int | None, typer.Argument(metavar="PORT", min=1, max=65535, help="And its port.")] = None,
    *,
    called: Called = "",
    network: Network = None,
    facility: Facility = None,
    rights: Rights = None,
    transfer_syntaxes: Syntaxes = None,
    charset: Charset = None,
    issuer: Issuer = None,
    max_matches: MaxMatches = None,
    answers_ascii: AsciiAnswers = None,
    ignores_case: IgnoreCase = None,
    takes_private_classes: PrivateClasses = None,
    idle_s: Idle = None,
    certificate: Certificate = None,
    is_tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Register a device, or change one: both take the same."""
    if bool(host) != (port is not None):
        raise typer.BadParameter("give both HOST and PORT, or neither")
    networks = _optional(Networks.parse, network, "--network")
    granted = _optional(parse_rights, rights, "--rights")
    syntaxes = _optional(parse_syntaxes, transfer_syntaxes, "--transfer-syntaxes")
    charset = _optional(check_charset, charset, "--charset")
    issuer = _optional(check_issuer, issuer, "--issuer")
    certificates = None if certificate is None else tuple(_certificate(one) for one in certificate if one)

    def altered(device: D) -> D:
        return replace(
            device,
            networks=_or(networks, device.networks),
            host=_or(host, device.host),
            port=_or(port, device.port),
            facility=_or(facility, device.facility),
            rights=_or(granted, device.rights),
            transfer_syntaxes=_or(syntaxes, device.transfer_syntaxes),
            charset=_or(charset, device.charset),
            issuer=_or(issuer, device.issuer),
            max_matches=_or(max_matches, device.max_matches),
            answers_ascii=_or(answers_ascii, device.answers_ascii),
            ignores_case=_or(ignores_case, device.ignores_case),
            takes_private_classes=_or(takes_private_classes, device.takes_private_classes),
            idle_s=_or(idle_s, device.idle_s),
            certificates=_or(certificates, device.certificates),
            is_tls=_or(is_tls, device.is_tls),
        )

    with opened_access(ctx) as access:
        by = Actor.from_operating_system()
        if ctx.info_name == "change":
            device = access.devices.change(ae_title, altered, called=called, by=by)
        else:
            new = altered(NewDevice(ae_title, access.config.facility, called=called))
            if new.networks.is_host and not new.host:
                raise typer.BadParameter("nothing says where the device calls from: give HOST PORT or --network")
            device = access.devices.add(new, by=by)
    _print(device, as_json=as_json)


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
        rows: list[Facts]
        if rejected:
            rows = [_rejection(one, with_first=as_json) for one in access.devices.rejected()]
        else:
            facts = _facts if as_json else _summary
            rows = [facts(device) for device in access.devices.list()]
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


def _optional(parse: Callable[[str], T], text: str | None, option: str) -> T | None:
    return None if text is None else _parsed(parse, text, option)


def _parsed(parse: Callable[[str], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _certificate(text: str) -> str:
    """Return what names a certificate; a file is one in PEM form."""
    if text.startswith(SUBJECT) or is_fingerprint(text):
        return _parsed(check_certificate, text, "--certificate")
    try:
        pem = Path(text).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError as error:
        raise typer.BadParameter(f"{text!r} is no file, SHA-256 or subject:DN", param_hint="--certificate") from error
    return _parsed(fingerprint_of_pem, pem, "--certificate")


def _or(given: T | None, kept: T) -> T:
    return kept if given is None else given


def _summary(device: Device) -> Facts:
    return {
        "ae_title": device.ae_title,
        "called": device.called,
        "networks": str(device.networks),
        "host": device.host,
        "port": device.port,
        "facility": device.facility,
        "rights": _listed(device.rights),
    }


def _rejection(one: Rejected, *, with_first: bool) -> Facts:
    times = {"first": one.first_at, "last": one.last_at} if with_first else {"last": one.last_at}
    return {
        "calling": one.calling,
        "called": one.called,
        "address": one.address,
        "times": one.n_rejected,
        **times,
        "reason": one.reason,
    }


def _facts(device: Device) -> Facts:
    return {
        **_summary(device),
        "transfer_syntaxes": [syntax_keyword(uid) for uid in device.transfer_syntaxes],
        "charset": device.charset,
        "issuer": device.issuer,
        "max_matches": device.max_matches,
        "ascii_answers": device.answers_ascii,
        "ignore_case": device.ignores_case,
        "private_classes": device.takes_private_classes,
        "idle": device.idle_s,
        "certificate": device.certificates,
        "tls": device.is_tls,
        "created": device.created_at,
    }


def _print(device: Device, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(device))
    else:
        print_facts(_facts(device))
