"""The sample studies as the tests send them: the committed subset, a CT of sixty slices, and rarer encodings."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from sample_dicom import generate
from sample_dicom.catalogue import SUBSET
from sample_dicom.ct import Stack, heights
from tests.support.running_gateway import ROOT
from tests.support.synthetic_ct import new_uid

# How storescu is told to propose a transfer syntax; it has never heard of HTJ2K.
PROPOSALS = {
    ExplicitVRLittleEndian: "-xe",
    ImplicitVRLittleEndian: "-xi",
    ExplicitVRBigEndian: "-xb",
    DeflatedExplicitVRLittleEndian: "-xd",
    RLELossless: "-xr",
    JPEGBaseline8Bit: "-xy",
    JPEGLSLossless: "-xt",
    JPEG2000Lossless: "-xv",
}
UNKNOWN_TO_DCMTK = frozenset({HTJ2KLossless})
_CONVERSIONS = {ExplicitVRBigEndian: "+tb", DeflatedExplicitVRLittleEndian: "+td"}
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file, and what a request names it by."""

    path: Path
    transfer_syntax: UID
    sop_class_uid: str
    study_uid: str
    series_uid: str
    sop_uid: str

    @property
    def url_path(self) -> str:
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.sop_uid}"


def ct_slices(folder: Path) -> list[SampleFile]:
    """Make the sample CT in the number of slices it has, each smaller."""
    edition = replace(SUBSET, name="acceptance", ct=Stack(128, heights(-132.5, 5.0, 60)))
    return [sample_file(path) for path in generate(folder / "samples", edition=edition) if path.parent.name == "ct"]


def every_encoding(folder: Path) -> list[SampleFile]:
    """Return the committed subset, and what DCMTK makes of one of its images in encodings that it lacks."""
    paths = sorted((ROOT / "sample_dicom" / "subset").rglob("*.dcm"))
    return [sample_file(path) for path in paths] + [_converted(folder, paths, syntax) for syntax in _CONVERSIONS]


def sample_file(path: Path) -> SampleFile:
    """Look into a file."""
    ds = dcmread(path, stop_before_pixels=True)
    syntax = ds.file_meta.TransferSyntaxUID
    return SampleFile(path, syntax, ds.SOPClassUID, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)


def _converted(folder: Path, paths: list[Path], syntax: UID) -> SampleFile:
    """Return a CT slice under a UID of its own, its byte order or its whole data set changed by DCMTK."""
    ds = dcmread(next(path for path in paths if path.parent.name == "ct"))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
    original, converted = folder / "original.dcm", folder / f"{syntax.keyword}.dcm"
    ds.save_as(original, enforce_file_format=True)
    subprocess.run(["dcmconv", _CONVERSIONS[syntax], original, converted], check=True, timeout=_DEADLINE_S)
    return sample_file(converted)
