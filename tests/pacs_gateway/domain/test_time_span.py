"""Spans of time: what their ends are elsewhere, and what is found with them."""

import pytest

from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.matching import matches
from pacs_gateway.domain.query import Query, Range
from pacs_gateway.domain.time_span import OFFSETS, TimeSpan

HANOI, LONDON = 420, 0


def test_every_quarter_of_an_hour_is_an_offset() -> None:
    assert (OFFSETS["+0700"], OFFSETS["-0930"], OFFSETS["+0545"], OFFSETS["+0000"]) == (420, -570, 345, 0)
    assert "-0000" not in OFFSETS


@pytest.mark.parametrize(
    ("span", "offset", "ends"),
    [
        (TimeSpan("20260102", "20260103", LONDON), HANOI, ("20260102070000.000000", "20260104065959.999999")),
        (TimeSpan("2026010208", "202601020830", HANOI), LONDON, ("20260102010000.000000", "20260102013059.999999")),
        (TimeSpan("", "20260102", HANOI), LONDON, ("", "20260102165959.999999")),
        (TimeSpan("20260102", "", HANOI), HANOI, ("20260102", "")),
        (TimeSpan("20260102", "20260102"), HANOI, ("20260102", "20260102")),
        (TimeSpan("20260102", "20260102", HANOI), None, ("20260102", "20260102")),
        (TimeSpan("20260231", "99991231", HANOI), 840, ("20260231", "99991231")),
    ],
)
def test_the_ends_of_a_span_elsewhere(span: TimeSpan, offset: int | None, ends: tuple[str, str]) -> None:
    assert span.at(offset) == ends


def test_the_days_of_a_span_hold_all_its_moments() -> None:
    assert TimeSpan("20260102", "20260103").days == ("20260102", "20260103")
    assert TimeSpan("20260102", "", HANOI).days == ("20260101", "")
    assert TimeSpan("2026010212", "2026010212", LONDON).days == ("20260102", "20260103")


@pytest.mark.parametrize(
    ("date", "time", "is_found"),
    [
        ("20260102", "0829", False),
        ("20260102", "0830", True),
        ("20260103", "", True),
        ("20260104", "1659", True),
        ("20260104", "1700", True),
        ("20260104", "170001", False),
        ("", "0900", False),
    ],
)
def test_a_range_of_days_and_one_of_hours_are_one_when_that_was_agreed(date: str, time: str, is_found: bool) -> None:
    keys = {"StudyDate": "20260102-20260104", "StudyTime": "0830-170000"}
    combined = Query.build(Level.STUDY, keys).with_time_spans(is_combined=True, offset=None)

    assert matches(combined, {"StudyDate": date, "StudyTime": time}) is is_found


def test_without_agreement_hours_are_those_of_every_day() -> None:
    query = Query.build(Level.STUDY, {"StudyDate": "20260102-20260104", "StudyTime": "0830-1700"})

    separate = query.with_time_spans(is_combined=False, offset=None)

    assert separate == query
    assert isinstance(separate.conditions["StudyTime"], Range)


@pytest.mark.parametrize(
    ("offset", "is_found"), [("+0700", True), ("", True), ("+0000", False), ("-0500", False), ("+0900", True)]
)
def test_a_day_begins_where_the_asker_is(offset: str, is_found: bool) -> None:
    query = Query.build(Level.STUDY, {"StudyDate": "20260102"}).with_time_spans(is_combined=False, offset=HANOI)

    # Half past eight in the evening of that day: in London it is the third in Hanoi.
    study = {"StudyDate": "20260102", "StudyTime": "203000", "TimezoneOffsetFromUTC": offset}
    assert matches(query, study) is is_found
