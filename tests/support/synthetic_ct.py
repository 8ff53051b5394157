"""Small CT images made by the thousand: one encoded template, in which only the identifiers are exchanged."""

import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

_FIRST = 10**38  # every UID has the same length, so that one can take another's place in encoded bytes


def new_uid() -> str:
    """Return a UID nobody had before, 44 characters long (PS3.5 B.2)."""
    return f"2.25.{_FIRST + secrets.randbelow(2 * _FIRST)}"


@dataclass(frozen=True, slots=True)
class Ct:
    """One CT image as a Part 10 file, and what identifies it."""

    content: bytes
    study_uid: str
    series_uid: str
    sop_uid: str

    @property
    def data_set(self) -> bytes:
        return data_set_of(self.content)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data_set).hexdigest()


@dataclass(frozen=True, slots=True)
class CtSeries:
    """Makes the images of one series."""

    side: int = 64
    study_uid: str = field(default_factory=new_uid)
    series_uid: str = field(default_factory=new_uid)

    def image(self, sop_uid: str | None = None) -> Ct:
        """Return an image of its own; its pixels tell it from the others."""
        content, (study, series, sop) = _template(self.side)
        sop_uid = sop_uid or new_uid()
        for old, new in ((study, self.study_uid), (series, self.series_uid), (sop, sop_uid)):
            content = content.replace(old.encode(), new.encode())
        return Ct(content[:-16] + secrets.token_bytes(15) + b"\0", self.study_uid, self.series_uid, sop_uid)


def make_ct(side: int, *, name: str = "Thử^Nghiệm", patient_id: str = "SYN-1") -> Dataset:
    """Return a CT image in explicit little endian that holds noise, with its file meta information."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
    ds.StudyDate, ds.StudyTime, ds.Modality = "20261122", "101500", "CT"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = name, patient_id, "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = side
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.random.default_rng(side).integers(0, 4096, (side, side), dtype=np.uint16).tobytes()
    return ds


def encoded(ds: Dataset) -> bytes:
    """Return `ds` as a Part 10 file in the transfer syntax its file meta information names."""
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def data_set_of(content: bytes) -> bytes:
    """Return the data set of a Part 10 file as it is encoded (PS3.10 7.1)."""
    return content[_meta_end(content) :]


@cache
def _template(side: int) -> tuple[bytes, tuple[str, str, str]]:
    ds = make_ct(side)
    return encoded(ds), (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)


def _meta_end(content: bytes) -> int:
    assert content[128:132] == b"DICM"
    assert content[132:140] == b"\x02\x00\x00\x00UL\x04\x00"
    (length,) = struct.unpack_from("<L", content, 140)
    return 144 + int(length)
