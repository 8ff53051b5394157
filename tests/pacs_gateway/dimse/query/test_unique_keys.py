"""Which entities an identifier names, and which identifiers name none."""

from collections.abc import Mapping, Sequence

import pytest
from pydicom.datadict import tag_for_keyword

from pacs_gateway.dimse.negotiation import PATIENT_ROOT_MOVE, PATIENT_STUDY_ONLY_MOVE, STUDY_ROOT_GET
from pacs_gateway.dimse.query.information_model import MODELS
from pacs_gateway.dimse.query.unique_keys import UniqueKeys, unique_keys
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.raw_data_set import RawDataSet, RawElement
from pacs_gateway.errors import UnfitQueryError

Key = str | bytes | Sequence[str]
STUDY, SERIES, IMAGE = "1.2.3", "1.2.3.4", "1.2.3.4.5"


def read(model: str = PATIENT_ROOT_MOVE, /, is_relational: bool = False, charset: str = "", **keys: Key) -> UniqueKeys:
    return read_keys(model, keys, is_relational=is_relational, charset=charset)


def read_keys(model: str, keys: Mapping[str, Key], *, is_relational: bool = False, charset: str = "") -> UniqueKeys:
    elements = {}
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        raw = value if isinstance(value, bytes) else (value if isinstance(value, str) else "\\".join(value)).encode()
        elements[tag] = RawElement("UN", raw + b"\0" * (len(raw) % 2))
    return unique_keys(RawDataSet(elements), MODELS[model], is_relational=is_relational, charset=charset)


def test_a_value_for_each_level_down_to_the_one_retrieved() -> None:
    keys = read(
        QueryRetrieveLevel="SERIES", PatientID="P1", StudyInstanceUID=STUDY, SeriesInstanceUID=[SERIES, "1.2.3.5"]
    )

    assert keys == {Level.PATIENT: ("P1",), Level.STUDY: (STUDY,), Level.SERIES: (SERIES, "1.2.3.5")}


def test_what_is_no_key_of_the_level_or_above_does_not_count() -> None:
    keys = read(
        STUDY_ROOT_GET,
        QueryRetrieveLevel="STUDY",
        PatientID="P1",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID="not a uid",
        ModalitiesInStudy="CT",
    )

    assert keys == {Level.STUDY: (STUDY,)}


def test_whose_a_study_is_need_not_be_said() -> None:
    unsaid = read(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY)
    blank = read(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY, PatientID="")

    assert unsaid == blank == {Level.STUDY: (STUDY,)}


def test_a_patient_id_is_read_in_its_character_set() -> None:
    named = read(QueryRetrieveLevel="PATIENT", SpecificCharacterSet="ISO_IR 192", PatientID="BN-Đ1")
    unnamed = read(QueryRetrieveLevel="PATIENT", charset="ISO_IR 101", PatientID="BN-Đ1".encode("iso8859-2"))

    assert named == unnamed == {Level.PATIENT: ("BN-Đ1",)}


def test_relational_needs_the_lowest_key_alone() -> None:
    lowest = read(is_relational=True, QueryRetrieveLevel="IMAGE", SOPInstanceUID=IMAGE)
    some = read(
        is_relational=True,
        QueryRetrieveLevel="IMAGE",
        PatientID="",
        StudyInstanceUID=[STUDY, "1.2.4"],
        SOPInstanceUID=IMAGE,
    )

    assert lowest == {Level.IMAGE: (IMAGE,)}
    assert some == {Level.STUDY: (STUDY, "1.2.4"), Level.IMAGE: (IMAGE,)}


@pytest.mark.parametrize(
    ("model", "keys", "tag"),
    [
        (PATIENT_ROOT_MOVE, {"StudyInstanceUID": STUDY}, 0x00080052),
        (PATIENT_ROOT_MOVE, {"QueryRetrieveLevel": "FRAME", "StudyInstanceUID": STUDY}, 0x00080052),
        (STUDY_ROOT_GET, {"QueryRetrieveLevel": "PATIENT", "PatientID": "P1"}, 0x00080052),
        (PATIENT_STUDY_ONLY_MOVE, {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": SERIES}, 0x00080052),
        (PATIENT_ROOT_MOVE, {"QueryRetrieveLevel": "PATIENT"}, 0x00100020),
        (PATIENT_ROOT_MOVE, {"QueryRetrieveLevel": "PATIENT", "PatientID": ""}, 0x00100020),
        (PATIENT_ROOT_MOVE, {"QueryRetrieveLevel": "PATIENT", "PatientID": "*"}, 0x00100020),
        (PATIENT_ROOT_MOVE, {"QueryRetrieveLevel": "PATIENT", "PatientID": ["P1", "P2"]}, 0x00100020),
        (STUDY_ROOT_GET, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}, 0x0020000D),
        (STUDY_ROOT_GET, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.*"}, 0x0020000D),
        (STUDY_ROOT_GET, {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": SERIES}, 0x0020000D),
        (
            STUDY_ROOT_GET,
            {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": [STUDY, "1.2.4"], "SeriesInstanceUID": SERIES},
            0x0020000D,
        ),
        (
            STUDY_ROOT_GET,
            {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": [f"1.2.{n}" for n in range(10_001)]},
            0x0020000D,
        ),
    ],
)
def test_an_identifier_that_does_not_fit_says_where(model: str, keys: dict[str, Key], tag: int) -> None:
    with pytest.raises(UnfitQueryError) as raised:
        read_keys(model, keys)

    assert raised.value.tag == tag
