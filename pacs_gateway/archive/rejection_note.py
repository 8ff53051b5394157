"""Rejection notes: key object selections whose title says that what they name is not to be seen (IHE IOCM).

The batch writer notes every key object selection in its own transaction, with what its sender may take out of sight; a
job reads it and hides what it names, as a deletion would. What it names and has not come yet is awaited.

References
----------
docs/decisions/0026-rejection-notes.md; IHE RAD TF-3 4.66; PS3.16 TID 2010, CID 7011; PS3.3 C.17.6
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, update

from pacs_gateway.access.audit import Actor, Audit, Outcome
from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.metadata import read_header
from pacs_gateway.archive.remove import Cause, Removals, Target
from pacs_gateway.archive.stored import Holdings, as_file
from pacs_gateway.database.clock import SharedClock
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.database.schema.removal import rejected_reference, rejection_note
from pacs_gateway.domain.clock import Clock
from pacs_gateway.domain.rejection import Reach, RejectionReason
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.elements import declared_charset, free_text, items, text
from pacs_gateway.index.rows import BatchResult
from pacs_gateway.index.upsert import insert_ignoring
from pacs_gateway.jobs.queue import Job, enqueue

_log = logging.getLogger(__name__)

REJECTION = "rejection"
"""Kind of the job; its key is that of the note's instance."""
_SCHEME = "DCM"
# A hundred thousand references take less.
_MAX_BYTES = 32 * 2**20
# A study that is being made while its note is read is seen by neither side; microseconds until both are committed.
_SETTLED_AFTER = 10_000_000

