"""``pacs-gateway send``: what is kept here to another device, and its word that it keeps it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from pacs_gateway.access import Device, Scope
from pacs_gateway.archive.asked_commitment import AskedCommitment
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import Fact, Facts, print_json
from pacs_gateway.cli.on_record import put_on_record
from pacs_gateway.cli.peer import AsJson, Peer, calling_title, find_device, peer_of
from pacs_gateway.dimse.commitment.asked import request_commitment
from pacs_gateway.domain.commitment import Reference
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from pacs_gateway.peers.dicom_peer import Sent

_EVERYTHING = Scope(None)
_BY_UID = (Level.STUDY, Level.SERIES, Level.IMAGE)
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of what was sent."""

    sent: Sequence[Sent]
    commitment: AskedCommitment | None

    @property
    def n_failed(self) -> int:
        return sum(not one.is_stored for one in self.sent)

    @property
    def statuses(self) -> list[str]:
        """How often the device answered what."""
        return [f"0x{status:04X}: {n}" for status, n in sorted(Counter(one.status for one in self.sent).items())]

    @property
    def refusals(self) -> list[str]:
        """What the device does not commit to, and why."""
        failed = self.commitment.failed if self.commitment else ()
        return [f"{failure.reference.sop_uid}: 0x{failure.reason:04X}" for failure in failed]

    def facts(self) -> Facts:
        facts: dict[str, Fact] = {
            "sent": len(self.sent) - self.n_failed,
            "failed": self.n_failed,
            "statuses": self.statuses,
        }
        if self.commitment is None:
            return facts
        n_committed, n_unanswered = len(self.commitment.committed), len(self.commitment.unanswered)
        return facts | {"committed": n_committed, "not_committed": self.refusals, "unanswered": n_unanswered}

    def say(self, peer: str) -> None:
        typer.echo(f"{len(self.sent) - self.n_failed} sent to {peer}, {self.n_failed} failed")
        for status in self.statuses:
            if not status.startswith("0x0000"):
                typer.echo(f"status {status}", err=True)
        if self.commitment is None:
            return
        typer.echo(f"{peer} commits to {len(self.commitment.committed)}, not to {len(self.refusals)}")
        for refusal in self.refusals:
            typer.echo(f"not committed: {refusal}", err=True)
        if self.commitment.answered_at is None:
            typer.echo(f"{peer} has not reported yet: it may call this gateway later", err=True)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("send", epilog="Example: pacs-gateway send ORTHANC 1.2.840.113619.2.5.1762583153 --commit")(
        send_command
    )


def send_command(
    ctx: typer.Context,
    peer: Peer,
    uids: Annotated[list[str], typer.Argument(metavar="UID...", help="Studies, series or instances kept here.")],
    *,
    commit: Annotated[bool, typer.Option("--commit", help="Then ask the device to commit to keeping them.")] = False,
    wait: Annotated[int, typer.Option(min=0, metavar="SECONDS", help="How long to wait for its commitment.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Send studies, series or instances to a device (C-STORE), and have it commit to them (storage commitment).

    A device reports its commitment when it has checked, mostly by calling this gateway: it must be running.
    """
    console = Console(stderr=True)
    committed: AskedCommitment | None = None
    with opened_gateway(ctx) as gateway:
        device = find_device(gateway.access, gateway.config, peer)
        instances = [stored for uid in dict.fromkeys(uids) for stored in _named(gateway, uid)]
        put_on_record(gateway, "send", sorted({stored.study_uid for stored in instances}), peer=peer)
        sending = peer_of(device, gateway.config).send(instances, gateway.archive.retrieve)
        bar = track(sending, "Sending", total=len(instances), console=console, disable=not console.is_terminal)
        sent = list(bar)
        if commit:
            committed = _have_committed(gateway, device, [one.stored for one in sent if one.is_stored], wait_s=wait)
    outcome = _Outcome(sent, committed)
    if as_json:
        print_json(outcome.facts())
    else:
        outcome.say(peer)
    if outcome.n_failed or (committed is not None and (committed.failed or committed.unanswered)):
        raise typer.Exit(1)


def _have_committed(
    gateway: Gateway, device: Device, instances: list[StoredInstance], *, wait_s: float
) -> AskedCommitment | None:
    """Ask for a commitment and wait for the report; it may come to the running gateway."""
    if not instances:
        return None
    asked = gateway.archive.asked_commitments
    calling = calling_title(device, gateway.config)
    references = [Reference(stored.sop_class_uid, stored.sop_uid) for stored in instances]
    uid = request_commitment(device, references, asked, gateway.config.dimse, calling=calling)
    give_up_at = monotonic() + wait_s
    while (known := asked.show(uid)).answered_at is None and monotonic() < give_up_at:
        sleep(_LOOK_EVERY_S)
    return known


def _named(gateway: Gateway, uid: str) -> tuple[StoredInstance, ...]:
    """Return the instances of a study, a series, or one instance."""
    check_uid(uid, "UID")
    for level in _BY_UID:
        found = gateway.archive.retrieve.by_keys(_EVERYTHING, {level: (uid,)})
        if found:
            return found
    raise NotFoundError(f"no study, series or instance {uid} is kept here")
