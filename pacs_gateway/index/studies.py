"""The records above an instance: patient, study and series, made once and never blanked.

The first image object that arrives defines its study; later ones fill what is still blank, and what disagrees is
flagged. Reports, presentation states and key objects never define a study (settled: Matching).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, bindparam, select, tuple_, update

from pacs_gateway.database.schema.archive import patient, series, study
from pacs_gateway.domain.attributes import Attribute
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.names import fold
from pacs_gateway.index import name_words
from pacs_gateway.index.arrival import Arrival, column_value, columns_of
from pacs_gateway.index.upsert import insert_ignoring

Values = dict[str, str | int | None]

# SOP classes (by prefix) that describe other objects: they never define a study (PS3.4 B.5).
_DERIVED_DOCUMENTS = (
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports, key object selection
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.66",  # raw data, registrations, fiducials, segmentations
)
_PLACEHOLDER_IDS = frozenset({"", "0", "00", "000", "UNKNOWN", "UNKNOWN ID", "NONE", "N/A", "NA", "ANONYMOUS", "ANON"})
_PATIENT = columns_of(Level.PATIENT)
_STUDY = columns_of(Level.STUDY)
_SERIES = columns_of(Level.SERIES)
# What a later object may spell differently without being about another examination.
_NOT_FLAGGED = frozenset(
    {"patient_age", "timezone_offset", "study_description", "referring_physician_name", "procedure_codes"}
)
_PARENT_KEYWORDS = tuple(a.keyword for a in (*_PATIENT, *_STUDY, *_SERIES))
# Columns that repeat another one in a form by which it is found.
_FORMS: Mapping[str, tuple[str, Callable[[str], str]]] = MappingProxyType(
    {
        "patient_name": ("patient_name_fold", fold),
        "referring_physician_name": ("referring_physician_name_fold", fold),
        "patient_id": ("patient_id_lower", str.lower),
        "accession_number": ("accession_number_lower", str.lower),
    }
)


def defines_study(record: InstanceRecord) -> bool:
    """Return whether a study may take its attributes from this object."""
    return not record.sop_class_uid.startswith(_DERIVED_DOCUMENTS)


def patient_identity(record: InstanceRecord) -> str:
    """Return what makes the patient one person: issuer and PatientID, or the study where no usable ID was sent."""
    patient_id = record.attributes.get("PatientID", "")
    if patient_id.upper() in _PLACEHOLDER_IDS:
        return f"\\study\\{record.study_uid}"
    return f"{_issuer(record)}\\{patient_id}"


def _issuer(record: InstanceRecord) -> str:
    return record.attributes.get("IssuerOfPatientID") or record.origin.issuer or record.origin.facility


def _values(columns: Sequence[Attribute], record: InstanceRecord) -> Values:
    return {str(a.column): column_value(a, record) for a in columns}


def _merged(columns: Sequence[Attribute], records: Sequence[InstanceRecord]) -> Values:
    """Return, per column, the first non-blank value among `records`."""
    merged = _values(columns, records[0])
    for record in records[1:]:
        for column, value in _values(columns, record).items():
            if _blank(merged[column]):
                merged[column] = value
    return merged


def _blank(value: object) -> bool:
    return value in ("", None)


def _with_forms(values: Values) -> Values:
    return values | {
        column: form(str(values[source] or "")) for source, (column, form) in _FORMS.items() if source in values
    }


# Built once: putting a statement together costs more than running it. The locks keep a second writer from completing
# the same row meanwhile (PostgreSQL; SQLite has one writer).
_STUDIES = (
    select(study)
    .where(study.c.study_uid.in_(bindparam("uids", expanding=True)))
    .order_by(study.c.study_uid)
    .with_for_update()
)
_SERIES_BY_PAIR = (
    select(series)
    .where(tuple_(series.c.study_key, series.c.series_uid).in_(bindparam("pairs", expanding=True)))
    .order_by(series.c.series_uid)
    .with_for_update()
)
_PATIENT_BY_KEY = select(patient).where(patient.c.id == bindparam("key")).with_for_update()
_COUNT_SERIES = (
    update(series)
    .where(series.c.id == bindparam("key"))
    .values(n_instances=series.c.n_instances + bindparam("n_added"), revision=series.c.revision + 1)
    .returning(series.c.n_instances)
)
_COUNT_STUDY = (
    update(study)
    .where(study.c.id == bindparam("key"))
    .values(
        n_series=study.c.n_series + bindparam("series_added"),
        n_instances=study.c.n_instances + bindparam("instances_added"),
        modalities=bindparam("all_modalities"),
        sop_classes=bindparam("all_classes"),
    )
)


class Parents:
    """The patients, studies and series of one batch, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._studies: dict[str, RowMapping] = {}
        self._series: dict[tuple[str, str], RowMapping] = {}

    def series_key(self, record: InstanceRecord) -> int:
        """Return the key of the record's series."""
        return int(self._series[record.study_uid, record.series_uid]["id"])

    def ensure(self, arrivals: Sequence[Arrival]) -> None:
        """Make, or complete, the rows above `arrivals`."""
        tellers = _distinct(arrivals)
        by_study: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in tellers:
            by_study[arrival.record.study_uid].append(arrival)
        self._read_studies(by_study)
        known = {uid: group for uid, group in by_study.items() if uid in self._studies}
        fresh = {uid: group for uid, group in by_study.items() if uid not in self._studies}
        if fresh:
            self._make_studies(fresh)
        for uid, group in sorted(known.items()):
            self._complete_study(uid, [arrival.record for arrival in group])
        self._ensure_series(tellers)

    def count(self, current: Sequence[Arrival]) -> None:
        """Add instances that became current to the counts and sets of their series and studies."""
        added = Counter((a.record.study_uid, a.record.series_uid) for a in current)
        for uid, group in groupby(sorted(added), key=lambda pair: pair[0]):
            n_series = n_instances = 0
            for pair in group:
                n_instances += added[pair]
                n_series += self._count_series(int(self._series[pair]["id"]), added[pair])
            records = [a.record for a in current if a.record.study_uid == uid]
            self._count_study(uid, n_series, n_instances, records)

    def _count_series(self, key: int, n_added: int) -> int:
        """Return 1 when the series had nothing to show before."""
        counted = self._connection.execute(_COUNT_SERIES, {"key": key, "n_added": n_added})
        return int(counted.scalar_one() == n_added)

    def _count_study(self, uid: str, n_series: int, n_instances: int, records: Sequence[InstanceRecord]) -> None:
        row = self._studies[uid]
        modalities = joined(row["modalities"], (r.attributes.get("Modality", "") for r in records))
        sop_classes = joined(row["sop_classes"], (r.sop_class_uid for r in records))
        facts = {"key": row["id"], "series_added": n_series, "instances_added": n_instances}
        facts |= {"all_modalities": modalities, "all_classes": sop_classes}
        self._connection.execute(_COUNT_STUDY, facts)

    # Studies

    def _read_studies(self, uids: Iterable[str]) -> None:
        for row in self._connection.execute(_STUDIES, {"uids": list(uids)}).mappings():
            self._studies[row["study_uid"]] = row

    def _make_studies(self, fresh: dict[str, list[Arrival]]) -> None:
        patients = self._ensure_patients([group[0].record for group in fresh.values()])
        rows = []
        for uid in sorted(fresh):
            first = fresh[uid][0]
            story = _Story.of(_BLANK_STUDY).told([a.record for a in fresh[uid]])
            rows.append(
                _with_forms(story.values)
                | {
                    "study_uid": uid,
                    "patient_key": patients[patient_identity(first.record)],
                    "facility": first.record.origin.facility,
                    "is_defined": story.is_defined,
                    "is_flagged": story.is_flagged,
                    "received_at": first.received_at,
                }
            )
        statement = insert_ignoring(self._connection, study).returning(study.c.study_uid)
        made = {row[0] for row in self._connection.execute(statement, rows)}
        self._read_studies(fresh)
        records = {uid: [a.record for a in fresh[uid]] for uid in sorted(fresh)}
        names = {uid: [r.attributes.get("PatientName", "") for r in records[uid]] for uid in sorted(made)}
        name_words.add(self._connection, [(self._studies[uid], names[uid]) for uid in names])
        for uid, told in records.items():
            if uid in made:
                self._flag_other_patients(uid, told)
            else:
                self._complete_study(uid, told)

    def _complete_study(self, uid: str, records: Sequence[InstanceRecord]) -> None:
        """Fill what is blank; let the first image object define; flag what disagrees."""
        row = self._studies[uid]
        story = _Story.of(row).told(records)
        changes = {c: v for c, v in story.values.items() if v != row[c]}
        updates: dict[str, object] = dict(_with_forms(changes))
        for fact in ("is_defined", "is_flagged"):
            if getattr(story, fact) and not row[fact]:
                updates[fact] = True
        if updates:
            self._update_study(uid, updates)
        if changes.keys() & {"study_date", "study_time"}:
            name_words.move(self._connection, self._studies[uid])
        self._flag_other_patients(uid, records)

    def _flag_other_patients(self, uid: str, records: Sequence[InstanceRecord]) -> None:
        """Flag a study that got an object of another patient; it is not re-linked (settled: Matching)."""
        row = self._studies[uid]
        identities = {patient_identity(r) for r in records}
        known = self._connection.execute(_PATIENT_BY_KEY, {"key": row["patient_key"]}).mappings().one()
        if identities - {known["identity"]} and not row["is_flagged"]:
            self._update_study(uid, {"is_flagged": True})
        self._complete_patient(known, [r for r in records if patient_identity(r) == known["identity"]])

    def _update_study(self, uid: str, updates: dict[str, object]) -> None:
        statement = update(study).where(study.c.study_uid == uid).values(**updates).returning(study)
        self._studies[uid] = self._connection.execute(statement).mappings().one()

    # Patients

    def _ensure_patients(self, records: Sequence[InstanceRecord]) -> dict[str, int]:
        rows: dict[str, dict[str, object]] = {}
        for record in records:
            identity = patient_identity(record)
            values = _with_forms(_values(_PATIENT, record))
            rows.setdefault(identity, {**values, "identity": identity, "issuer": _issuer(record)})
        self._connection.execute(
            insert_ignoring(self._connection, patient), [rows[identity] for identity in sorted(rows)]
        )
        found = select(patient.c.identity, patient.c.id).where(patient.c.identity.in_(rows))
        return {row.identity: row.id for row in self._connection.execute(found)}

    def _complete_patient(self, row: RowMapping, records: Sequence[InstanceRecord]) -> None:
        values: Values = {str(a.column): row[str(a.column)] for a in _PATIENT}
        for record in records:
            values = _completed_patient(values, _values(_PATIENT, record))
        changes = {c: v for c, v in values.items() if v != row[c]}
        if changes:
            self._connection.execute(update(patient).where(patient.c.id == row["id"]).values(**_with_forms(changes)))
        if "patient_name" in changes:
            name_words.add_for_patient(self._connection, int(row["id"]), str(changes["patient_name"]))

    # Series

    def _ensure_series(self, arrivals: Sequence[Arrival]) -> None:
        groups: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            groups[arrival.record.study_uid, arrival.record.series_uid].append(arrival)
        self._read_series(groups)
        known = set(self._series)
        rows = [
            _merged(_SERIES, [a.record for a in groups[pair]])
            | {
                "study_key": self._studies[pair[0]]["id"],
                "series_uid": pair[1],
                "received_at": groups[pair][0].received_at,
            }
            for pair in sorted(set(groups) - known)
        ]
        if rows:
            self._connection.execute(insert_ignoring(self._connection, series), rows)
            self._read_series(groups)
        for pair in known:
            offered = _merged(_SERIES, [a.record for a in groups[pair]])
            row = self._series[pair]
            changes = {c: v for c, v in offered.items() if not _blank(v) and _blank(row[c])}
            if changes:
                self._connection.execute(update(series).where(series.c.id == row["id"]).values(**changes))

    def _read_series(self, groups: dict[tuple[str, str], list[Arrival]]) -> None:
        uids = {self._studies[study_uid]["id"]: study_uid for study_uid, _ in groups}
        pairs = [(self._studies[study_uid]["id"], series_uid) for study_uid, series_uid in groups]
        for row in self._connection.execute(_SERIES_BY_PAIR, {"pairs": pairs}).mappings():
            self._series[uids[row["study_key"]], row["series_uid"]] = row


