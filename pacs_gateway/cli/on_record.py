"""The audit trail of what commands do with whole studies."""

from collections.abc import Iterable

from sqlalchemy import Connection

from pacs_gateway.access import Actor, Outcome
from pacs_gateway.gateway import Gateway


def put_on_record(gateway: Gateway, action: str, study_uids: Iterable[str], *, peer: str = "") -> None:
    """Audit an action before anything leaves or comes: without a record nothing does.

    Parameters
    ----------
    peer
        AE title of the other side, where there is one.
    """
    actor = Actor.from_operating_system()
    subjects = [f"{uid} {peer}".strip() for uid in study_uids]

    def record(connection: Connection) -> None:
        for subject in subjects:
            gateway.access.audit.record(
                connection,
                actor=actor.name,
                address=actor.address,
                action=action,
                subject=subject,
                outcome=Outcome.SUCCESS,
            )

    gateway.database.transact(record)
