"""One batch of described instances into rows: patients, studies, series, instances, words and counts.

Everything here runs in the caller's transaction. Rows that several writers may make at once are inserted with
``ON CONFLICT DO NOTHING`` and read again; counts change by differences, never by counting.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, bindparam, select, update

from pacs_gateway.database.schema.archive import instance
from pacs_gateway.database.schema.removal import removal, removed_instance
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.rejection import KEY_OBJECT_SELECTION, Reach
from pacs_gateway.index import frame_blob
from pacs_gateway.index.arrival import Arrival, column_value, columns_of
from pacs_gateway.index.studies import Parents
from pacs_gateway.index.upsert import insert_ignoring


class Outcome(StrEnum):
    """What became of a received instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Same UID, same bytes: nothing new."""
    PENDING = "pending"
    """Same UID, other bytes: kept beside the first, to be compared."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch changed."""

    outcomes: tuple[Outcome, ...]
    """One per arrival, in order."""
    series_keys: frozenset[int]
    """Series with new current instances."""
    pending_keys: tuple[int, ...]
    """Instances that wait to be compared."""
    study_uids: frozenset[str]
    """Studies with new current instances."""
    superfluous: tuple[str, ...] = ()
    """Spool entries that no row needs: their content is already kept."""
    key_objects: tuple[tuple[int, Reach], ...] = ()
    """New current key object selections, each with what it may take out of sight."""


_INSTANCE_COLUMNS = columns_of(Level.IMAGE)

# Built once, as in `studies`: a batch takes 4 ms of the interpreter when each statement is put together anew.
_KNOWN = select(instance.c.sop_uid, instance.c.digest).where(instance.c.sop_uid.in_(bindparam("uids", expanding=True)))
_MADE = select(instance.c.sop_uid, instance.c.digest, instance.c.id, instance.c.spool_entry).where(
    instance.c.sop_uid.in_(bindparam("uids", expanding=True))
)
_PLACES = select(
    instance.c.sop_uid,
    instance.c.digest,
    instance.c.id,
    instance.c.spool_entry,
    instance.c.spool_node,
    instance.c.archived_at,
    instance.c.state,
).where(instance.c.sop_uid.in_(bindparam("uids", expanding=True)))


def write_batch(connection: Connection, arrivals: Sequence[Arrival]) -> BatchResult:
    """Write the rows of `arrivals` and say what each became."""
    outcomes = [Outcome.DUPLICATE] * len(arrivals)
    fresh = _fresh(connection, arrivals)
    parents = Parents(connection)
    if fresh:
        parents.ensure([arrival for _, arrival, _ in fresh])
        if connection.dialect.name != "sqlite":
            # Waiting for the rows above may have meant waiting for somebody with the same instances, be it ourselves:
            # a commit that nobody could confirm. SQLite has one writer.
            fresh = _fresh(connection, arrivals)
    if not fresh:
        return BatchResult(
            tuple(outcomes), frozenset(), (), frozenset(), _settle_places(connection, arrivals, outcomes)
        )

    keys = _insert(
        connection, [_row(arrival, parents.series_key(arrival.record), state) for _, arrival, state in fresh]
    )
    # What a concurrent writer inserted first is missing from `keys`: the same content is a duplicate by then, other
    # content waits to be compared.
    current: list[Arrival] = []
    pending: list[int] = []
    retry: list[tuple[int, Arrival]] = []
    for n, arrival, state in fresh:
        key = keys.get((arrival.record.sop_instance_uid, arrival.record.digest))
        if key is None:
            retry.append((n, arrival))
        elif state == "current":
            outcomes[n] = Outcome.STORED
            current.append(arrival)
        else:
            outcomes[n] = Outcome.PENDING
            pending.append(key)
    lost = _insert(connection, [_row(a, parents.series_key(a.record), "pending") for _, a in retry]) if retry else {}
    for n, arrival in retry:
        key = lost.get((arrival.record.sop_instance_uid, arrival.record.digest))
        if key is not None:
            outcomes[n] = Outcome.PENDING
            pending.append(key)
    parents.count(current)
    return BatchResult(
        tuple(outcomes),
        frozenset(parents.series_key(a.record) for a in current),
        tuple(pending),
        frozenset(a.record.study_uid for a in current),
        _settle_places(connection, arrivals, outcomes),
        tuple(
            (keys[a.record.sop_instance_uid, a.record.digest], a.record.origin.reach)
            for a in current
            if a.record.sop_class_uid == KEY_OBJECT_SELECTION
        ),
    )


def _fresh(connection: Connection, arrivals: Sequence[Arrival]) -> list[tuple[int, Arrival, str]]:
    """Return the arrivals whose content is not kept, with their numbers and the states they get."""
    known = _known(connection, arrivals)
    fresh: list[tuple[int, Arrival, str]] = []
    for n, arrival in enumerate(arrivals):
        record = arrival.record
        digests = known.setdefault(record.sop_instance_uid, set())
        if record.digest in digests:
            continue
        state = "pending" if digests else "current"
        digests.add(record.digest)
        fresh.append((n, arrival, state))
    return fresh


