"""Several contents under one SOP Instance UID: all kept, compared, and a policy decides which is current (promises P4).

References
----------
PS3.3 C.12.1.1.1 (a SOP Instance UID identifies one object)
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, delete, select, update

from pacs_gateway.archive.derive import DERIVE
from pacs_gateway.archive.equivalence import is_equivalent
from pacs_gateway.archive.retrieve import part10_head
from pacs_gateway.archive.stored import Holdings
from pacs_gateway.archive.visibility import count, lock_above
from pacs_gateway.database.clock import SharedClock, database_time
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, series_derived, study
from pacs_gateway.errors import NotFoundError
from pacs_gateway.guard import Guard
from pacs_gateway.jobs.queue import enqueue

_log = logging.getLogger(__name__)

COMPARE = "compare"
"""Kind of the job; its key is the pending instance's key."""
_CHUNK_BYTES = 1 << 20


class ConflictPolicy(StrEnum):
    """Which of two contents under one UID is current."""

    SAME_SOURCE = "same-source"
    """A new version from the same device and facility becomes current, one from elsewhere does not."""
    FIRST = "first"
    LAST = "last"


class Choice(StrEnum):
    """What a person decides about a version."""

    MAKE_CURRENT = "make-current"
    KEEP_CURRENT = "keep-current"


@dataclass(frozen=True, slots=True)
class Version:
    """One content under a UID that has another."""

    id: int
    sop_uid: str
    study_uid: str
    state: str
    """pending (not compared yet), conflict, current, equivalent, settled (a person decided), or removed."""
    digest: str
    transfer_syntax_uid: str
    size_bytes: int
    facility: str
    method: str
    source: str
    received_at: datetime


class Conflicts:
    """Compares, lists and settles."""

    def __init__(
        self,
        database: Database,
        holdings: Holdings,
        guard: Guard,
        *,
        policy: ConflictPolicy,
        queue_clock: SharedClock = database_time,
    ) -> None:
        self._database = database
        self._holdings = holdings
        self._guard = guard
        self._policy = policy
        self._queue_clock = queue_clock

    def compare(self, instance_id: int) -> None:
        """Find out whether a pending content is another encoding of one that is kept, and apply the policy if not."""
        with self._database.read() as connection:
            pending = _row(connection, instance_id)
            if pending is None or pending["state"] != "pending":
                return
            others = _versions(connection, pending["sop_uid"])
        newcomer = self._holdings.by_id(instance_id)
        kept = [row for row in others if row["state"] in ("current", "conflict", "settled", "removed")]
        versions = (self._holdings.by_id(row["id"]) for row in kept)
        if any(is_equivalent(self._holdings, newcomer, version, self._guard.decode_frame) for version in versions):
            self._set_state(instance_id, "equivalent")
            return
        current = next((row for row in others if row["state"] == "current"), None)
        if not _is_removed(others) and (current is None or self._prefers(pending, current)):
            self._make_current(instance_id, old_state="conflict", by_person=False)
        else:
            self._set_state(instance_id, "conflict")
        _log.warning("instance %d has the UID of another object; both are kept", instance_id)

    def list(self, *, limit: int = 100, offset: int = 0) -> tuple[Version, ...]:
        """Return what disagrees and nobody has decided, oldest first."""
        disputed = select(instance.c.id).where(instance.c.state.in_(_UNDECIDED))
        return self._select(_VERSIONS.where(instance.c.id.in_(disputed)).limit(limit).offset(offset))

    def show(self, instance_id: int) -> tuple[Version, ...]:
        """Return all contents under the UID of one of them.

        Raises
        ------
        NotFoundError
            There is no such instance.
        """
        of_same_uid = select(instance.c.sop_uid).where(instance.c.id == instance_id)
        versions = self._select(_VERSIONS.where(instance.c.sop_uid.in_(of_same_uid)))
        if not versions:
            raise NotFoundError(f"no instance {instance_id}")
        return versions

    def part10(self, instance_id: int) -> Iterator[bytes]:
        """Yield any version, current or not, as a Part 10 file."""
        stored = self._holdings.by_id(instance_id)
        yield part10_head(stored)
        with self._holdings.open(stored) as reader:
            yield from reader.stream(stored.dataset_offset, None, _CHUNK_BYTES)

    def resolve(self, instance_id: int, choice: Choice) -> None:
        """Settle one disputed version; no bytes are destroyed.

        Raises
        ------
        NotFoundError
            Nothing is disputed under this number.
        """
        (version,) = [v for v in self.show(instance_id) if v.id == instance_id]
        if version.state not in _UNDECIDED:
            raise NotFoundError(f"instance {instance_id} is not in dispute")
        if choice is Choice.MAKE_CURRENT:
            self._make_current(instance_id, old_state="settled", by_person=True)
        else:
            self._set_state(instance_id, "settled")

    def _prefers(self, newcomer: RowMapping, current: RowMapping) -> bool:
        match self._policy:
            case ConflictPolicy.FIRST:
                return False
            case ConflictPolicy.LAST:
                return bool(newcomer["received_at"] >= current["received_at"])
            case _:
                same = all(newcomer[column] == current[column] for column in ("method", "source", "facility"))
                return same and bool(newcomer["received_at"] >= current["received_at"])

    def _set_state(self, instance_id: int, state: str) -> None:
        undecided = (instance.c.id == instance_id, instance.c.state.in_(_UNDECIDED))
        changed = update(instance).where(*undecided).values(state=state)
        self._database.transact(lambda connection: connection.execute(changed))

    def _make_current(self, instance_id: int, *, old_state: str, by_person: bool) -> None:
        def make_current(connection: Connection) -> None:
            new = _row(connection, instance_id)
            if new is None:
                raise NotFoundError(f"no instance {instance_id}")
            versions = _locked_versions(connection, new["sop_uid"])
            state = next(row["state"] for row in versions if row["id"] == instance_id)
            old = next((row for row in versions if row["state"] == "current"), None)
            if state not in _UNDECIDED:
                return  # decided meanwhile
            if not by_person and _is_removed(versions):
                connection.execute(update(instance).where(instance.c.id == instance_id).values(state="conflict"))
                return
            changes = Counter({new["series_key"]: 1})
            if old is not None:
                connection.execute(update(instance).where(instance.c.id == old["id"]).values(state=old_state))
                changes[old["series_key"]] -= 1
            connection.execute(update(instance).where(instance.c.id == instance_id).values(state="current"))
            count(connection, changes)
            # The metadata that is kept tells of the other content, and would be taken for what has not changed.
            connection.execute(delete(series_derived).where(series_derived.c.series_key.in_(changes)))
            enqueue(connection, DERIVE, map(str, changes), run_at=self._queue_clock(connection))

        self._database.transact(make_current)

    def _select(self, statement: Select[*tuple[Any, ...]]) -> tuple[Version, ...]:
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return tuple(_version(row) for row in rows)


