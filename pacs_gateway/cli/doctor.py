"""``pacs-gateway doctor``: what is wrong, and what to do about it."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from pacs_gateway.access import Listening, check_exposure
from pacs_gateway.cli.context import loaded
from pacs_gateway.cli.facts import Facts, print_json, print_table
from pacs_gateway.config import compose
from pacs_gateway.database.engine import Database
from pacs_gateway.database.revision import revisions
from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.tls import expiry_warnings, make_context
from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.jobs.queue import JobState
from pacs_gateway.storage.check import check_store

_UNSHIPPED_TOO_LONG = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `advice` says what to do where it is not well."""

    subject: str
    is_well: bool
    advice: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor", epilog="Example: pacs-gateway doctor")(doctor_command)


def doctor_command(
    ctx: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at everything the gateway depends on and say what to do; exit 1 if something is not well."""
    config = compose(loaded(ctx).settings)
    findings: list[Finding] = []
    try:
        database = Database(config.database)
        present, needed = revisions(database)
        database.close()
        advice = "run `pacs-gateway migrate`" if present else "start the gateway once with `pacs-gateway serve`"
        findings.append(Finding("index schema", present == needed, "" if present == needed else advice))
        if present == needed:
            with open_gateway(config) as gateway:
                findings += _examine(gateway)
    except GatewayError as error:
        findings.append(Finding("gateway", is_well=False, advice=str(error)))
    facts: list[Facts] = [{"subject": f.subject, "well": f.is_well, "advice": f.advice} for f in findings]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="nothing to look at")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)


def _examine(gateway: Gateway) -> Iterator[Finding]:
    yield _look("index", lambda: _quick_check(gateway))
    yield _look("object store", lambda: _check_store(gateway))
    yield _look("spool room", lambda: "" if gateway.spool.accepts() else "free disk space: nothing more is received")
    yield from _nodes(gateway)
    yield _look("settings", lambda: _check_settings(gateway))
    if (tls := gateway.config.dimse.tls) is not None:
        yield _look("TLS certificate", lambda: _check_certificates(tls, gateway.clock()))
    dead = len(gateway.jobs.list(state=JobState.DEAD, limit=10_000))
    yield Finding(
        "jobs", dead == 0, f"{dead} failed for good: see `pacs-gateway jobs list --state dead`" if dead else ""
    )
    disputed = len(gateway.archive.conflicts.list(limit=10_000))
    advice = f"{disputed} undecided: see `pacs-gateway conflicts list`" if disputed else ""
    yield Finding("conflicts", disputed == 0, advice)
    yield from _ports(gateway)


def _look(subject: str, check: Callable[[], str]) -> Finding:
    """Return the finding of a check that returns advice, or raises it."""
    try:
        advice = check()
    except GatewayError as error:
        advice = str(error)
    return Finding(subject, not advice, advice)


def _nodes(gateway: Gateway) -> Iterator[Finding]:
    """Say of every node whether it lives, and what would be lost with it."""
    for node in gateway.archive.nodes.list():
        advice = []
        if not node.is_alive:
            advice.append(f"last heard of: {_shown(node.heartbeat_at)}; start it")
        if node.oldest_unshipped_at is not None and gateway.clock() - node.oldest_unshipped_at > _UNSHIPPED_TOO_LONG:
            since = _shown(node.oldest_unshipped_at)
            advice.append(f"only its spool has {node.n_unshipped} of the instances, the oldest since {since}")
        yield Finding(f"node {node.id or 'unknown'}", not advice, "; ".join(advice))


def _shown(at: datetime | None) -> str:
    return "never" if at is None else at.isoformat(timespec="seconds")


def _quick_check(gateway: Gateway) -> str:
    return "" if gateway.database.is_intact() else "the index is damaged: restore the last backup"


def _check_store(gateway: Gateway) -> str:
    failed = [step for step in check_store(gateway.store) if not step.passed]
    return f"{failed[0].name}: {failed[0].error}" if failed else ""


def _check_settings(gateway: Gateway) -> str:
    check_exposure(
        Listening(dicom_hosts=gateway.config.dicom_hosts, web_hosts=gateway.config.web_hosts),
        is_auth_on=gateway.config.access.is_auth_on,
        unknown_devices=gateway.config.access.unknown_devices,
        has_administrator=gateway.access.accounts.has_administrator(),
    )
    return ""


def _check_certificates(tls: TlsConfig, now: datetime) -> str:
    make_context(tls, is_server=True, now=now)
    return "; ".join(expiry_warnings(tls, now=now))


def _ports(gateway: Gateway) -> Iterator[Finding]:
    """Say whether the ports answer: a gateway that should run but does not is the commonest trouble."""
    config = gateway.config
    for subject, hosts, port in (
        ("DICOM port", config.dicom_hosts, config.dicom_port),
        ("DICOM TLS port", config.dicom_hosts if config.dimse.tls else (), config.dicom_tls_port),
        ("web port", config.web_hosts, config.web_port),
    ):
        for host in hosts:
            target = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
            try:
                socket.create_connection((target, port), timeout=2).close()
            except OSError:
                yield Finding(f"{subject} {port}", is_well=False, advice="nothing answers: start `pacs-gateway serve`")
            else:
                yield Finding(f"{subject} {port}", is_well=True)
