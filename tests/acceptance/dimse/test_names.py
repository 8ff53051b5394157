"""Persons are found however their name was written, and shown with their accents (vietnam.md)."""

from pathlib import Path

import httpx
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from tests.support import dicomweb
from tests.support.builders import Identity, encode, image
from tests.support.clients.dcmtk import Dcmtk, dump
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway
from tests.support.scripted_peer import CT_IMAGE
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("dimse-matrix"), pytest.mark.peer("dcmtk")]

_FOUND_DEADLINE_S = 30.0
_ACCESSION = "NAMES"
# Accents in components, no accents in one component, accents in one component; and somebody else. The accented
# studies are the older ones: newest first would put them last.
_PERSONS = (
    Identity(
        study=701,
        patient_id="N1",
        patient_name="Trần^Văn An",
        extra={"AccessionNumber": _ACCESSION, "StudyDate": "20200101"},
    ),
    Identity(
        study=702,
        patient_id="N2",
        patient_name="TRAN VAN AN",
        charset="",
        extra={"AccessionNumber": _ACCESSION, "StudyDate": "20260101"},
    ),
    Identity(
        study=703,
        patient_id="N3",
        patient_name="Trần Văn An",
        extra={"AccessionNumber": _ACCESSION, "StudyDate": "20210101"},
    ),
    Identity(
        study=704,
        patient_id="N4",
        patient_name="Đặng^Thị Út",
        extra={"AccessionNumber": _ACCESSION, "StudyDate": "20260101"},
    ),
)


@pytest.fixture(scope="module", autouse=True)
def persons(gateway: RunningGateway, client: httpx.Client) -> None:
    """Four persons, stored and found."""
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=ImplicitVRLittleEndian) as sender:
        for person in _PERSONS:
            ds = image(person)
            assert sender.store(ds.SOPInstanceUID, encode(ds, ImplicitVRLittleEndian)).status == 0
    stored = image(_PERSONS[-1]).StudyInstanceUID
    wait_until(lambda: bool(dicomweb.instance_uids(client, stored)), _FOUND_DEADLINE_S, "the persons to be found")


def found_names(gateway: RunningGateway, name: str) -> list[str]:
    """Return the names that a query for a name is answered, in order."""
    keys = {"SpecificCharacterSet": "ISO_IR 192", "AccessionNumber": _ACCESSION, "PatientName": name}
    return [answer["PatientName"] for answer in Dcmtk(gateway.dicom_port).find("STUDY", keys)]


@pytest.mark.parametrize("name", ["*Tran*", "*TRAN*", "tran*an"])
def test_a_pattern_without_accents_finds_every_spelling(gateway: RunningGateway, name: str) -> None:
    assert sorted(found_names(gateway, name)) == ["TRAN VAN AN", "Trần Văn An", "Trần^Văn An"]


@pytest.mark.parametrize("name", ["*Trần*", "*TRẦN*"])
def test_a_pattern_with_accents_ranks_the_accented_first(gateway: RunningGateway, name: str) -> None:
    names = found_names(gateway, name)

    assert sorted(names[:2]) == ["Trần Văn An", "Trần^Văn An"]
    assert names[2:] == ["TRAN VAN AN"]


def test_an_answer_shows_its_accents_in_dcmdump(gateway: RunningGateway, tmp_path: Path) -> None:
    keys = {"AccessionNumber": _ACCESSION, "PatientName": "*Tran*", "PatientID": "N1"}

    assert Dcmtk(gateway.dicom_port).find_into(tmp_path, "STUDY", keys) == 0

    (answer,) = tmp_path.glob("rsp*.dcm")
    shown = dump(answer)
    assert "(0008,0005) CS [ISO_IR 192]" in shown
    assert "(0010,0010) PN [Trần^Văn An]" in shown