_AWAITING = (
    select(rejected_reference.c.note_key)
    .where(rejected_reference.c.study_uid.in_(bindparam("uids", expanding=True)), ~rejected_reference.c.is_done)
    .distinct()
)
_NOTES = (
    select(
        rejection_note.c.reach,
        rejection_note.c.reason,
        instance.c.id,
        instance.c.facility,
        instance.c.source,
        instance.c.address,
        study.c.study_uid,
    )
    .join_from(rejection_note, instance)
    .join(series)
    .join(study)
    # One that is out of sight itself does nothing any more.
    .where(instance.c.state == "current")
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a rejection note says."""

    reason: RejectionReason
    studies: Mapping[str, str]
    """Study Instance UIDs by the SOP Instance UIDs that are rejected."""


class RejectionNotes:
    """Reads key object selections and has rejection notes take effect."""

    def __init__(
        self, database: Database, holdings: Holdings, removals: Removals, *, clock: Clock, queue_clock: SharedClock
    ) -> None:
        self._database = database
        self._holdings = holdings
        self._removals = removals
        self._audit = Audit(clock=clock)
        self._clock = queue_clock

    def follow_up(self, connection: Connection, result: BatchResult, *, at: int) -> None:
        """Ask, in a batch's transaction, for what its key objects and those that await its instances call for."""
        due = {key for key, _ in result.key_objects}
        if due:
            noted = [{"instance_key": key, "reach": reach.value} for key, reach in result.key_objects]
            connection.execute(insert(rejection_note), noted)
        if result.study_uids:
            due.update(connection.execute(_AWAITING, {"uids": sorted(result.study_uids)}).scalars())
        enqueue(connection, REJECTION, map(str, due), run_at=at)

    def run(self, job: Job) -> int | None:
        """Have a note take effect on what is there; return when to look again (UTC microseconds), if at all."""
        with self._database.read() as connection:
            note = connection.execute(_NOTES.where(instance.c.id == int(job.key))).first()
            now = self._clock(connection)
        if note is None:
            return None
        reason = note.reason
        if reason is None:
            reason = self._take(note, self._read(note.id))
        if not reason:
            return None
        cause = Actor(note.source, note.address), RejectionReason(reason)
        for study_uid in self._studies(note.id):
            self._apply(note, Target(study_uid), Cause(*cause))
        return now + _SETTLED_AFTER if note.reason is None else None

    def _read(self, key: int) -> Rejection | None:
        """Return what a key object selection rejects, None where it is no rejection note."""
        try:
            stored = self._holdings.plain(self._holdings.by_id(key))
            with self._holdings.open(stored) as reader:
                if reader.size_bytes <= _MAX_BYTES:
                    return rejection_of(read_header(as_file(reader)))
            problem = "it is too long"
        except InvalidInstanceError as error:
            problem = str(error)
        _log.warning("key object selection %d is taken for no rejection note: %s", key, problem)
        return None

    def _take(self, note: Row[*tuple[Any, ...]], rejection: Rejection | None) -> str:
        """Put on record what a note says, and that it counts or does not; return its reason where it does."""
        is_refused = rejection is not None and Reach(note.reach) is Reach.NOTHING
        reason = rejection.reason.value if rejection is not None and not is_refused else ""
        by = {"actor": note.source, "address": note.address}

        def take(connection: Connection) -> None:
            unread = update(rejection_note).where(
                rejection_note.c.instance_key == note.id, rejection_note.c.reason.is_(None)
            )
            if not connection.execute(unread.values(reason=reason)).rowcount:
                return
            if rejection is not None and rejection.studies and reason:
                named = [
                    {"note_key": note.id, "sop_uid": sop_uid, "study_uid": study_uid}
                    for sop_uid, study_uid in rejection.studies.items()
                ]
                connection.execute(insert_ignoring(connection, rejected_reference), named)
            elif is_refused:
                self._audit.record(connection, **by, action="reject", subject=note.study_uid, outcome=Outcome.FAILURE)

        self._database.transact(take)
        if is_refused:
            _log.warning("a rejection note of %s hides nothing: its sender may not delete", note.source or "an import")
        return reason

    def _studies(self, key: int) -> tuple[str, ...]:
        """Return the studies that are there and of which a note names more than it has acted on."""
        awaited = select(rejected_reference.c.study_uid).where(*_open(key)).distinct()
        there = select(study.c.study_uid).where(study.c.study_uid.in_(awaited)).order_by(study.c.study_uid)
        with self._database.read() as connection:
            return tuple(connection.execute(there).scalars())

    def _apply(self, note: Row[*tuple[Any, ...]], target: Target, cause: Cause) -> None:
        """Hide what a note names of a study, within what its sender may; each instance once and never again."""
        scope = Scope(None if Reach(note.reach) is Reach.ALL else frozenset({note.facility}))
        named = select(rejected_reference.c.sop_uid).where(
            *_open(note.id), rejected_reference.c.study_uid == target.study_uid
        )
        there = (
            select(instance.c.sop_uid)
            .join_from(instance, series)
            .join(study)
            .where(study.c.study_uid == target.study_uid, instance.c.sop_uid.in_(named))
        )

        def apply(connection: Connection) -> int:
            n_hidden = self._removals.hide(connection, scope, target, cause, among=named)
            mine = (rejected_reference.c.note_key == note.id, rejected_reference.c.sop_uid.in_(there))
            done = connection.execute(update(rejected_reference).where(*mine).values(is_done=True))
            return done.rowcount - n_hidden

        if n_left := self._database.transact(apply):
            _log.info("%d of what a rejection note names was hidden already, or is another facility's", n_left)


def rejection_of(header: Dataset) -> Rejection | None:
    """Return what a key object selection rejects, None where its title says something else.

    Raises
    ------
    InvalidInstanceError
        It cannot be read.
    """
    charset = declared_charset(header)
    titles = {
        free_text(title, "CodeValue", charset).strip()
        for title in items(header, "ConceptNameCodeSequence")
        if free_text(title, "CodingSchemeDesignator", charset).strip() == _SCHEME
    }
    reasons = [reason for reason in RejectionReason if reason in titles]
    return Rejection(reasons[0], dict(_references(header))) if reasons else None


def _references(header: Dataset) -> Iterator[tuple[str, str]]:
    """Yield instance and study of what a key object selection names (PS3.3 C.17.6.2.1)."""
    for one in items(header, "CurrentRequestedProcedureEvidenceSequence"):
        study_uid = text(one, "StudyInstanceUID")
        for part in items(one, "ReferencedSeriesSequence"):
            for reference in items(part, "ReferencedSOPSequence"):
                sop_uid = text(reference, "ReferencedSOPInstanceUID")
                if is_uid(study_uid) and is_uid(sop_uid):
                    yield sop_uid, study_uid


def _open(key: int) -> tuple[ColumnElement[bool], ...]:
    return rejected_reference.c.note_key == key, ~rejected_reference.c.is_done
