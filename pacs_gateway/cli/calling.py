"""``pacs-gateway echo`` and ``find``: is a device there, and what has it got."""

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Annotated

import typer
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from pacs_gateway.cli.context import opened_access, prepared
from pacs_gateway.cli.facts import print_json, print_table
from pacs_gateway.cli.peer import AsJson, Peer, find_device, peer_of
from pacs_gateway.domain.attributes import ATTRIBUTES
from pacs_gateway.domain.levels import Level

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


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("echo", epilog="Example: pacs-gateway echo ORTHANC")(echo_command)
    app.command("find", epilog="Example: pacs-gateway find ORTHANC -k 'PatientName=Trần*' -k StudyDate=20260101-")(
        find_command
    )


def echo_command(ctx: typer.Context, peer: Peer, *, as_json: AsJson = False) -> None:
    """Ask whether a device answers (C-ECHO), as whom and in what time."""
    config = prepared(ctx)
    with opened_access(ctx) as access:
        called = peer_of(find_device(access, config, peer), config)
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
        called = peer_of(find_device(access, config, peer), config)
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
