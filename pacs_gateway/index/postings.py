"""Lists of studies that the conditions of a query narrow a search to, each with the newest first.

A search goes through one of them instead of through everything; what a list holds is only looked at, never believed:
the query's conditions are put to every study of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, or_, select, true

from pacs_gateway.database.schema.archive import instance, patient, patient_word, series, study
from pacs_gateway.domain import names
from pacs_gateway.domain.attributes import BY_KEYWORD
from pacs_gateway.domain.query import AnyOf, NameIs, NameWords, OneOf, Query, Range
from pacs_gateway.domain.time_span import TimeSpan
from pacs_gateway.index.conditions import condition_on
from pacs_gateway.index.name_search import beginnings_of, has_word, pieces_of, words_with

# Made once: putting an alias together takes longer than asking for a page.
_EVERYTHING, _OWN, _MADE = study.alias("everything"), study.alias("own"), study.alias("made")
_WORDED = patient_word.alias("worded")
_NAMED, _NAMED_PATIENT = study.alias("named"), patient.alias("named_patient")
_NAMED_SERIES, _NAMED_INSTANCE = series.alias("named_series"), instance.alias("named_instance")
_OF_PATIENT = _NAMED_PATIENT.join(_NAMED, _NAMED.c.patient_key == _NAMED_PATIENT.c.id)
_OF_INSTANCE = _NAMED_INSTANCE.join(_NAMED_SERIES, _NAMED_SERIES.c.id == _NAMED_INSTANCE.c.series_key)
_MOST_COMBINATIONS = 500


@dataclass(frozen=True, slots=True)
class Days:
    """Days of studies, as texts: from the first one, which is included, to another, which is not."""

    first: str = ""
    below: str | None = None
    """None: without an end."""
    first_time: str = ""
    """Of the first day, the times before this one are left out."""
    below_time: str = ""
    """Of the last day, the times before this one are included."""

    @classmethod
    def of(cls, query: Query) -> "Days":
        """Return the days outside of which `query` finds nothing."""
        condition = query.conditions.get("StudyDate")
        if isinstance(condition, Range):
            first, last = condition.first, condition.last
        elif isinstance(condition, TimeSpan):
            first, last = condition.days
        else:
            return cls()
        return cls(first, f"{last}~~" if last else None)

    def on(self, date: ColumnElement[str], time: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """Return what a moment of these days meets; by the date first, for which there is an index."""
        conditions = [date >= self.first] if self.first else []
        if self.first_time:
            conditions.append(or_(date != self.first, time >= self.first_time))
        if self.below is None:
            return conditions
        if self.below_time:
            return [*conditions, date <= self.below, or_(date != self.below, time < self.below_time)]
        return [*conditions, date < self.below]


@dataclass(frozen=True, slots=True)
class Posting:
    """One list."""

    source: FromClause
    study_key: ColumnElement[int]
    condition: ColumnElement[bool]
    moment: tuple[ColumnElement[str], ColumnElement[str]] | None
    """Date and time; None where the list is a short one."""
    is_single: bool = True
    """The list is one piece of an index: in the order of its moments, each study once."""
    filters: Sequence[ColumnElement[bool]] = ()
    """What the list can tell by itself of the entries that are of interest: a look at each, for next to nothing."""

    def within(self, days: Days) -> list[ColumnElement[bool]]:
        """Return what makes an entry one of the list, and of these days."""
        return [self.condition, *(days.on(*self.moment) if self.moment is not None else ())]

    def entries(self, days: Days) -> Select[int]:
        """Return the keys of the studies on the list, each once."""
        mine = (*self.within(days), *self.filters)
        chosen = select(self.study_key.label("key")).select_from(self.source).where(*mine)
        return chosen if self.is_single else chosen.distinct()

    def moments(self, days: Days) -> Select[str, str]:
        """Return the moments of what is on the list, the newest first."""
        assert self.moment is not None
        mine = (*self.within(days), *self.filters)
        chosen = select(*self.moment).select_from(self.source).where(*mine)
        return chosen.order_by(*(column.desc() for column in self.moment))

    def newest(self, days: Days) -> Select[str, str, int]:
        """Return the studies on the list, the newest first: their moments and keys."""
        found = self.moments(days).add_columns(self.study_key)
        return found if self.is_single else found.distinct()


def everything() -> Posting:
    """Return the list of all studies."""
    one = _EVERYTHING
    return Posting(one, one.c.id, true(), _moment(one))


def of_facilities(facilities: Sequence[str]) -> Posting:
    """Return the list of the studies of some facilities."""
    one = _OWN
    return Posting(one, one.c.id, one.c.facility.in_(facilities), _moment(one), len(facilities) == 1)


def of_words(words: Sequence[str], begins: Sequence[str]) -> Posting:
    """Return the list of the studies with any of these words in a name of their patient.

    Parameters
    ----------
    begins
        What words begin with that a study must have to be of interest.
    """
    one, bits = _WORDED, names.marks(begins)
    # Marks are looked at first, and say no to almost all; the words of the others are looked up.
    filters = [has_word(one.c.study_key, begin) for begin in begins]
    if bits:
        filters.insert(0, one.c.marks.bitwise_and(bits) == bits)
    return Posting(one, one.c.study_key, one.c.word.in_(words), _moment(one), len(words) == 1, filters)


def _moment(one: FromClause) -> tuple[ColumnElement[str], ColumnElement[str]]:
    return one.c.study_date, one.c.study_time


def of_modalities(connection: Connection, query: Query) -> Posting | None:
    """Return the list of the studies whose modalities meet the query; None where it asks for none.

    There are as many sets of modalities as there are ways to examine somebody: a few, which are looked at one by one.
    """
    condition = query.conditions.get("ModalitiesInStudy")
    if condition is None:
        return None
    sets = select(func.min(study.c.modalities).label("modalities")).cte("sets", recursive=True)
    behind = select(func.min(study.c.modalities)).where(study.c.modalities > sets.c.modalities).scalar_subquery()
    sets = sets.union_all(select(behind).where(sets.c.modalities.is_not(None)))
    meets = condition_on(sets.c.modalities, query, BY_KEYWORD["ModalitiesInStudy"], condition)
    known = select(sets.c.modalities).where(sets.c.modalities.is_not(None), meets).limit(_MOST_COMBINATIONS + 1)
    found = connection.execute(known).scalars().all()
    if len(found) > _MOST_COMBINATIONS:
        return None
    one = _MADE
    return Posting(one, one.c.id, one.c.modalities.in_(found), _moment(one), len(found) == 1)


def of_name(connection: Connection, name: NameIs | NameWords, form: Callable[[str], str]) -> list[Posting]:
    """Return a list for each piece of a name in a `form` of names, as far as they narrow anything.

    Together they narrow it to the studies with words that begin with each of the pieces.
    """
    is_folded = form is names.fold
    found = [words_with(connection, piece, is_folded=is_folded) for piece in pieces_of(name, form)]
    begins = beginnings_of(name) if len(found) > 1 else ()
    return [of_words(words, begins) for words in found if words is not None]


def by_whole_name(name: NameIs | NameWords) -> Posting | None:
    """Return the list of the studies of everybody who is called so, accents apart; None for a part of a name."""
    if isinstance(name, NameWords) or names.name_pattern(name.text, names.fold) is not None:
        return None
    called_so = _NAMED_PATIENT.c.patient_name_fold.in_(sorted(names.turned(names.fold(name.text).split())))
    return Posting(_OF_PATIENT, _NAMED.c.id, called_so, _moment(_NAMED), is_single=False)


def by_key(query: Query) -> Posting | None:
    """Return the list of the studies that the query names by the most telling of its keys; None where it has none."""
    for keyword, look_up in _KEYS.items():
        match query.conditions.get(keyword):
            case OneOf(values):
                return look_up(values)
            case AnyOf(conditions) if all(isinstance(one, OneOf) for one in conditions):
                return look_up([value for one in conditions if isinstance(one, OneOf) for value in one.values])
    return None


def _lower(values: Sequence[str]) -> list[str]:
    return [value.lower() for value in values]


def _by_series(values: Sequence[str]) -> Posting:
    one = _NAMED_SERIES
    return Posting(one, one.c.study_key, one.c.series_uid.in_(values), None, is_single=False)


def _by_instance(values: Sequence[str]) -> Posting:
    wanted = _NAMED_INSTANCE.c.sop_uid.in_(values)
    return Posting(_OF_INSTANCE, _NAMED_SERIES.c.study_key, wanted, None, is_single=False)


def _by_study(column: str, values: Sequence[str]) -> Posting:
    return Posting(_NAMED, _NAMED.c.id, _NAMED.c[column].in_(values), None)


def _by_patient(values: Sequence[str]) -> Posting:
    return Posting(_OF_PATIENT, _NAMED.c.id, _NAMED_PATIENT.c.patient_id_lower.in_(_lower(values)), None)


_KEYS: Mapping[str, Callable[[Sequence[str]], Posting]] = {
    "StudyInstanceUID": lambda values: _by_study("study_uid", values),
    "SeriesInstanceUID": _by_series,
    "SOPInstanceUID": _by_instance,
    "AccessionNumber": lambda values: _by_study("accession_number_lower", _lower(values)),
    "PatientID": _by_patient,
}
"""By how telling they are."""
