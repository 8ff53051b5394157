"""What is sent: synthetic instances, made once into a cache and reused by every run.

A set lies in sixteen folders, so that 1, 4 or 16 associations can share it without being told single files.
"""

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

N_FOLDERS = 16
# Changes whenever the objects do: a cache of the older ones is not used then.
_EDITION = 1
_NAMESPACE = UUID("0b0f7a86-9b53-4c53-8f3a-5a1a4b7d6a10")


class Kind(StrEnum):
    """What the instances are like."""

    CT = "ct"
    """512 x 512 pixels of 16 bits with noise in them and the header of a real scanner, all in one series."""
    TINY = "tiny"
    """8 x 8 pixels, 100 instances in a series, 10 series in a study."""


_SIDE = {Kind.CT: 512, Kind.TINY: 8}
_TINY_PER_SERIES, _SERIES_PER_STUDY = 100, 10


@dataclass(frozen=True, slots=True)
class Samples:
    """A set of instances on disk."""

    folder: Path
    n_instances: int
    study_uid: str
    """The first study."""
    series_uid: str
    """Its first series."""

    def parts(self, n_parts: int) -> list[list[Path]]:
        """Return the folders that each of `n_parts` associations sends."""
        folders = [self.folder / f"{n:02d}" for n in range(min(N_FOLDERS, self.n_instances))]
        return [folders[n::n_parts] for n in range(n_parts) if folders[n::n_parts]]

    def warm(self) -> None:
        """Read every file, so that no sender waits for the disk."""
        for path in self.folder.rglob("*.dcm"):
            path.read_bytes()


def prepare(cache: Path, kind: Kind, n_instances: int) -> Samples:
    """Return `n_instances` of a kind, made now unless the cache has them."""
    folder = cache / f"{kind}-{n_instances}-edition-{_EDITION}"
    samples = Samples(folder, n_instances, _uid(kind, "study", 0), _uid(kind, "series", 0))
    if not folder.is_dir():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for n in range(min(N_FOLDERS, n_instances)):
            (unfinished / f"{n:02d}").mkdir(parents=True)
        _write(unfinished, kind, n_instances)
        unfinished.rename(folder)
    samples.warm()
    return samples


def _write(folder: Path, kind: Kind, n_instances: int) -> None:
    ds = _scanner_header() if kind is Kind.CT else Dataset()
    side = _SIDE[kind]
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.PatientName, ds.PatientSex, ds.StudyDate, ds.StudyTime = "Benchmark^Synthetic", "O", "20260105", "081500"
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    random = np.random.default_rng(2)
    anatomy = np.hypot(*np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j])
    anatomy = np.where(anatomy < 0.8, 40, -1000)
    for number in range(n_instances):
        series = 0 if kind is Kind.CT else number // _TINY_PER_SERIES
        study = series // _SERIES_PER_STUDY
        ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(kind, "study", study), _uid(kind, "series", series)
        ds.PatientID = ds.AccessionNumber = f"BENCH{study:06d}"
        ds.SOPInstanceUID = _uid(kind, "instance", number)
        ds.SeriesNumber, ds.InstanceNumber = series + 1, number + 1
        if kind is Kind.CT:
            ds.ImagePositionPatient, ds.SliceLocation = [-250, -250, number * 0.625], number * 0.625
        ds.PixelData = (anatomy + random.normal(0, 12, (side, side))).astype("<i2").tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(folder / f"{number % N_FOLDERS:02d}" / f"{number:06d}.dcm", enforce_file_format=True)


def _scanner_header() -> Dataset:
    """Return what a CT scanner says about every slice: length and nesting as in practice, values made up."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name in ("InstanceCreation", "Series", "Acquisition", "Content"):
        setattr(ds, f"{name}Date", "20260105")
        setattr(ds, f"{name}Time", "081742.120000")
    ds.Manufacturer, ds.ManufacturerModelName, ds.StationName = "Benchmark", "Generator", "BENCH-CT"
    ds.InstitutionName, ds.InstitutionalDepartmentName = "Synthetic Hospital", "Radiology"
    ds.ReferringPhysicianName, ds.OperatorsName = "Nobody^Here", "Nobody^There"
    ds.StudyDescription, ds.SeriesDescription = "CT THORAX ABDOMEN", "Thin 0.625 mm"
    ds.ProtocolName, ds.StudyID, ds.AcquisitionNumber = "Thorax routine", "1", 1
    ds.PatientBirthDate, ds.PatientAge, ds.PatientPosition, ds.PatientWeight = "19700101", "056Y", "HFS", "61.0"
    ds.BodyPartExamined, ds.ScanOptions, ds.ContrastBolusAgent = "CHEST", "HELICAL MODE", "Synthetic"
    ds.SliceThickness, ds.SpacingBetweenSlices, ds.KVP, ds.XRayTubeCurrent = "0.625", "0.625", "120", "310"
    ds.DataCollectionDiameter, ds.ReconstructionDiameter, ds.GantryDetectorTilt = "500.0", "360.0", "0.0"
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient, ds.TableHeight = "949.075", "541.0", "151.0"
    ds.RotationDirection, ds.ExposureTime, ds.Exposure, ds.FilterType = "CW", "500", "155", "BODY FILTER"
    ds.GeneratorPower, ds.FocalSpots, ds.ConvolutionKernel = "37200", "1.2", "STANDARD"
    ds.RevolutionTime, ds.SingleCollimationWidth, ds.TotalCollimationWidth = 0.5, 0.625, 40.0
    ds.TableSpeed, ds.TableFeedPerRotation, ds.SpiralPitchFactor = 78.75, 39.37, 0.984
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1.0", "0001"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid("frame of reference"), "SN"
    ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], ["0.703125", "0.703125"]
    ds.WindowCenter, ds.WindowWidth = ["40", "-600"], ["400", "1500"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "SYN-1", "99BENCH", "Synthetic examination"
    ds.ProcedureCodeSequence = [code]
    reference = Dataset()
    reference.ReferencedSOPClassUID = reference.ReferencedSOPInstanceUID = _uid("reference")
    ds.ReferencedStudySequence = [reference]
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "1", "1"
    request.RequestedProcedureCodeSequence = [code]
    ds.RequestAttributesSequence = [request]
    private = ds.private_block(0x0009, "BENCHMARK PRIVATE", create=True)
    for element in range(24):
        private.add_new(element, "LO", f"private value {element}")
    return ds


def _uid(*names: object) -> UID:
    return UID(f"2.25.{uuid5(_NAMESPACE, '/'.join(map(str, names))).int}")
