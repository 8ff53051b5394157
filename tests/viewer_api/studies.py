"""Small synthetic objects of many kinds, as Part 10 files."""

from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

ROOT = "1.2.826.0.1.3680043.8.498.77"
NAME = "Nguyễn^Văn^Đức"
PDF = b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"


def uid(*numbers: int) -> str:
    """Return a UID of the tests' own root."""
    return ".".join((ROOT, *map(str, numbers)))


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta = meta
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def base(study: int = 1, series: int = 1, instance: int = 1) -> Dataset:
    """Return the identity of an object."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = NAME
    ds.PatientID = f"BN{study:04}"
    ds.PatientBirthDate = "19700131"
    ds.PatientSex = "M"
    ds.StudyInstanceUID = uid(study)
    ds.SeriesInstanceUID = uid(study, series)
    ds.SOPInstanceUID = uid(study, series, instance)
    ds.StudyDate = f"202601{study % 28 + 1:02}"
    ds.StudyTime = "081500"
    ds.StudyDescription = "CT bụng"
    ds.AccessionNumber = f"A{study}"
    ds.StudyID = "1"
    ds.ReferringPhysicianName = ""
    ds.SeriesNumber = series
    ds.InstanceNumber = instance
    ds.SOPClassUID = CTImageStorage
    ds.Modality = "CT"
    return ds


def pixels(ds: Dataset, values: np.ndarray, *, bits: int = 16) -> Dataset:
    """Put native pixels into an object; `values` is (frames, rows, columns[, samples])."""
    n_frames, rows, columns = values.shape[:3]
    ds.Rows, ds.Columns = rows, columns
    ds.SamplesPerPixel = values.shape[3] if values.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if ds.SamplesPerPixel == 3 else "MONOCHROME2"
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = 1 if values.dtype.kind == "i" else 0
    if n_frames > 1:
        ds.NumberOfFrames = n_frames
    data = values.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def values(seed: int = 1, shape: tuple[int, ...] = (1, 12, 10), dtype: str = "<i2") -> np.ndarray:
    """Return pixels that are never the same for two seeds."""
    kind = np.dtype(dtype)
    low, high = (-1000, 2000) if kind.kind == "i" else (0, 2 ** min(8 * kind.itemsize, 12) - 1)
    return np.random.default_rng(seed).integers(low, high, shape).astype(kind)


def ct(study: int = 1, series: int = 1, instance: int = 1, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a CT image in a native syntax."""
    ds = pixels(base(study, series, instance), values(instance))
    ds.RescaleSlope, ds.RescaleIntercept, ds.WindowCenter, ds.WindowWidth = "1", "0", "40", "400"
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = values(instance).astype(">i2").tobytes()
        ds["PixelData"].VR = "OW"
    return encode(ds, syntax)


def rle(study: int = 1, series: int = 2, instance: int = 1) -> bytes:
    """Return a CT image in RLE."""
    ds = pixels(base(study, series, instance), values(instance))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless, generate_instance_uid=False)
    return encode(ds, RLELossless)


def us(study: int = 1, series: int = 3, instance: int = 1) -> bytes:
    """Return a colour multi-frame ultrasound clip."""
    ds = base(study, series, instance)
    ds.SOPClassUID, ds.Modality = UltrasoundMultiFrameImageStorage, "US"
    return encode(pixels(ds, values(instance, (5, 8, 6, 3), "u1"), bits=8))


def odd_fragments(study: int = 1, series: int = 4, instance: int = 1) -> bytes:
    """Return an object in a syntax that nothing here decodes."""
    ds = pixels(base(study, series, instance), values(instance))
    ds.PixelData = encapsulate([b"not MPEG at all "])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    return encode(ds, "1.2.840.10008.1.2.4.100")


def pdf(study: int = 1, series: int = 5, instance: int = 1, document: bytes = PDF) -> bytes:
    """Return an encapsulated PDF."""
    ds = base(study, series, instance)
    ds.SOPClassUID, ds.Modality = EncapsulatedPDFStorage, "DOC"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.DocumentTitle = "Kết quả"
    ds.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return encode(ds)


def report(study: int = 1, series: int = 6, instance: int = 1, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a structured report with bulk data inside a sequence."""
    ds = base(study, series, instance)
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    item = Dataset()
    item.ValueType = "TEXT"
    item.TextValue = "Không thấy bất thường"
    item.EncapsulatedDocument = bytes(range(256)) * 8
    ds.ContentSequence = [item]
    return encode(ds, syntax)


NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
