"""What every sample object has in common: identity, equipment, dates, Part 10 writing.

Everything is fixed or derived by name, so that two runs give the same bytes.
"""

from dataclasses import dataclass
from io import BytesIO
from uuid import UUID, uuid5

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from sample_dicom.vietnamese import Study

_NAMESPACE = UUID("5f4b8a52-7d0e-4f0c-9c59-0b6a5f1d7c11")
IMPLEMENTATION_UID = UID(f"2.25.{uuid5(_NAMESPACE, 'implementation').int}")
IMPLEMENTATION_VERSION = "PACSGW_SAMPLE_1"
SYNTHETIC = "Synthetic phantom: no real patient, not for diagnosis"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a study. `edition` sets the small committed subset apart from the full set."""

    study: Study
    edition: str
    number: int
    modality: str
    description: str
    body_part: str | None = None

    def uid(self, *names: object) -> UID:
        """Return the UID of something named within the series; without names the series' own (PS3.5 B.2)."""
        return uid(self.edition, self.study.key, self.number, *names)

    def instance(self, number: int) -> UID:
        """Return the SOP Instance UID of the instance `number`."""
        return self.uid("instance", number)


def uid(*names: object) -> UID:
    """Return the UID that belongs to a path of names: always the same one."""
    return UID(f"2.25.{uuid5(_NAMESPACE, '/'.join(map(str, names))).int}")


def study_uid(study: Study, edition: str) -> UID:
    """Return the Study Instance UID."""
    return uid(edition, study.key, "study")


def frame_of_reference(study: Study, edition: str) -> UID:
    """Return the one frame of reference that all images of a study share."""
    return uid(edition, study.key, "frame of reference")


def new_object(series: Series, sop_class: UID, number: int) -> Dataset:
    """Return a data set with the modules of patient, study, series, equipment and SOP common (PS3.3 C.7, C.12)."""
    study, ds = series.study, Dataset()
    patient, facility = study.patient, study.facility
    if study.character_set is not None:
        ds.SpecificCharacterSet = study.character_set
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, series.instance(number)
    ds.InstanceCreationDate, ds.InstanceCreationTime = study.date, study.time
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = study.date
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = study.time
    ds.TimezoneOffsetFromUTC = "+0700"
    ds.AccessionNumber = study.accession_number
    ds.Modality = series.modality
    ds.Manufacturer = "PACS gateway sample generator"
    ds.ManufacturerModelName = "Phantom"
    ds.DeviceSerialNumber = "0001"
    ds.SoftwareVersions = "1"
    ds.InstitutionName = facility.name
    ds.InstitutionAddress = facility.address
    ds.InstitutionalDepartmentName = facility.department
    ds.StationName = f"{facility.code}-{series.modality}"[:16]
    ds.ReferringPhysicianName = study.referring_physician
    ds.PhysiciansOfRecord = study.referring_physician
    ds.NameOfPhysiciansReadingStudy = study.reading_physician
    ds.StudyDescription, ds.SeriesDescription = study.description, series.description
    ds.PatientName, ds.PatientID = patient.name, patient.number
    ds.IssuerOfPatientID = facility.code
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = patient.birth_date, patient.sex, patient.age
    ds.PatientSize, ds.PatientWeight = f"{patient.height_m:.2f}", f"{patient.weight_kg:.1f}"
    ds.PatientComments = SYNTHETIC
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid(study, series.edition), series.uid()
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = study.accession_number[-6:], series.number, number
    if series.body_part is not None:
        ds.BodyPartExamined = series.body_part
    return ds


def item(**elements: object) -> Dataset:
    """Return a sequence item with the given elements, by keyword."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a coded entry (PS3.3 8.8)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def part10(ds: Dataset, transfer_syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """Return the object as a DICOM file (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_UID, IMPLEMENTATION_VERSION
    meta.SourceApplicationEntityTitle = "SAMPLES"
    buffer = BytesIO()
    dcmwrite(buffer, FileDataset(buffer, ds, file_meta=meta, preamble=b"\0" * 128), enforce_file_format=True)
    return buffer.getvalue()
