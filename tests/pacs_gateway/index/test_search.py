"""The SQL finds what the reference matcher finds, at every level, for every kind of condition."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_gateway.database.engine import Database
from pacs_gateway.domain.attributes import BY_KEYWORD, COUNTED, Matching
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.matching import accents_agree, matches
from pacs_gateway.domain.query import Extensions, Query
from pacs_gateway.errors import InvalidQueryError
from pacs_gateway.index import walk
from pacs_gateway.index.search import Page, count, find
from tests.pacs_gateway.index.records import SR, record, write
from tests.support.builders import uid
from tests.support.gateways import open_database

NAMES = [
    "Nguyễn^Văn^Đức",
    "NGUYEN^VAN^DUC",
    "Đức^Nguyễn Văn",
    "Nguyễn",
    "Trần^Thị%An",
    "Trần^Thi_An",
    "An\\Bình",
    "",
    "Yamada^Tarou=山田^太郎",
    "홍^길동",
    "O'Neil^Ann",
]
TEXTS = ["", "A1", "a1", "A_1", "A%1", "A\\1", "AB1", "Ngực", "NGỰC", "a*b", "A?1", "İ", "ß"]
DATES = ["", "20260101", "20260102", "20251231", "19991231"]
TIMES = ["", "08", "0830", "083000", "083000.000000", "083000.5", "083001", "2359", "235959"]
OFFSETS = ["", "+0700", "+0000", "-0930", "+1400", "+0707", "local"]
# As `Attribute.item_values` reads them: two values in each item, or three.
ITEMS = ["", "A1\x1fR1", "A1\x1fR2\\A2\x1fR1", "a1\x1f", "\x1fR.1\\Ax\x1fR2\\yB\x1fR3", "A%1\x1fNgực"]
THREE = ["", "A1\x1f99X\x1fNgực", "A1\x1f99X\x1f\\B1\x1f99Y\x1fBụng", "B1\x1f\x1f"]
NUMBERS = ["", "1", "2", "-1", "007", "12.0", "99999999999"]
MODALITIES = ["CT", "MR", "SR", "ct"]


@pytest.fixture(scope="module")
def hospital(module_database_url: str) -> Iterator[Database]:
    """Studies in which every value above occurs, with neighbours that differ in one."""
    database = open_database(module_database_url)
    for n in range(44):
        study = {
            "PatientID": TEXTS[n % 13],
            "IssuerOfPatientID": f"I{n}",
            "PatientName": NAMES[n % 11],
            "PatientBirthDate": DATES[n % 5],
            "PatientSex": ["M", "F", ""][n % 3],
            "StudyDate": DATES[n * 3 % 5],
            "StudyTime": TIMES[n % 9],
            "ProcedureCodeSequence": THREE[n % 4],
            "OtherPatientIDsSequence": ITEMS[n % 6],
            "TimezoneOffsetFromUTC": OFFSETS[n % 7],
            "AccessionNumber": TEXTS[n % 13],
            "StudyID": TEXTS[n * 5 % 13],
            "StudyDescription": TEXTS[n * 7 % 13],
            "ReferringPhysicianName": NAMES[n * 3 % 11],
        }
        for series in (1, 2):
            values = study | {
                "Modality": MODALITIES[(n + series) % 4],
                "SeriesNumber": NUMBERS[(n + series) % 7],
                "SeriesDescription": TEXTS[(n + series) % 13],
                "SeriesDate": DATES[(n + series) % 5],
                "SeriesTime": TIMES[(n + series) % 9],
                "RequestAttributesSequence": ITEMS[(n + series) % 6],
                "InstanceNumber": NUMBERS[n % 7],
                "ContentTime": TIMES[n * 2 % 9],
            }
            facility = "ELSEWHERE" if n % 4 == 0 else "LOCAL"
            sop_class = SR if series == 2 and n % 2 else "1.2.840.10008.5.1.4.1.1.2"
            write(database, record(n, series, sop_class_uid=sop_class, facility=facility, attributes=values))
    yield database
    database.close()


def found(database: Database, query: Query, facilities: frozenset[str] | None = None) -> Page:
    with database.read() as connection:
        return find(connection, query, facilities=facilities)


NAME_KEYS = [
    "nguyen van duc",
    "Nguyễn^*",
    "*Đức",
    "Ng?yễn*",
    "duc nguyen van",
    "van",
    "*v*n*",
    "TRẦN^THỊ%AN",
    "thi_an",
    "an\\b?nh",
    "太郎",
    "山田*",
    "홍^?동",
    "홍^길?",
    "^^",
    "?",
    "*^Văn^*",
    "O'N*",
    "ann o neil",
]
ITEM_KEYS = ["", "A1", "a1", "A*", "A*B", "?1", "R1", "R2", "R.1", "R?1", "*1", "Ng?c", "99X", "B1", "[A]1", "A%1"]
CODE_KEYS = [*MODALITIES, SR, "C%", "_T", "M", "?T", "C*", "S*R", "*"]
keys = {
    Matching.UID: st.lists(st.integers(0, 50).map(uid), min_size=1, max_size=3).map("\\".join),
    Matching.TEXT: st.one_of(st.sampled_from(TEXTS), st.text("Aa1*?%_\\Ngựcİß", max_size=4)),
    Matching.NAME: st.one_of(st.sampled_from(NAME_KEYS), st.text("nNgđ ^*?%_\\an", max_size=6)),
    Matching.DATE: st.tuples(st.sampled_from(DATES), st.sampled_from(["", "-"]), st.sampled_from(DATES)).map("".join),
    Matching.TIME: st.tuples(st.sampled_from(TIMES), st.sampled_from(["", "-"]), st.sampled_from(TIMES)).map("".join),
    Matching.NUMBER: st.sampled_from(NUMBERS),
    Matching.ITEMS: st.lists(
        st.sampled_from(
            ["", "A1", "a1", "A*", "A*B", "?1", "R1", "R2", "R.1", "R?1", "*1", "Ng?c", "99X", "B1", "[A]1"]
        ),
        min_size=1,
        max_size=2,
    ).map("\x1f".join),
    Matching.CODES: st.lists(
        st.sampled_from([*MODALITIES, SR, "C%", "_T", "M", "?T", "C*", "S*R", "*"]), min_size=1, max_size=2
    ).map("\\".join),
}


def keys_of(matching: Matching, extensions: Extensions) -> st.SearchStrategy[str]:
    """Return keys of every form that an attribute can have with these extensions."""
    one = keys[matching]
    if extensions.multiple and matching in (Matching.TEXT, Matching.NAME, Matching.NUMBER):
        one |= st.lists(keys[matching], min_size=2, max_size=3).map("\\".join)
    return one | st.just('""') if extensions.empty else one


@st.composite
def queries(draw: st.DrawFn) -> Query:
    level = draw(st.sampled_from(list(Level)))
    levels = {level, *level.parents}
    keywords = [k for k, a in BY_KEYWORD.items() if a.matching is not Matching.NONE and a.level in levels]
    chosen = draw(st.lists(st.sampled_from(keywords), min_size=1, max_size=2, unique=True))
    fuzzy, empty, multiple, case_sensitive = (draw(st.booleans()) for _ in range(4))
    extensions = Extensions(fuzzy, empty, multiple)
    texts = {keyword: draw(keys_of(BY_KEYWORD[keyword].matching, extensions)) for keyword in chosen}
    try:
        query = Query.build(level, texts, extensions=extensions, case_sensitive=case_sensitive)
    except InvalidQueryError:
        return Query(level)
    return query.with_time_spans(is_combined=draw(st.booleans()), offset=draw(st.sampled_from([None, 0, 420, -570])))


@st.composite
def spans(draw: st.DrawFn) -> Query:
    """Dates and times together: rare among all queries, and easily got wrong."""
    level = draw(st.sampled_from([Level.STUDY, Level.SERIES]))
    pairs = [("StudyDate", "StudyTime"), ("SeriesDate", "SeriesTime")][: 1 if level is Level.STUDY else 2]
    texts = {k: draw(keys[BY_KEYWORD[k].matching]) for k in draw(st.sampled_from(pairs))}
    try:
        query = Query.build(level, texts)
    except InvalidQueryError:
        return Query(level)
    return query.with_time_spans(is_combined=True, offset=draw(st.sampled_from([None, 0, 420, 840, -570])))


@st.composite
def item_queries(draw: st.DrawFn) -> Query:
    """Keys in items: rare among all queries, too."""
    keywords = ["RequestAttributesSequence", "ProcedureCodeSequence", "OtherPatientIDsSequence", "ModalitiesInStudy"]
    texts = {k: draw(keys[BY_KEYWORD[k].matching]) for k in draw(st.sets(st.sampled_from(keywords), min_size=1))}
    return Query.build(Level.SERIES, texts, case_sensitive=draw(st.booleans()))


scopes = st.sampled_from([None, frozenset({"LOCAL"}), frozenset[str]()])


def check(hospital: Database, query: Query, facilities: frozenset[str] | None) -> None:
    everything = found(hospital, Query(query.level), facilities).matches
    expected = [match.values for match in everything if matches(query, match.values)]
    expected.sort(key=lambda values: not accents_agree(query, values))
    assert [match.values for match in found(hospital, query, facilities).matches] == expected


class Reach(NamedTuple):
    """How far a search looks at a time: with few studies, each makes it go another way through them."""

    short: int
    dense: float
    least: int
    keys: int
    probe: int


REACHES = st.sampled_from(
    [
        Reach(1000, 0.5, 50, 1000, 20_000),
        Reach(1, 0.0, 1, 1000, 1),
        Reach(1, 9.0, 1, 1000, 2),
        Reach(1, 9.0, 1, 0, 1),
        Reach(4, 0.5, 2, 5, 3),
        Reach(2, 0.9, 7, 9, 10),
    ]
)


@st.composite
def pages(draw: st.DrawFn) -> Query:
    query = draw(st.one_of(queries(), spans(), item_queries(), names()))
    return replace(query, limit=draw(st.integers(0, 12)), offset=draw(st.sampled_from([0, 0, 1, 5, 30])))


@st.composite
def names(draw: st.DrawFn) -> Query:
    """Names with something else: what most people search by."""
    texts = {"PatientName": draw(keys[Matching.NAME])}
    for keyword in draw(st.sets(st.sampled_from(["StudyDate", "ModalitiesInStudy"]))):
        texts[keyword] = draw(keys[BY_KEYWORD[keyword].matching])
    try:
        return Query.build(
            draw(st.sampled_from(list(Level)[1:])), texts, extensions=Extensions(fuzzy=draw(st.booleans()))
        )
    except InvalidQueryError:
        return Query(Level.STUDY)


def check_page(hospital: Database, page: Query, facilities: frozenset[str] | None, reach: Reach) -> None:
    """Compare a page, however it was come by, with that part of the whole."""
    assert page.limit is not None
    whole = found(hospital, replace(page, limit=None, offset=0), facilities).matches
    first, behind = page.offset, page.offset + page.limit
    with (
        patch.object(walk, "SHORT", reach.short),
        patch.object(walk, "_DENSE", reach.dense),
        patch.object(walk, "_LEAST", reach.least),
        patch.object(walk, "_MOST_KEYS", reach.keys),
        patch.object(walk, "_PROBE", reach.probe),
    ):
        assert found(hospital, page, facilities) == Page(whole[first:behind], has_more=len(whole) > behind)
        with hospital.read() as connection:
            n_found = count(connection, page, facilities=facilities, at_most=20)
    assert n_found == (len(whole) if len(whole) <= 20 else None)


@pytest.mark.parametrize("module_database_url", ["sqlite"], indirect=True)
@settings(max_examples=150, deadline=None)
@given(page=pages(), facilities=scopes, reach=REACHES)
def test_sqlite_finds_the_same_page_whichever_way_it_goes(
    hospital: Database, page: Query, facilities: frozenset[str] | None, reach: Reach
) -> None:
    check_page(hospital, page, facilities, reach)


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize("module_database_url", ["postgresql"], indirect=True)
@settings(max_examples=60, deadline=None)
@given(page=pages(), facilities=scopes, reach=REACHES)
def test_postgresql_finds_the_same_page_whichever_way_it_goes(
    hospital: Database, page: Query, facilities: frozenset[str] | None, reach: Reach
) -> None:
    check_page(hospital, page, facilities, reach)


@pytest.mark.parametrize("module_database_url", ["sqlite"], indirect=True)
@settings(max_examples=250, deadline=None)
@given(query=queries() | spans() | item_queries(), facilities=scopes)
def test_sqlite_finds_what_the_reference_matcher_finds(
    hospital: Database, query: Query, facilities: frozenset[str] | None
) -> None:
    check(hospital, query, facilities)


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize("module_database_url", ["postgresql"], indirect=True)
@settings(max_examples=100, deadline=None)
@given(query=queries() | spans() | item_queries(), facilities=scopes)
def test_postgresql_finds_what_the_reference_matcher_finds(
    hospital: Database, query: Query, facilities: frozenset[str] | None
) -> None:
    check(hospital, query, facilities)


@pytest.mark.parametrize("level", list(Level))
def test_every_attribute_of_the_level_comes_back(hospital: Database, level: Level) -> None:
    levels = {level, *level.parents}
    expected = {keyword for keyword, a in BY_KEYWORD.items() if a.level in levels} - COUNTED
    for match in found(hospital, Query(level)).matches:
        assert set(match.values) == expected


def test_studies_come_newest_first_and_dateless_last(hospital: Database) -> None:
    values = [match.values for match in found(hospital, Query(Level.STUDY)).matches]
    dates = [value["StudyDate"] for value in values]
    assert dates == sorted(dates, reverse=True)
    assert dates[-1] == ""


def test_pages_cover_everything_once(hospital: Database) -> None:
    everything = found(hospital, Query(Level.IMAGE))
    assert not everything.has_more
    collected: list[str] = []
    for offset in range(0, len(everything.matches), 7):
        page = found(hospital, Query(Level.IMAGE, limit=7, offset=offset))
        collected += [match.values["SOPInstanceUID"] for match in page.matches]
        assert page.has_more == (offset + 7 < len(everything.matches))
    assert collected == [match.values["SOPInstanceUID"] for match in everything.matches]


def test_what_is_found_is_counted_on_all_pages_and_up_to_a_bound(hospital: Database) -> None:
    local, query = frozenset({"LOCAL"}), Query(Level.STUDY, limit=5, offset=3)
    with hospital.read() as connection:
        assert count(connection, query, facilities=local, at_most=33) == 33
        assert count(connection, query, facilities=local, at_most=32) is None
        assert count(connection, query, facilities=frozenset(), at_most=32) == 0


def test_a_page_beyond_everything_is_empty(hospital: Database) -> None:
    page = found(hospital, Query(Level.STUDY, limit=2**40, offset=2**40))
    assert page == Page((), has_more=False)


def test_other_facilities_do_not_exist(hospital: Database) -> None:
    local = found(hospital, Query(Level.STUDY), frozenset({"LOCAL"})).matches
    assert {match.facility for match in local} == {"LOCAL"}
    assert len(local) == 33
    assert found(hospital, Query(Level.STUDY), frozenset()).matches == ()


@pytest.mark.parametrize(
    ("key", "fuzzy", "names"),
    [
        ("nguyen van duc", False, {"Nguyễn^Văn^Đức", "NGUYEN^VAN^DUC", "Đức^Nguyễn Văn"}),
        ("Nguyễn^*", False, {"Nguyễn^Văn^Đức", "NGUYEN^VAN^DUC", "Đức^Nguyễn Văn", "Nguyễn"}),
        ("an", False, set()),
        ("an", True, {"Trần^Thi_An", "An\\Bình", "O'Neil^Ann"}),
        ("duc nguyen", True, {"Nguyễn^Văn^Đức", "NGUYEN^VAN^DUC", "Đức^Nguyễn Văn"}),
    ],
)
def test_names_are_found_as_settled(hospital: Database, key: str, fuzzy: bool, names: set[str]) -> None:
    page = found(hospital, Query.build(Level.STUDY, {"PatientName": key}, extensions=Extensions(fuzzy=fuzzy)))
    assert {match.values["PatientName"] for match in page.matches} == names


@pytest.mark.parametrize(
    ("key", "fuzzy"), [("*Trần*", False), ("TRẦN^*", False), ("Trần^Văn^An", False), ("an trần", True)]
)
@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY])
def test_names_with_the_accents_of_the_key_come_first(database: Database, key: str, fuzzy: bool, level: Level) -> None:
    names = ["TRAN^VAN^AN", "Trân^Văn^An", "Trần^Văn^An", "tran van an", "TRẦN VĂN AN"]
    for n, name in enumerate(names, 1):
        patient = {"PatientName": name, "PatientID": f"BN{n}", "StudyDate": f"2026010{9 - n}"}
        write(database, record(n, attributes=patient))

    told = [
        m.values["PatientName"]
        for m in found(database, Query.build(level, {"PatientName": key}, extensions=Extensions(fuzzy=fuzzy))).matches
    ]

    assert set(told[:2]) == {"Trần^Văn^An", "TRẦN VĂN AN"}
    assert set(told) == set(names)
    if level is Level.STUDY:
        assert told == ["Trần^Văn^An", "TRẦN VĂN AN", "TRAN^VAN^AN", "Trân^Văn^An", "tran van an"]


def test_a_time_of_the_minute_lies_in_a_range_of_seconds(database: Database) -> None:
    write(database, record(attributes={"StudyTime": "0830"}))
    for key in ("083000-083059", "0830", "08-09", "083000.000-", "-0830"):
        assert found(database, Query.build(Level.STUDY, {"StudyTime": key})).matches, key
    assert not found(database, Query.build(Level.STUDY, {"StudyTime": "083001-"})).matches


def test_the_keys_of_an_item_are_met_by_one_item(database: Database) -> None:
    write(database, record(1, attributes={"RequestAttributesSequence": "S1\x1fR1\\S2\x1fR2"}))
    write(database, record(2, attributes={"RequestAttributesSequence": "S1\x1fR2"}))

    def series(key: str) -> list[str]:
        page = found(database, Query.build(Level.SERIES, {"RequestAttributesSequence": key}))
        return sorted(match.values["StudyInstanceUID"] for match in page.matches)

    assert series("S1\x1fR2") == [uid(2)]
    assert series("S1\x1f") == series("\x1fR2") == series("s*\x1f") == [uid(1), uid(2)]
    assert series("S1*R2\x1f") == []