@dataclass(frozen=True, slots=True)
class _Story:
    """What is known of a study; told by one object after the other, however they are batched."""

    values: Values
    is_defined: bool
    is_flagged: bool

    @classmethod
    def of(cls, row: RowMapping | Mapping[str, Any]) -> Self:
        """Return what a study's row says."""
        return cls({str(a.column): row[str(a.column)] for a in _STUDY}, row["is_defined"], row["is_flagged"])

    def told(self, records: Sequence[InstanceRecord]) -> Self:
        """Return the story after `records`: images define and complete it, others only fill what none has defined."""
        story = self
        for record in records:
            offered = _values(_STUDY, record)
            if defines_study(record):
                if story.is_defined:
                    values, is_flagged = _filled(story.values, offered), story._contradicts(offered)
                else:
                    values, is_flagged = _filled(offered, story.values), False
                story = replace(story, values=values, is_defined=True, is_flagged=story.is_flagged or is_flagged)
            elif not story.is_defined:
                story = replace(story, values=_filled(story.values, offered))
        return story

    def _contradicts(self, offered: Values) -> bool:
        told = ((self.values[c], v) for c, v in offered.items() if c not in _NOT_FLAGGED)
        return any(not _blank(known) and not _blank(v) and known != v for known, v in told)


_BLANK_STUDY: Mapping[str, Any] = {str(a.column): "" for a in _STUDY} | {"is_defined": False, "is_flagged": False}


