import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, Attribute
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import (
    AnyOf,
    Condition,
    Extensions,
    IsEmpty,
    NameIs,
    NameWords,
    OneOf,
    Query,
    Range,
    Wildcard,
    parse_condition,
)
from pacs_gateway.errors import InvalidQueryError


def one(keyword: str, text: str, *, fuzzy: bool = False) -> Condition | None:
    return parse_condition(BY_KEYWORD[keyword], text, Extensions(fuzzy=fuzzy))


@pytest.mark.parametrize(
    ("keyword", "text", "condition"),
    [
        ("StudyInstanceUID", "1.2\\1.3", OneOf(("1.2", "1.3"))),
        ("StudyInstanceUID", "1.2\0", OneOf(("1.2",))),
        ("ModalitiesInStudy", "CT\\ MR", OneOf(("CT", "MR"))),
        ("StudyDate", "20260102", Range("20260102", "20260102")),
        ("StudyDate", "2026.01.02", Range("20260102", "20260102")),
        ("StudyDate", "20260102-", Range("20260102", "")),
        ("StudyDate", "-20260102", Range("", "20260102")),
        ("StudyDate", "20260102 - 20260103", Range("20260102", "20260103")),
        ("StudyTime", "08:30-094500.5", Range("0830", "094500.5")),
        ("StudyTime", "08", Range("08", "08")),
        ("SeriesNumber", " +007 ", OneOf(("7",))),
        ("AccessionNumber", "A_1%", OneOf(("A_1%",))),
        ("AccessionNumber", "A*", Wildcard("A*")),
        ("PatientID", "BN?1", Wildcard("BN?1")),
        ("PatientName", "Nguyễn^*", NameIs("Nguyễn^*")),
        ("StudyDescription", unicodedata.normalize("NFD", "bụng"), OneOf(("bụng",))),
        ("StudyDescription", "a\ud800\0b", OneOf(("ab",))),
    ],
)
def test_keys_become_conditions(keyword: str, text: str, condition: Condition) -> None:
    assert one(keyword, text) == condition


def test_fuzzy_names_are_words() -> None:
    assert one("PatientName", "Đức*", fuzzy=True) == NameWords("Đức ")


@pytest.mark.parametrize("fuzzy", [False, True])
@pytest.mark.parametrize("text", ["", "  ", "*", "\0", "^^^^", "^*", "=*^*"])
def test_empty_keys_match_everything(text: str, fuzzy: bool) -> None:
    assert one("PatientName", text, fuzzy=fuzzy) is None


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("StudyInstanceUID", "1.2*"),
        ("StudyInstanceUID", "' OR 1=1 --"),
        ("StudyInstanceUID", "\\\\"),
        ("StudyInstanceUID", "\\".join(["1.2"] * 1001)),
        ("StudyDate", "yesterday"),
        ("StudyDate", "-"),
        ("StudyDate", "2026010"),
        ("StudyDate", "٢٠٢٦٠١٠٢"),
        ("StudyDate", "20260101-20260102-20260103"),
        ("StudyTime", "8:30"),
        ("StudyTime", "0830.5"),
        ("SeriesNumber", "1.5"),
        ("SeriesNumber", "٣"),
        ("SeriesNumber", "9" * 13),
        ("PatientName", "A" * 1025),
    ],
)
def test_malformed_keys_are_refused_without_being_repeated(keyword: str, text: str) -> None:
    with pytest.raises(InvalidQueryError) as refusal:
        one(keyword, text)
    assert keyword in str(refusal.value)
    assert text not in str(refusal.value)


EMPTY, MULTIPLE = Extensions(empty=True), Extensions(multiple=True)


@pytest.mark.parametrize(
    ("keyword", "text", "extensions", "condition"),
    [
        ("PatientID", '""', EMPTY, IsEmpty()),
        ("PatientName", ' "" ', EMPTY, IsEmpty()),
        ("StudyDate", '""', EMPTY, IsEmpty()),
        ("PatientID", '""', MULTIPLE, OneOf(('""',))),
        ("PatientID", "A\\B*", MULTIPLE, AnyOf((OneOf(("A",)), Wildcard("B*")))),
        ("SeriesNumber", "1\\2", MULTIPLE, AnyOf((OneOf(("1",)), OneOf(("2",))))),
        ("PatientName", "an\\binh", Extensions(fuzzy=True, multiple=True), AnyOf((NameWords("an"), NameWords("binh")))),
        ("PatientID", "A\\*", MULTIPLE, None),
        ("PatientID", "A\\B", EMPTY, OneOf(("A\\B",))),
        ("StudyInstanceUID", "1.2\\1.3", MULTIPLE, OneOf(("1.2", "1.3"))),
    ],
)
def test_extensions_change_what_a_key_means(
    keyword: str, text: str, extensions: Extensions, condition: Condition | None
) -> None:
    assert parse_condition(BY_KEYWORD[keyword], text, extensions) == condition


@pytest.mark.parametrize(
    ("level", "keyword"),
    [
        (Level.STUDY, "SeriesNumber"),
        (Level.PATIENT, "StudyDate"),
        (Level.STUDY, "NumberOfStudyRelatedSeries"),
        (Level.STUDY, "NoSuchKeyword"),
        (Level.STUDY, "x\r\ny"),
    ],
)
def test_attributes_of_another_level_cannot_be_matched(level: Level, keyword: str) -> None:
    with pytest.raises(InvalidQueryError):
        Query.build(level, {keyword: "1"})


def test_build_keeps_what_matters() -> None:
    query = Query.build(
        Level.SERIES,
        {"PatientName": "an", "Modality": "*", "SeriesNumber": "3"},
        limit=5,
        offset=2,
        case_sensitive=True,
    )
    assert query == Query(Level.SERIES, {"PatientName": NameIs("an"), "SeriesNumber": OneOf(("3",))}, 5, 2, True)


@given(st.sampled_from(ATTRIBUTES), st.text(st.characters(), max_size=30), st.booleans())
def test_any_text_is_a_condition_or_refused(attribute: Attribute, text: str, fuzzy: bool) -> None:
    try:
        parse_condition(attribute, text, Extensions(fuzzy=fuzzy))
    except InvalidQueryError:
        return