def _settle_places(connection: Connection, arrivals: Sequence[Arrival], outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Have rows name the bytes that are placed best; return the entries of duplicates and of what is archived already.

    Best is the object store, and else whoever answered Success last: what another node has not shipped may be gone
    with it, and then the sender has sent it again. An entry that a row names stays: an arrival that is written again
    because nobody could say whether it had been committed meets itself, and its bytes must not go.
    """
    unsure = [
        arrival
        for arrival, outcome in zip(arrivals, outcomes, strict=True)
        if outcome is Outcome.DUPLICATE or arrival.archived_at is not None
    ]
    if not unsure:
        return ()
    rows = connection.execute(_PLACES, {"uids": list({a.record.sop_instance_uid for a in unsure})})
    places = {(row.sop_uid, row.digest): row for row in rows}
    removed = (
        place.id
        for arrival in unsure
        if (place := places.get((arrival.record.sop_instance_uid, arrival.record.digest))) is not None
        and place.state == "removed"
    )
    _count_sent_again(connection, Counter(removed))
    entries, named = {arrival.entry for arrival in unsure}, {row.spool_entry for row in places.values()}
    for arrival in unsure:
        # Several arrivals of one content: the first is placed, the others are as superfluous as any duplicate.
        place = places.pop((arrival.record.sop_instance_uid, arrival.record.digest), None)
        if place is None or place.archived_at is not None:
            continue
        is_elsewhere = place.spool_node not in (None, arrival.node)
        if (is_elsewhere or arrival.archived_at is not None) and _place(connection, place.id, arrival):
            named.discard(place.spool_entry)
            if arrival.archived_at is None:
                named.add(arrival.entry)
    return tuple(sorted(entries - named))


def _count_sent_again(connection: Connection, removed: Counter[int]) -> None:
    """Note that removed instances have been sent again: they stay removed, and whoever removed them may ask why."""
    if not removed:
        return
    mine = (removed_instance.c.instance_key.in_(removed), removal.c.restored_at.is_(None))
    pairs = select(removal.c.id, removed_instance.c.instance_key).join_from(removal, removed_instance).where(*mine)
    n_sent_again: Counter[int] = Counter()
    for removal_id, instance_id in connection.execute(pairs):
        n_sent_again[removal_id] += removed[instance_id]
    for removal_id, n in sorted(n_sent_again.items()):
        counted = update(removal).where(removal.c.id == removal_id)
        connection.execute(counted.values(n_sent_again=removal.c.n_sent_again + n))


def _place(connection: Connection, instance_id: int, arrival: Arrival) -> bool:
    """Have the row tell of the arrival's bytes; return False if its own have been archived meanwhile."""
    is_archived = arrival.archived_at is not None
    values = _file_facts(arrival) | {
        "spool_entry": None if is_archived else arrival.entry,
        "spool_node": None if is_archived else arrival.node,
        "archived_at": arrival.archived_at,
    }
    statement = update(instance).where(instance.c.id == instance_id, instance.c.archived_at.is_(None)).values(values)
    return connection.execute(statement).rowcount == 1


def _known(connection: Connection, arrivals: Sequence[Arrival]) -> dict[str, set[str]]:
    """Return the digests already kept for the batch's UIDs."""
    uids = {arrival.record.sop_instance_uid for arrival in arrivals}
    known: dict[str, set[str]] = {}
    for sop_uid, digest in connection.execute(_KNOWN, {"uids": list(uids)}):
        known.setdefault(sop_uid, set()).add(digest)
    return known


def _insert(connection: Connection, rows: list[dict[str, object]]) -> dict[tuple[str, str], int]:
    """Insert instance rows in the order of their UIDs; return (UID, digest) -> key of those that were new."""
    rows.sort(key=lambda row: str(row["sop_uid"]))
    connection.execute(insert_ignoring(connection, instance), rows)
    # A spool entry belongs to one reception: the rows that name ours are the ones just made.
    entries = {row["spool_entry"] for row in rows}
    found = connection.execute(_MADE, {"uids": [row["sop_uid"] for row in rows]})
    return {(sop_uid, digest): key for sop_uid, digest, key, entry in found if entry in entries}


def _row(arrival: Arrival, series_key: int, state: str) -> dict[str, object]:
    record = arrival.record
    row: dict[str, object] = {str(a.column): column_value(a, record) for a in _INSTANCE_COLUMNS}
    row.update(
        series_key=series_key,
        sop_uid=record.sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        transfer_syntax_uid=record.transfer_syntax_uid,
        digest=record.digest,
        state=state,
        spool_entry=arrival.entry,
        spool_node=arrival.node,
    )
    return row | _file_facts(arrival)


def _file_facts(arrival: Arrival) -> dict[str, object]:
    """Return what a row tells of the very file that is kept: its head, and so its offsets, are of one reception."""
    record = arrival.record
    return {
        "size_bytes": record.size_bytes,
        "dataset_offset": record.dataset_offset,
        "pixels_offset": record.pixels_offset,
        "frames": frame_blob.pack(record.frames) if record.frames else None,
        "facility": record.origin.facility,
        "method": record.origin.method.value,
        "source": record.origin.source,
        "address": record.origin.address,
        "received_at": arrival.received_at,
    }