def _distinct(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return the arrivals that have something of their own to say about patient, study and series.

    The slices of a CT say the same five hundred times over; telling it twice changes nothing.
    """
    tellers: dict[tuple[str | None, ...], Arrival] = {}
    for arrival in arrivals:
        record = arrival.record
        told = tuple(map(record.attributes.get, _PARENT_KEYWORDS))
        identity = (record.study_uid, record.series_uid, record.sop_class_uid, record.origin.facility)
        tellers.setdefault((*identity, *told), arrival)
    return list(tellers.values())


def _filled(values: Values, offered: Values) -> Values:
    """Return `values`, what is blank in them taken from `offered`."""
    return {c: offered[c] if _blank(v) else v for c, v in values.items()}


def _completed_patient(values: Values, offered: Values) -> Values:
    """Return a patient's values with what is offered for the blank ones.

    The same name with its accents says more than the bare one a scanner sent first.
    """
    completed = _filled(values, offered)
    known, name = str(completed["patient_name"] or ""), str(offered["patient_name"] or "")
    if known.isascii() and not name.isascii() and fold(name) == fold(known):
        completed["patient_name"] = name
    return completed


def joined(codes: str, added: Iterable[str]) -> str:
    """Return codes framed by backslashes, the new ones added, sorted."""
    known = set(codes.split("\\")) | {code for value in added for code in value.split("\\")}
    return "\\" + "".join(f"{code}\\" for code in sorted(known - {""}))
