"""``pacs-gateway echo``, ``find``, ``send``, ``fetch``: calling another device ourselves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Annotated

import typer
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from rich.console import Console
from rich.progress import Progress, track

from pacs_gateway.access import Access, Device, Scope
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.cli.context import opened_access, opened_gateway, prepared
from pacs_gateway.cli.facts import print_json, print_table
from pacs_gateway.cli.on_record import put_on_record
from pacs_gateway.cli.shipping import ship_now
from pacs_gateway.config import GatewayConfig
from pacs_gateway.dimse.destination import remote_of
from pacs_gateway.dimse.store import StoreService
from pacs_gateway.domain.attributes import ATTRIBUTES
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from pacs_gateway.peers.dicom_peer import DicomPeer
from pacs_gateway.peers.fetch import fetch

Peer = Annotated[str, typer.Argument(metavar="PEER", help="AE title of a registered device with HOST and PORT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_EVERYTHING = Scope(None)
# What fits on a screen; --json tells everything.
_COLUMNS: Mapping[Level, tuple[str, ...]] = {
    Level.PATIENT: ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    Level.STUDY: ("StudyDate", "PatientName", "PatientID", "ModalitiesInStudy", "AccessionNumber", "StudyInstanceUID"),
    Level.SERIES: (
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID",
    ),
    Level.IMAGE: ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}
_BY_UID = (Level.STUDY, Level.SERIES, Level.IMAGE)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("echo", epilog="Example: pacs-gateway echo ORTHANC")(echo_command)
    app.command("find", epilog="Example: pacs-gateway find ORTHANC -k 'PatientName=Trần*' -k StudyDate=20260101-")(
        find_command
    )
    app.command("send", epilog="Example: pacs-gateway send ORTHANC 1.2.840.113619.2.5.1762583153")(send_command)
    app.command("fetch", epilog="Example: pacs-gateway fetch ORTHANC 1.2.840.113619.2.5.1762583153")(fetch_command)


def echo_command(ctx: typer.Context, peer: Peer, *, as_json: AsJson = False) -> None:
    """Ask whether a device answers (C-ECHO), as whom and in what time."""
    config = prepared(ctx)
    with opened_access(ctx) as access:
        called = _peer(access, config, peer)
    began = monotonic()
    called.echo()
    milliseconds = round((monotonic() - began) * 1000)
    remote = called.remote
    if as_json:
        print_json({"peer": remote.ae_title, "calling": remote.calling_ae_title, "milliseconds": milliseconds})
    else:
        typer.echo(f"{remote.ae_title} answered {remote.calling_ae_title} in {milliseconds} ms")


def find_command(
    ctx: typer.Context,
    peer: Peer,
    *,
    level: Annotated[Level, typer.Option(case_sensitive=False, help="What to find.")] = Level.STUDY,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "-k", "--key", metavar="KEYWORD=VALUE", help="What to look for; KEYWORD alone asks for its value."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Matches to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Search what a device has (C-FIND)."""
    asked = _keys(key or [])
    keys = {a.tag: "" for a in ATTRIBUTES if a.default and _is_told_at(level, a.level)} | asked
    config = prepared(ctx)
    with opened_access(ctx) as access:
        called = _peer(access, config, peer)
    matches: list[Mapping[str, str]] = []
    for match in called.find(level, keys):
        if len(matches) == limit:
            typer.echo(f"there are more than {limit}: narrow the search, or raise --limit", err=True)
            break
        matches.append(match)
    if as_json:
        print_json(matches)
    else:
        shown = dict.fromkeys((*_COLUMNS[level], *(keyword_for_tag(tag) for tag in asked)))
        print_table([{keyword: match.get(keyword, "") for keyword in shown} for match in matches], none="nothing found")


def send_command(
    ctx: typer.Context,
    peer: Peer,
    uids: Annotated[list[str], typer.Argument(metavar="UID...", help="Studies, series or instances kept here.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Send studies, series or instances to a device (C-STORE)."""
    statuses: Counter[int] = Counter()
    n_stored = 0
    console = Console(stderr=True)
    with opened_gateway(ctx) as gateway:
        called = _peer(gateway.access, gateway.config, peer)
        instances = [stored for uid in dict.fromkeys(uids) for stored in _named(gateway, uid)]
        put_on_record(gateway, "send", sorted({stored.study_uid for stored in instances}), peer=peer)
        sent = called.send(instances, gateway.archive.retrieve)
        for one in track(sent, "Sending", total=len(instances), console=console, disable=not console.is_terminal):
            statuses[one.status] += 1
            n_stored += one.is_stored
    n_failed = len(instances) - n_stored
    if as_json:
        print_json({"sent": n_stored, "failed": n_failed, "statuses": [f"0x{s:04X}: {n}" for s, n in statuses.items()]})
    else:
        typer.echo(f"{n_stored} sent to {peer}, {n_failed} failed")
        for status, n in sorted(statuses.items()):
            if status:
                typer.echo(f"{n} answered with status 0x{status:04X}", err=True)
    if n_failed:
        raise typer.Exit(1)


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
        device = _device(gateway.access, gateway.config, peer)
        called = _peer(gateway.access, gateway.config, peer)
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


def _peer(access: Access, config: GatewayConfig, ae_title: str) -> DicomPeer:
    """Return the registered device as somebody to call, as whom it knows us."""
    device = _device(access, config, ae_title)
    calling = device.called or config.dimse.ae_titles[0]
    remote = remote_of(device, calling=calling, tls=config.dimse.tls)
    return DicomPeer(remote, config.dimse, frozenset(device.transfer_syntaxes), device.charset)


def _device(access: Access, config: GatewayConfig, ae_title: str) -> Device:
    device = access.devices.destination(ae_title, called=config.dimse.ae_titles[0])
    if device is None:
        raise NotFoundError(f"no device {ae_title} with HOST and PORT is registered: see `pacs-gateway device list`")
    return device


def _is_told_at(level: Level, attribute: Level) -> bool:
    return attribute is level or attribute in level.parents


def _keys(texts: Iterable[str]) -> dict[int, str]:
    """Return keys by tag, as ``KEYWORD=VALUE`` and ``KEYWORD`` spell them."""
    keys: dict[int, str] = {}
    for text in texts:
        keyword, _, value = text.partition("=")
        tag = tag_for_keyword(keyword.strip())
        if tag is None:
            raise typer.BadParameter(f"{keyword!r} is no DICOM keyword: write PatientName=TRAN*", param_hint="--key")
        keys[int(tag)] = value
    return keys


def _named(gateway: Gateway, uid: str) -> tuple[StoredInstance, ...]:
    """Return the instances of a study, a series, or one instance."""
    check_uid(uid, "UID")
    for level in _BY_UID:
        found = gateway.archive.retrieve.by_keys(_EVERYTHING, {level: (uid,)})
        if found:
            return found
    raise NotFoundError(f"no study, series or instance {uid} is kept here")
