"""A DICOMDIR says of files what DCMTK's says, and is read by others."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.dicomdir import DicomDir
from pacs_gateway.archive.exporting import Export
from pacs_gateway.gateway import Gateway
from tests.support.builders import Identity, image, report, rle, uid
from tests.support.gateways import open_test_gateway, put
from tests.viewer_api import studies

NAMELESS = {"StudyDate": "", "StudyTime": "", "StudyID": "", "SeriesNumber": None, "PatientID": ""}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    with open_test_gateway(tmp_path / "gateway") as gateway:
        yield gateway


def export(house: Gateway, folder: Path, *study_uids: str) -> Path:
    """Export with a DICOMDIR; return its path."""
    everything = Export(house.archive.search, house.archive.retrieve)
    files = everything.files(Scope(None), study_uids)
    names = list(everything.to_folder(files, folder, with_dicomdir=True))
    assert names == [*(file.name for file in files), "DICOMDIR"]
    return folder / "DICOMDIR"


def told_report() -> Dataset:
    """Return a report with what its kind must have."""
    flags = {"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED"}
    ds = report(Identity(series=3, extra=flags | {"ContentDate": "20260102", "ContentTime": "081500"}))
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "18747-6", "LN", "CT Report"
    ds.ConceptNameCodeSequence = [title]
    return ds


@pytest.fixture
def medium(house: Gateway, tmp_path: Path) -> Path:
    """Two studies of one patient and one of another, of many kinds."""
    for instance in (1, 2, 3):
        put(house, image(Identity(instance=instance, extra={"PatientName": "Nguyễn^Văn^Đức"})))
    put(house, rle(Identity(series=2)))
    put(house, told_report())
    put(house, image(Identity(study=2)))
    put(house, image(Identity(study=3, patient_id="BN0002", extra=NAMELESS | {"PatientID": "BN0002"})))
    return export(house, tmp_path / "medium", uid(1), uid(2), uid(3))


def told(path: Path) -> list[tuple[str, ...]]:
    """Return type, file and what identifies each record of a DICOMDIR, in the order of its links."""
    ds = dcmread(path)
    items = {item.seq_item_tell: item for item in ds.DirectoryRecordSequence}

    def walk(offset: int, depth: int) -> Iterator[tuple[str, ...]]:
        while offset:
            item: Dataset = items[offset]
            file = "/".join(item.get("ReferencedFileID", ()))
            keys = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPInstanceUIDInFile")
            yield (str(depth), item.DirectoryRecordType, file, *(str(item.get(key, "")) for key in keys))
            yield from walk(item.OffsetOfReferencedLowerLevelDirectoryEntity, depth + 1)
            offset = item.OffsetOfTheNextDirectoryRecord

    first = ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    return list(walk(first, 0))


def test_pydicom_finds_every_file_by_it(medium: Path) -> None:
    found = {instance.SOPInstanceUID: Path(instance.path) for instance in FileSet(medium)}
    files = [path for path in medium.parent.rglob("*") if path.is_file() and path != medium]
    assert set(found.values()) == set(files)
    assert {dcmread(path).SOPInstanceUID for path in files} == set(found)


def test_it_leads_from_patients_to_studies_to_series_to_files(medium: Path) -> None:
    assert [record[:2] for record in told(medium)] == [
        ("0", "PATIENT"), ("1", "STUDY"), ("2", "SERIES"), ("3", "IMAGE"), ("3", "IMAGE"), ("3", "IMAGE"),
        ("2", "SERIES"), ("3", "IMAGE"), ("2", "SERIES"), ("3", "SR DOCUMENT"),
        ("1", "STUDY"), ("2", "SERIES"), ("3", "IMAGE"),
        ("0", "PATIENT"), ("1", "STUDY"), ("2", "SERIES"), ("3", "IMAGE"),
    ]  # fmt: skip


def test_names_are_in_the_character_set_they_came_in(medium: Path) -> None:
    patient = dcmread(medium).DirectoryRecordSequence[0]
    assert (patient.PatientName, patient.SpecificCharacterSet) == ("Nguyễn^Văn^Đức", "ISO_IR 192")


def test_what_must_be_there_and_is_not_says_nothing(medium: Path) -> None:
    study = [record for record in dcmread(medium).DirectoryRecordSequence if record.DirectoryRecordType == "STUDY"][-1]
    assert (study.StudyDate, study.StudyTime, study.StudyID) == ("19000101", "000000", "1")


@pytest.mark.peer("dcmtk")
def test_dcmtk_says_the_same_of_the_files(medium: Path, tmp_path: Path) -> None:
    ours = told(medium)
    medium.rename(tmp_path / "ours")
    program = shutil.which("dcmmkdir")
    assert program is not None
    # Invents what is missing; takes every transfer syntax; goes below the folder.
    arguments = [program, "+I", "-Nxc", "+r", "+id", str(medium.parent), "+D", str(medium)]
    subprocess.run(arguments, check=True, timeout=120, capture_output=True)
    assert sorted(told(medium)) == sorted(ours)


@pytest.mark.peer("dicom3tools")
def test_it_is_what_the_standard_wants(medium: Path) -> None:
    program = shutil.which("dciodvfy")
    assert program is not None
    done = subprocess.run([program, str(medium)], check=False, timeout=60, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_a_file_that_no_kind_of_record_fits_is_listed_all_the_same(house: Gateway, tmp_path: Path) -> None:
    ds = studies.base()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.999"
    put(house, ds)
    records = told(export(house, tmp_path / "medium", studies.uid(1)))
    assert records[-1][1:3] == ("PRIVATE", "ST000001/SE000001/IM000001")


def test_without_files_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    path.write_bytes(DicomDir().encode())
    assert told(path) == []
