"""Removing: taking instances out of sight for a reason, and restoring them; no bytes are destroyed (promises P5).

What is removed leaves every search, retrieval, count and commitment in one transaction, with the record of who did it.
A tombstone in the object store says the same, so that an index that is built again comes to the same end.

References
----------
docs/decisions/0022-removal.md; PS3.15 A.5.3 (the audit of a deletion)
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, insert, literal, select, update

from pacs_gateway.access.audit import Actor, Audit, Outcome
from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.visibility import count, lock_above, renew_derived
from pacs_gateway.database.clock import SharedClock, database_time
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import Key, instance, series, study
from pacs_gateway.database.schema.removal import removal, removed_instance
from pacs_gateway.domain.clock import Clock, from_microseconds
from pacs_gateway.domain.rejection import RejectionReason
from pacs_gateway.errors import ConflictError, NotFoundError
from pacs_gateway.jobs.queue import Job, enqueue
from pacs_gateway.storage.store import ObjectStore, removal_key

TOMBSTONE = "tombstone"
"""Kind of the job that writes what the object store is to know; its key is the removal's."""
KEPT_FOR = timedelta(days=30)
"""So long what is removed can be restored at least."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be removed: a study, a series of it, or an instance of that."""

    study_uid: str
    series_uid: str = ""
    sop_uid: str = ""

    def __str__(self) -> str:
        return "/".join(uid for uid in (self.study_uid, self.series_uid, self.sop_uid) if uid)


@dataclass(frozen=True, slots=True)
class Cause:
    """By whom and why something is removed; the token makes doing it again harmless."""

    by: Actor
    reason: RejectionReason | None = None
    token: str = field(default_factory=lambda: token_hex(16))


@dataclass(frozen=True, slots=True)
class Removal:
    """One removal: what, by whom, when and why."""

    id: int
    target: Target
    at: datetime
    actor: str
    reason: str
    """Code value of a rejection; empty where something was just deleted."""
    n_instances: int
    n_sent_again: int
    """How often something of it has been sent again since; it stays removed."""
    restored_at: datetime | None
    restored_by: str

    @property
    def kept_until(self) -> datetime:
        """Until when it can be restored at least."""
        return self.at + KEPT_FOR


class Removals:
    """Removes, lists and restores; safe to use from many threads."""

    def __init__(
        self, database: Database, store: ObjectStore, *, clock: Clock, queue_clock: SharedClock = database_time
    ) -> None:
        self._database = database
        self._store = store
        self._audit = Audit(clock=clock)
        self._clock = queue_clock

    def remove(self, scope: Scope, target: Target, *, by: Actor, reason: RejectionReason | None = None) -> int:
        """Take what the caller sees of `target` out of everybody's sight; return how many instances that were.

        Raises
        ------
        NotFoundError
            There is nothing, or nothing the caller may see.
        """
        cause = Cause(by, reason)

        def work(connection: Connection) -> int:
            done = connection.execute(select(removal.c.n_instances).where(removal.c.token == cause.token)).scalar()
            if done is not None:  # the answer to the commit was lost
                return int(done)
            if n_hidden := self.hide(connection, scope, target, cause):
                return n_hidden
            raise NotFoundError("no such study, series or instance")

        return self._database.transact(work)

    def hide(
        self,
        connection: Connection,
        scope: Scope,
        target: Target,
        cause: Cause,
        *,
        among: Select[tuple[str]] | None = None,
    ) -> int:
        """Take what `scope` shows of `target` out of sight in the caller's transaction; return how many that were.

        Parameters
        ----------
        among
            SOP Instance UIDs; only what has one of these.
        """
        shown = _shown(_locked_series(connection, scope, target), target)
        if among is not None:
            shown.append(instance.c.sop_uid.in_(among))
        found = connection.execute(_FOUND.where(*shown)).all()
        if not found:
            return 0
        n_shown = Counter(row.series_key for row in found)
        if among is not None:
            target = _common(target.study_uid, found)
        at, by = self._clock(connection), cause.by
        facts = dict(
            zip(_TOLD, (cause.token, at, by.name, by.address, cause.reason or "", *astuple(target)), strict=True)
        )
        added = insert(removal).values(**facts, n_instances=n_shown.total()).returning(removal.c.id)
        key = connection.execute(added).scalar_one()
        theirs = select(literal(key, Key), instance.c.id).where(*shown)
        connection.execute(insert(removed_instance).from_select(["removal_key", "instance_key"], theirs))
        connection.execute(update(instance).where(*shown).values(state="removed"))
        self._follow_up(connection, key, {one: -n for one, n in n_shown.items()}, at=at)
        action = "reject" if cause.reason else "delete"
        self._record(connection, action, f"{target} {cause.reason or ''}".rstrip(), by)
        return n_shown.total()

    def list(self, *, limit: int = 100, offset: int = 0, is_complete: bool = False) -> tuple[Removal, ...]:
        """Return what is removed, the latest first; with `is_complete` what has been restored, too."""
        statement = select(removal).order_by(removal.c.at.desc(), removal.c.id.desc()).limit(limit).offset(offset)
        if not is_complete:
            statement = statement.where(removal.c.restored_at.is_(None))
        with self._database.read() as connection:
            return tuple(_removal(row) for row in connection.execute(statement))

    def restore(self, removal_id: int, *, by: Actor) -> int:
        """Show again what a removal has hidden; return how many instances that are.

        Where another content has become current under a UID in the meantime, the restored one is in dispute with it.

        Raises
        ------
        NotFoundError
            There is no such removal.
        ConflictError
            It has been restored already.
        """
        at = 0

        def work(connection: Connection) -> int:
            nonlocal at
            mine = select(removed_instance.c.instance_key).where(removed_instance.c.removal_key == removal_id)
            hidden = select(instance.c.id, instance.c.sop_uid, instance.c.series_key).where(
                instance.c.id.in_(mine), instance.c.state == "removed"
            )
            lock_above(connection, {row.series_key for row in connection.execute(hidden)})
            told = connection.execute(select(removal).where(removal.c.id == removal_id).with_for_update()).first()
            if told is None:
                raise NotFoundError(f"no removal {removal_id}")
            if told.restored_at is not None:
                if told.restored_at == at:  # the answer to the commit was lost
                    return int(told.n_instances)
                raise ConflictError(f"removal {removal_id} has been restored already")
            at = self._clock(connection)
            n_shown = Counter(_restore(connection, connection.execute(hidden).all()))
            restored = update(removal).where(removal.c.id == removal_id)
            connection.execute(restored.values(restored_at=at, restored_by=by.name))
            self._follow_up(connection, removal_id, n_shown, at=at)
            self._record(connection, "restore", str(_target(told)), by)
            return n_shown.total()

        return self._database.transact(work)

    def record(self, job: Job) -> None:
        """Tell the object store of a removal, and of its restoration once there is one.

        Raises
        ------
        UnavailableError, CapacityError
            It takes nothing now; the job is done again.
        """
        mine = removed_instance.c.removal_key == int(job.key)
        contents = select(instance.c.sop_uid, instance.c.digest).join_from(instance, removed_instance).where(mine)
        with self._database.read() as connection:
            told = connection.execute(select(removal).where(removal.c.id == int(job.key))).one()
            instances = connection.execute(contents.order_by(instance.c.sop_uid, instance.c.digest)).all()
        facts = {name: getattr(told, name) for name in _TOLD} | {"instances": [list(one) for one in instances]}
        self._store.put(removal_key(told.token, "removed.json"), orjson.dumps(facts))
        if told.restored_at is not None:
            restored = {"token": told.token, "at": told.restored_at, "actor": told.restored_by}
            self._store.put(removal_key(told.token, "restored.json"), orjson.dumps(restored))

    def _follow_up(self, connection: Connection, removal_id: int, changes: Mapping[int, int], *, at: int) -> None:
        count(connection, changes)
        renew_derived(connection, changes.keys(), at=at)
        enqueue(connection, TOMBSTONE, [str(removal_id)], run_at=at)

    def _record(self, connection: Connection, action: str, subject: str, by: Actor) -> None:
        self._audit.record(
            connection, actor=by.name, address=by.address, action=action, subject=subject, outcome=Outcome.SUCCESS
        )


