"""What follows when instances come into or go out of sight: counts, sets and derived things of what is above them.

Counts change by differences, and only while the caller's transaction holds the rows above (``lock_above``), in the
order of the batch writer: studies, series, instances.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select, update

from pacs_gateway.archive.derive import DERIVE
from pacs_gateway.database.schema.archive import instance, series, series_derived, study
from pacs_gateway.index.studies import joined
from pacs_gateway.jobs.queue import enqueue


def lock_above(connection: Connection, series_keys: Collection[int]) -> None:
    """Keep everybody else from changing these series and their studies until the end of the transaction."""
    above = select(series.c.study_key).where(series.c.id.in_(series_keys))
    connection.execute(select(study.c.id).where(study.c.id.in_(above)).order_by(study.c.study_uid).with_for_update())
    mine = select(series.c.id).where(series.c.id.in_(series_keys))
    connection.execute(mine.order_by(series.c.series_uid).with_for_update())


def count(connection: Connection, changes: Mapping[int, int]) -> None:
    """Add to the number of instances that series show, and to what that means for their studies.

    Parameters
    ----------
    changes
        What is added (or taken away, where negative), by the key of the series; may be 0 where one takes another's
        place.
    """
    by_study: dict[int, list[int]] = {}
    for key, change in sorted(changes.items()):
        row = connection.execute(
            update(series)
            .where(series.c.id == key)
            .values(n_instances=series.c.n_instances + change, revision=series.c.revision + 1)
            .returning(series.c.study_key, series.c.n_instances)
        ).one()
        was_shown, is_shown = row.n_instances - change > 0, row.n_instances > 0
        totals = by_study.setdefault(row.study_key, [0, 0])
        totals[0] += change
        totals[1] += int(is_shown) - int(was_shown)
    for key, (n_instances, n_series) in sorted(by_study.items()):
        _count_study(connection, key, n_instances, n_series)


def renew_derived(connection: Connection, series_keys: Collection[int], *, at: int) -> None:
    """Have what was derived from these series made anew; a thumbnail is not shown in the meantime."""
    stale = update(series_derived).where(series_derived.c.series_key.in_(series_keys))
    connection.execute(stale.values(thumbnail_revision=None, thumbnail_digest=None))
    enqueue(connection, DERIVE, {str(key) for key in series_keys}, run_at=at)


def _count_study(connection: Connection, key: int, n_instances: int, n_series: int) -> None:
    shown = (
        select(series.c.modality, instance.c.sop_class_uid)
        .join_from(series, instance, instance.c.series_key == series.c.id)
        .where(series.c.study_key == key, instance.c.state == "current")
        .distinct()
    )
    codes = connection.execute(shown).all()
    connection.execute(
        update(study)
        .where(study.c.id == key)
        .values(
            n_instances=study.c.n_instances + n_instances,
            n_series=study.c.n_series + n_series,
            modalities=joined("\\", (code.modality for code in codes)),
            sop_classes=joined("\\", (code.sop_class_uid for code in codes)),
        )
    )