_VERSIONS = (
    select(
        instance.c.id,
        instance.c.sop_uid,
        study.c.study_uid,
        instance.c.state,
        instance.c.digest,
        instance.c.transfer_syntax_uid,
        instance.c.size_bytes,
        instance.c.facility,
        instance.c.method,
        instance.c.source,
        instance.c.received_at,
    )
    .select_from(
        instance.join(series, series.c.id == instance.c.series_key).join(study, study.c.id == series.c.study_key)
    )
    .order_by(instance.c.sop_uid, instance.c.id)
)


_CONTENTS = select(instance).where(instance.c.sop_uid == bindparam("uid")).order_by(instance.c.id)


_UNDECIDED = ("pending", "conflict")


def _is_removed(versions: Sequence[RowMapping]) -> bool:
    """Return whether a person has taken a UID out of sight: then only a person shows another content under it."""
    states = {row["state"] for row in versions}
    return "removed" in states and "current" not in states


def _version(row: Sequence[Any]) -> Version:
    *facts, received_at = row
    return Version(*[*facts, datetime.fromtimestamp(received_at / 1_000_000, UTC)])


def _row(connection: Connection, instance_id: int) -> RowMapping | None:
    return connection.execute(select(instance).where(instance.c.id == instance_id)).mappings().first()


def _versions(connection: Connection, sop_uid: str) -> list[RowMapping]:
    return list(connection.execute(_CONTENTS, {"uid": sop_uid}).mappings())


def _locked_versions(connection: Connection, sop_uid: str) -> list[RowMapping]:
    """Return the contents of a UID, nobody else changing them or what stands above them until the end."""
    lock_above(connection, {row["series_key"] for row in _versions(connection, sop_uid)})
    return list(connection.execute(_CONTENTS.with_for_update(), {"uid": sop_uid}).mappings())
