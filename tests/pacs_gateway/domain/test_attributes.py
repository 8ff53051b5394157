import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from pacs_gateway.database.schema.archive import instance, patient, series, study
from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, BY_TAG, Attribute, Matching, of_level
from pacs_gateway.domain.levels import Level

TABLES = {Level.PATIENT: patient, Level.STUDY: study, Level.SERIES: series, Level.IMAGE: instance}
EXPECTED_VRS = {
    Matching.UID: {"UI"},
    Matching.NAME: {"PN"},
    Matching.DATE: {"DA"},
    Matching.TIME: {"TM"},
    Matching.NUMBER: {"IS"},
    Matching.CODES: {"CS", "UI"},
    Matching.ITEMS: {"SQ"},
    Matching.TEXT: {"LO", "SH", "CS"},
}


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda a: a.keyword)
def test_rows_agree_with_the_dictionary_and_the_schema(attribute: Attribute) -> None:
    assert keyword_for_tag(attribute.tag) == attribute.keyword
    assert dictionary_VR(attribute.tag) == attribute.vr
    assert attribute.hex == f"{attribute.tag:08X}"
    assert attribute.matching is Matching.NONE or attribute.vr in EXPECTED_VRS[attribute.matching]
    assert bool(attribute.items) == (attribute.vr == "SQ")
    for position, item in enumerate(attribute.items):
        assert (keyword_for_tag(item.tag), dictionary_VR(item.tag), item.position) == (item.keyword, item.vr, position)
    if attribute.column is not None:
        assert attribute.column in TABLES[attribute.level].c


def test_tags_and_columns_are_named_once() -> None:
    assert len(BY_TAG) == len(BY_KEYWORD) == len(ATTRIBUTES)
    columns = [(a.level, a.column) for a in ATTRIBUTES if a.column]
    assert len(set(columns)) == len(columns)


def test_every_level_has_its_unique_key() -> None:
    for level in Level:
        assert BY_KEYWORD[level.unique_key].level is level
        assert BY_KEYWORD[level.unique_key] in of_level(level)


def test_what_qido_must_return_is_there() -> None:
    """PS3.18 10.6.3.3: Tables 10.6.3-3 to 10.6.3-5 without what every web server adds by itself."""
    required = {
        Level.STUDY: {0x00080020, 0x00080030, 0x00080050, 0x00080061, 0x00080090, 0x0020000D, 0x00200010}
        | {0x00201206, 0x00201208},
        Level.PATIENT: {0x00100010, 0x00100020, 0x00100030, 0x00100040},
        Level.SERIES: {0x00080060, 0x0008103E, 0x0020000E, 0x00200011, 0x00201209, 0x00400244, 0x00400245}
        | {0x00400275},
        Level.IMAGE: {0x00080016, 0x00080018, 0x00200013, 0x00280010, 0x00280011, 0x00280100, 0x00280008},
    }
    for level, tags in required.items():
        assert tags == {a.tag for a in of_level(level) if a.default}
