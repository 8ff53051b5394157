"""Every kind of sample is valid DICOM, by dicom3tools and by what a gateway relies on."""

import re
from copy import deepcopy
from io import BytesIO
from pathlib import Path

import pytest
from openjpeg.utils import decode
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import HTJ2KLossless

from sample_dicom import generate
from sample_dicom.dataset import IMPLEMENTATION_UID, part10
from tests.sample_dicom.conftest import Verify


def _known_to_dciodvfy(content: bytes) -> bytes:
    """Returns the file, or for HTJ2K its decoded twin in explicit little endian."""
    ds = dcmread(BytesIO(content))
    if ds.file_meta.TransferSyntaxUID != HTJ2KLossless:
        return content
    twin = deepcopy(ds)
    twin.PixelData = decode(next(generate_frames(ds.PixelData, number_of_frames=1))).tobytes()
    twin["PixelData"].VR = "OW"
    twin["PixelData"].is_undefined_length = False
    del twin.ExtendedOffsetTable, twin.ExtendedOffsetTableLengths
    return part10(twin)


@pytest.mark.peer("dicom3tools")
def test_every_file_of_the_small_edition_passes_dciodvfy(
    small_set: dict[str, bytes], dciodvfy_errors: Verify, tmp_path: Path
) -> None:
    errors = {}
    for path, content in small_set.items():
        file = tmp_path / "sample.dcm"
        file.write_bytes(_known_to_dciodvfy(content))
        errors[path] = dciodvfy_errors(file)
    assert {path: lines for path, lines in errors.items() if lines} == {}


@pytest.mark.long
@pytest.mark.peer("dicom3tools")
def test_every_file_of_the_full_edition_passes_dciodvfy(dciodvfy_errors: Verify, tmp_path: Path) -> None:
    errors = {}
    for path in generate(tmp_path / "full"):
        file = tmp_path / "sample.dcm"
        file.write_bytes(_known_to_dciodvfy(path.read_bytes()))
        errors[path] = dciodvfy_errors(file)
    assert len(errors) > 60
    assert {path: lines for path, lines in errors.items() if lines} == {}


def test_file_meta_agrees_with_the_data_set(objects: dict[str, FileDataset]) -> None:
    for ds in objects.values():
        assert ds.preamble == b"\0" * 128
        assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.file_meta.ImplementationClassUID == IMPLEMENTATION_UID


def test_every_object_has_its_own_uid_under_the_uuid_root(objects: dict[str, FileDataset]) -> None:
    uids = [ds.SOPInstanceUID for ds in objects.values()]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)


def test_every_object_says_that_it_is_synthetic(objects: dict[str, FileDataset]) -> None:
    assert all("Synthetic" in ds.PatientComments for ds in objects.values())


def test_names_keep_their_vietnamese_letters(objects: dict[str, FileDataset]) -> None:
    assert objects["ct/001.dcm"].SpecificCharacterSet == "ISO_IR 192"
    assert objects["ct/001.dcm"].PatientName.family_name == "Trần"
    assert str(objects["dx/001.dcm"].PatientName) == "Nguyễn^Thị^Đào"
    assert objects["dx/001.dcm"].StudyDescription == "X-quang ngực thẳng"


def test_the_old_scanner_writes_one_component_in_ascii_without_character_set(small_set: dict[str, bytes]) -> None:
    ds = dcmread(BytesIO(small_set["rle/001.dcm"]))
    assert "SpecificCharacterSet" not in ds
    assert str(ds.PatientName) == "TRAN VAN AN"
    assert ds.StudyDescription.isascii()


def test_two_issuers_gave_the_same_number_to_two_people(objects: dict[str, FileDataset]) -> None:
    one, other = objects["ct/001.dcm"], objects["us-jpeg/001.dcm"]
    assert one.PatientID == other.PatientID
    assert one.IssuerOfPatientID != other.IssuerOfPatientID
    assert one.PatientName != other.PatientName


def test_report_and_segmentation_refer_to_images_of_the_set(objects: dict[str, FileDataset]) -> None:
    images = {ds.SOPInstanceUID for path, ds in objects.items() if path.startswith("ct/")}
    evidence = objects["ct-sr/001.dcm"].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert {ref.ReferencedSOPInstanceUID for ref in evidence.ReferencedSOPSequence} == images
    shown = objects["ct-sr/001.dcm"].ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert shown == objects["ct/004.dcm"].SOPInstanceUID  # the slice with the nodule
    referenced = objects["ct-seg/001.dcm"].ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {ref.ReferencedSOPInstanceUID for ref in referenced} == images


def test_encapsulated_document_is_a_pdf_of_the_stated_length(objects: dict[str, FileDataset]) -> None:
    ds = objects["ct-pdf/001.dcm"]
    document = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    assert document.startswith(b"%PDF-1.4")
    assert document.endswith(b"%%EOF\n")
    table = int(document.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert document[table:].startswith(b"xref\n")
    for number, offset in enumerate(re.findall(rb"^(\d{10}) 00000 n", document[table:], re.M), start=1):
        assert document[int(offset) :].startswith(b"%d 0 obj\n" % number)


def test_the_two_parts_of_the_concatenation_complete_each_other(objects: dict[str, FileDataset]) -> None:
    first, second = objects["concatenation/001.dcm"], objects["concatenation/002.dcm"]
    for keyword in ("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource", "InstanceNumber", "SeriesInstanceUID"):
        assert first[keyword].value == second[keyword].value
    assert [first.InConcatenationNumber, second.InConcatenationNumber] == [1, 2]
    assert first.InConcatenationTotalNumber == second.InConcatenationTotalNumber == 2
    assert first.ConcatenationFrameOffsetNumber == 0
    assert second.ConcatenationFrameOffsetNumber == first.NumberOfFrames
