"""Entities as they are found: their columns, what makes them visible, their order, and what is told of one."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import cast

from sqlalchemy import CTE, ColumnElement, FromClause, Row, false, func, literal, select

from pacs_gateway.database.schema.archive import instance, patient, series, study
from pacs_gateway.database.unindexed import unindexed
from pacs_gateway.domain.attributes import ATTRIBUTES, COUNTED, Attribute
from pacs_gateway.domain.levels import Level
from pacs_gateway.index.arrival import LARGEST_NUMBER
from pacs_gateway.index.conditions import column_of


@dataclass(frozen=True, slots=True)
class Match:
    """One found entity: attribute texts by keyword, of its level and those above."""

    level: Level
    values: Mapping[str, str]
    facility: str
    """Owner of the study; empty at the patient level."""
    is_flagged: bool
    """The study holds something that disagrees with its record."""
    is_in_reach: bool = True
    """Every instance of it can be read now, as far as that was asked for."""


def told_attributes(level: Level, attributes: Collection[Attribute] | None) -> tuple[Attribute, ...]:
    """Return what is told of an entity: of `attributes` those that it has, of None all that rows hold."""
    levels = {*level.parents, level}
    if attributes is None:
        return tuple(a for a in ATTRIBUTES if a.level in levels and a.keyword not in COUNTED)
    return tuple(a for a in attributes if a.level in levels)


@lru_cache(maxsize=256)
def columns_of_match(
    level: Level, attributes: tuple[Attribute, ...], facilities: frozenset[str] | None
) -> tuple[ColumnElement[object], ...]:
    """Return the columns of a match."""
    columns: list[ColumnElement[object]] = [
        (_counted(a, facilities) if a.keyword in COUNTED else column_of(a)).label(a.keyword) for a in attributes
    ]
    if level is not Level.PATIENT:
        columns += [study.c.facility.label("_facility"), study.c.is_flagged.label("_flagged")]
    return tuple(columns)


def _counted(attribute: Attribute, facilities: frozenset[str] | None) -> ColumnElement[object]:
    """Return a number about all studies of a patient that the caller may see."""
    related = study.alias("related")
    number = {
        "NumberOfPatientRelatedStudies": func.count(),
        "NumberOfPatientRelatedSeries": func.coalesce(func.sum(related.c.n_series), 0),
        "NumberOfPatientRelatedInstances": func.coalesce(func.sum(related.c.n_instances), 0),
    }[attribute.keyword]
    visible = _visible_study(related, facilities)
    return select(number).select_from(related).where(related.c.patient_key == patient.c.id, *visible).scalar_subquery()


def source_of(level: Level, listed: CTE | None = None) -> FromClause:
    """Return the tables that tell of an entity, from a list of studies on where there is one."""
    if level is Level.PATIENT:
        return patient
    # In the order in which they are to be gone through: study by study, and only then whose it is.
    source: FromClause = study if listed is None else listed.join(study, study.c.id == listed.c.key)
    source = source.join(patient, patient.c.id == study.c.patient_key)
    if level in (Level.SERIES, Level.IMAGE):
        source = source.join(series, series.c.study_key == study.c.id)
    if level is Level.IMAGE:
        source = source.join(instance, instance.c.series_key == series.c.id)
    return source


def visible(level: Level, facilities: frozenset[str] | None) -> list[ColumnElement[bool]]:
    """What a row needs to be shown at all."""
    of_study = _visible_study(study, facilities)
    if level is Level.PATIENT:
        return [select(study.c.id).where(study.c.patient_key == patient.c.id, *of_study).exists()]
    if level in (Level.SERIES, Level.IMAGE):
        of_study.append(series.c.n_instances > 0)
    if level is Level.IMAGE:
        of_study.append(instance.c.state == literal("current"))
    return of_study


def _visible_study(one: FromClause, facilities: frozenset[str] | None) -> list[ColumnElement[bool]]:
    visible: list[ColumnElement[bool]] = [one.c.n_instances > 0]
    if facilities is not None:
        visible.append(unindexed(one.c.facility).in_(sorted(facilities)) if facilities else false())
    return visible


@cache
def order_of(level: Level) -> tuple[ColumnElement[object], ...]:
    """Order of lists, the same in both databases (settled: Matching)."""
    if level is Level.PATIENT:
        return (patient.c.patient_name_fold, patient.c.identity)
    order: list[ColumnElement[object]] = [study.c.study_date.desc(), study.c.study_time.desc(), study.c.study_uid]
    if level in (Level.SERIES, Level.IMAGE):
        order += [func.coalesce(series.c.series_number, LARGEST_NUMBER), series.c.series_uid]
    if level is Level.IMAGE:
        order += [func.coalesce(instance.c.instance_number, LARGEST_NUMBER), instance.c.sop_uid]
    return tuple(order)


def to_matches(
    level: Level, rows: Sequence[Row[*tuple[object, ...]]], attributes: tuple[Attribute, ...]
) -> Iterator[Match]:
    """Yield the matches that rows of the columns of `attributes` are."""
    keywords = tuple(a.keyword for a in attributes)
    numbers = tuple(a.keyword for a in attributes if a.vr in ("IS", "US"))
    sets = tuple(a.keyword for a in attributes if a.column is None and a.vr != "IS")
    n_told = len(attributes)
    for row in rows:
        values = cast(dict[str, str], dict(zip(keywords, row, strict=False)))
        for keyword in numbers:
            values[keyword] = _text(values[keyword])
        for keyword in sets:
            values[keyword] = values[keyword].strip("\\")
        if level is Level.PATIENT:
            yield Match(level, values, "", is_flagged=False)
        else:
            yield Match(level, values, str(row[n_told]), bool(row[n_told + 1]))


def _text(value: object) -> str:
    return "" if value is None else str(value)
