"""What is asked of a peer and what it answers, as bytes; conversations are in `tests/acceptance/test_calling.py`."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from pacs_gateway.domain.levels import Level
from pacs_gateway.errors import InvalidQueryError
from pacs_gateway.peers.dicom_peer import decode_match, encode_query
from tests.support.scripted_peer import EXPLICIT, IMPLICIT

PATIENT_NAME, STUDY_UID = 0x00100010, 0x0020000D
_NAME = "Trần^Văn*"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_query_is_what_pydicom_reads(syntax: str) -> None:
    encoded = encode_query(Level.STUDY, {STUDY_UID: "1.2.3", PATIENT_NAME: _NAME}, syntax)

    ds = read_dataset(BytesIO(encoded), syntax == IMPLICIT, True)
    assert (ds.SpecificCharacterSet, ds.QueryRetrieveLevel) == ("ISO_IR 192", "STUDY")
    assert (ds.PatientName, ds.StudyInstanceUID) == (_NAME, "1.2.3")


def test_a_query_in_plain_letters_names_no_character_set() -> None:
    encoded = encode_query(Level.PATIENT, {PATIENT_NAME: "TRAN*"}, IMPLICIT)

    assert "SpecificCharacterSet" not in read_dataset(BytesIO(encoded), True, True)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 192", "Nguyễn^Đào"), ("ISO_IR 100", "Müller^José")])
def test_a_match_is_read_in_its_character_set(syntax: str, charset: str, name: str) -> None:
    ds = Dataset()
    ds.SpecificCharacterSet, ds.PatientName, ds.ModalitiesInStudy = charset, name, ["CT", "SR"]
    ds.Rows, ds.NumberOfStudyRelatedInstances, ds.OtherPatientIDsSequence = 512, 7, [Dataset()]
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(file, ds)

    assert decode_match(file.getvalue(), syntax, "") == {
        "SpecificCharacterSet": charset,
        "PatientName": name,
        "ModalitiesInStudy": "CT\\SR",
        "NumberOfStudyRelatedInstances": "7",
        "Rows": "512",
    }


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT, IMPLICIT]))
def test_whatever_a_peer_answers_is_read_or_refused(encoded: bytes, syntax: str) -> None:
    try:
        found = decode_match(encoded, syntax, "")
    except InvalidQueryError:
        return
    assert all(isinstance(text, str) for text in found.values())