_FOUND = select(instance.c.series_key, series.c.series_uid, instance.c.sop_uid).join_from(instance, series)
_TOLD = ("token", "at", "actor", "address", "reason", "study_uid", "series_uid", "sop_uid")


def _locked_series(connection: Connection, scope: Scope, target: Target) -> list[int]:
    """Return the keys of the series that `target` is about; nobody else changes them until the end."""
    visible = [study.c.study_uid == target.study_uid]
    if scope.facilities is not None:
        visible.append(study.c.facility.in_(sorted(scope.facilities)))
    key = connection.execute(select(study.c.id).where(*visible).with_for_update()).scalar()
    mine = [series.c.study_key == key]
    if target.series_uid:
        mine.append(series.c.series_uid == target.series_uid)
    # As ``lock_above``: studies, then series.
    keys = select(series.c.id).where(*mine).order_by(series.c.series_uid).with_for_update()
    return list(connection.execute(keys).scalars())


def _shown(series_keys: Collection[int], target: Target) -> list[ColumnElement[bool]]:
    shown = [instance.c.series_key.in_(series_keys), instance.c.state == "current"]
    if target.sop_uid:
        shown.append(instance.c.sop_uid == target.sop_uid)
    return shown


def _common(study_uid: str, found: Sequence[Row[*tuple[Any, ...]]]) -> Target:
    """Return the smallest thing that has all of these instances of a study."""
    if len({row.series_uid for row in found}) > 1:
        return Target(study_uid)
    return Target(study_uid, found[0].series_uid, found[0].sop_uid if len(found) == 1 else "")


def _restore(connection: Connection, hidden: Sequence[Row[*tuple[Any, ...]]]) -> Iterator[int]:
    """Give each instance back its place, or a place in dispute; yield the series of those that are shown again."""
    uids = [row.sop_uid for row in hidden]
    replaced = select(instance.c.sop_uid).where(instance.c.sop_uid.in_(uids), instance.c.state == "current")
    taken = set(connection.execute(replaced).scalars())
    for state, keys in (
        ("conflict", [row.id for row in hidden if row.sop_uid in taken]),
        ("current", [row.id for row in hidden if row.sop_uid not in taken]),
    ):
        connection.execute(update(instance).where(instance.c.id.in_(keys)).values(state=state))
    yield from (row.series_key for row in hidden if row.sop_uid not in taken)


def _target(row: Row[*tuple[Any, ...]]) -> Target:
    return Target(row.study_uid, row.series_uid, row.sop_uid)


def _removal(row: Row[*tuple[Any, ...]]) -> Removal:
    return Removal(
        row.id,
        _target(row),
        from_microseconds(row.at),
        row.actor,
        row.reason,
        row.n_instances,
        row.n_sent_again,
        from_microseconds(row.restored_at) if row.restored_at is not None else None,
        row.restored_by,
    )
