"""Small synthetic objects as data sets and Part 10 files, in any transfer syntax; every person is invented."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate_extended
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_file_meta_info
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RLELossless,
)

ROOT = "1.2.826.0.1.3680043.8.498.99"
NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
N_ROWS, N_COLUMNS = 6, 8


def uid(*numbers: int) -> str:
    """Return a UID of the tests' own root."""
    return ".".join((ROOT, *map(str, numbers)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Which patient, study, series and instance an object belongs to."""

    study: int = 1
    series: int = 1
    instance: int = 1
    patient_id: str = "BN0001"
    patient_name: str = "Nguyễn^Văn^Đức"
    charset: str = "ISO_IR 192"
    sop_uid: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    """More elements by keyword; they replace the builder's own."""


def dataset(identity: Identity | None = None) -> Dataset:
    """Return the elements that every object of the tests has."""
    one = identity or Identity()
    ds = Dataset()
    if one.charset:
        ds.SpecificCharacterSet = one.charset.split("\\") if "\\" in one.charset else one.charset
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = one.sop_uid or uid(one.study, one.series, one.instance)
    ds.StudyInstanceUID = uid(one.study)
    ds.SeriesInstanceUID = uid(one.study, one.series)
    ds.PatientName = one.patient_name
    ds.PatientID = one.patient_id
    ds.PatientBirthDate = "19700131"
    ds.PatientSex = "M"
    ds.StudyDate = "20260102"
    ds.StudyTime = "081500"
    ds.AccessionNumber = f"A{one.study}"
    ds.StudyID = str(one.study)
    ds.StudyDescription = "CT bụng" if one.charset == "ISO_IR 192" else "CT bung"
    ds.ReferringPhysicianName = ""
    ds.Modality = "CT"
    ds.SeriesNumber = one.series
    ds.InstanceNumber = one.instance
    _extend(ds, one)
    return ds


def image(identity: Identity | None = None, *, n_frames: int = 1) -> Dataset:
    """Return a 16-bit greyscale image whose pixels tell the instance number."""
    one = identity or Identity()
    ds = dataset(one)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = N_ROWS, N_COLUMNS
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    if n_frames > 1:
        ds.NumberOfFrames = n_frames
    ds.PixelData = pixels(one.instance, n_frames).tobytes()
    ds["PixelData"].VR = "OW"
    _extend(ds, one)
    return ds


def pixels(seed: int, n_frames: int = 1) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]":
    """Return the pixels of ``image``: (frames, rows, columns)."""
    return np.random.default_rng(seed).integers(0, 4096, (n_frames, N_ROWS, N_COLUMNS)).astype("<u2")


def report(identity: Identity | None = None) -> Dataset:
    """Return a structured report with nested content and no pixels."""
    one = identity or Identity()
    ds = dataset(one)
    ds.SOPClassUID, ds.Modality = BasicTextSRStorage, "SR"
    inner, outer = Dataset(), Dataset()
    inner.ValueType, inner.TextValue = "TEXT", "Không thấy bất thường" if one.charset == "ISO_IR 192" else "normal"
    outer.ValueType, outer.ContentSequence = "CONTAINER", [inner]
    ds.ContentSequence = [outer]
    _extend(ds, one)
    return ds


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the data set alone, as it travels in a C-STORE; pixel data as it stands (compressed ones encapsulated)."""
    file = BytesIO()
    big_endian = syntax == ExplicitVRBigEndian
    if big_endian and "PixelData" in ds and ds.BitsAllocated == 16:
        swapped = Dataset()
        swapped.update(ds)
        swapped.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        swapped["PixelData"].VR = "OW"
        ds = swapped
    dcmwrite(file, ds, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=not big_endian)
    if syntax != DeflatedExplicitVRLittleEndian:
        return file.getvalue()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(file.getvalue()) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def part10(ds: Dataset, syntax: str = ExplicitVRLittleEndian, *, encoded: bytes | None = None) -> bytes:
    """Return a Part 10 file of `ds` (or of an encoding of it)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(f"{ROOT}.1")
    head = DicomBytesIO()
    write_file_meta_info(head, meta)
    return bytes(128) + b"DICM" + head.getvalue() + (encode(ds, syntax) if encoded is None else encoded)


def encapsulated(
    ds: Dataset,
    frames: Sequence[bytes],
    *,
    fragments_per_frame: int = 1,
    has_table: bool = True,
    is_extended: bool = False,
) -> Dataset:
    """Put compressed frames into `ds`: with a Basic or Extended Offset Table or none, in one or more fragments each."""
    if is_extended:
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(list(frames))
    else:
        ds.PixelData = _in_fragments(frames, fragments_per_frame, has_table=has_table)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    return ds


def _in_fragments(frames: Sequence[bytes], n_fragments: int, *, has_table: bool) -> bytes:
    body, offsets = b"", []
    for frame in frames:
        offsets.append(len(body))
        size = max(2, (len(frame) // n_fragments + 1) // 2 * 2)
        pieces = [frame[at : at + size] for at in range(0, size * (n_fragments - 1), size)]
        rest = frame[size * (n_fragments - 1) :]
        for piece in [*pieces, rest + b"\0" * (len(rest) % 2)]:
            body += b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece
    table = b"".join(offset.to_bytes(4, "little") for offset in offsets) if has_table else b""
    return b"\xfe\xff\x00\xe0" + len(table).to_bytes(4, "little") + table + body


def rle(identity: Identity | None = None) -> Dataset:
    """Return the image of ``image``, in RLE Lossless."""
    ds = image(identity)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def jpeg2000(identity: Identity | None = None) -> Dataset:
    """Return the image of ``image``, in lossless JPEG 2000."""
    one = identity or Identity()
    frames = [
        bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True))
        for frame in pixels(one.instance)
    ]
    return encapsulated(image(one), frames)


def _extend(ds: Dataset, identity: Identity) -> None:
    for keyword, value in identity.extra.items():
        setattr(ds, keyword, value)


def rejection_note(
    identity: Identity, rejected: Sequence[tuple[str, str, str]], *, title: str = "113001", scheme: str = "DCM"
) -> Dataset:
    """Return a key object selection with a document title, about instances given as (study, series, instance)."""
    ds = dataset(identity)
    ds.SOPClassUID, ds.Modality = KeyObjectSelectionDocumentStorage, "KO"
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = title, scheme, "Rejected"
    ds.ValueType, ds.ContinuityOfContent, ds.ConceptNameCodeSequence = "CONTAINER", "SEPARATE", [concept]
    ds.ContentSequence = []
    studies: dict[str, Dataset] = {}
    for study_uid, series_uid, sop_uid in rejected:
        study, series, reference, content = (Dataset() for _ in range(4))
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, sop_uid
        series.SeriesInstanceUID, series.ReferencedSOPSequence = series_uid, [reference]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = study_uid, []
        studies.setdefault(study_uid, study).ReferencedSeriesSequence.append(series)
        content.RelationshipType, content.ValueType, content.ReferencedSOPSequence = "CONTAINS", "IMAGE", [reference]
        ds.ContentSequence.append(content)
    ds.CurrentRequestedProcedureEvidenceSequence = list(studies.values())
    _extend(ds, identity)
    return ds
