"""DICOM JSON: what pydicom, an outside reader, makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from pacs_gateway.dicomweb import dicom_json
from pacs_gateway.dicomweb.dicom_json import FailedReference, StoredReference
from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD, Attribute, of_level
from pacs_gateway.domain.levels import Level


def _read(obj: object) -> Dataset:
    return Dataset.from_json(json.dumps(obj))


def test_an_outside_reader_gets_the_values_back() -> None:
    values = {
        "PatientName": "Nguyễn^Văn^Đức=阮^文=x",
        "StudyInstanceUID": "1.2.3",
        "ModalitiesInStudy": "CT\\SR",
        "NumberOfStudyRelatedInstances": "60",
        "StudyDate": "20260102",
    }
    ds = _read(dicom_json.encode(values, [BY_KEYWORD[keyword] for keyword in values]))
    assert str(ds.PatientName) == values["PatientName"]
    assert list(ds.ModalitiesInStudy) == ["CT", "SR"]
    assert (ds.NumberOfStudyRelatedInstances, ds.StudyDate) == (60, "20260102")


def test_tags_come_in_ascending_order_and_absent_values_are_empty() -> None:
    encoded = dicom_json.encode({}, of_level(Level.STUDY))
    assert list(encoded) == sorted(encoded)
    assert all(set(value) == {"vr"} for value in encoded.values())


@given(st.sampled_from(ATTRIBUTES), st.text(max_size=30))
def test_any_text_of_any_attribute_is_valid_json(attribute: Attribute, text: str) -> None:
    json.dumps(dicom_json.encode({attribute.keyword: text}, [attribute]))


@pytest.mark.parametrize(
    ("vr", "text", "value"),
    [
        ("IS", "12", [12]),
        ("IS", "-3\\+4", [-3, 4]),
        ("IS", "12.5", ["12.5"]),
        ("IS", "9" * 5000, ["9" * 5000]),
        ("US", "512", [512]),
        ("CS", "A\\\\B", ["A", None, "B"]),
        ("CS", " ", [None]),
        ("LO", "<b>", ["<b>"]),
        ("UR", "http://a/b\\c", ["http://a/b\\c"]),
        ("PN", "Tran^An", [{"Alphabetic": "Tran^An"}]),
        ("PN", "=陈", [{"Ideographic": "陈"}]),
    ],
)
def test_values_take_the_form_of_their_representation(vr: str, text: str, value: list[object]) -> None:
    assert dicom_json.element(vr, text)["Value"] == value


def test_a_store_response_names_what_was_taken_and_what_was_not() -> None:
    response = dicom_json.store_response(
        [StoredReference("1.2", "1.3", "http://a/1.3")],
        [FailedReference(0xA900, "1.2", "1.4"), FailedReference(0xC000)],
        study_url="http://a",
    )
    ds = _read(response)
    assert ds.RetrieveURL == "http://a"
    assert ds.ReferencedSOPSequence[0].RetrieveURL == "http://a/1.3"
    assert (ds.FailedSOPSequence[0].ReferencedSOPInstanceUID, ds.FailedSOPSequence[0].FailureReason) == ("1.4", 0xA900)
    assert ds.OtherFailuresSequence[0].FailureReason == 0xC000
