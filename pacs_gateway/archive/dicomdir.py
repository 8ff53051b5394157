"""A DICOMDIR for a set of files: what is on a medium, by patient, study, series and instance, written and never read.

Values are copied from the objects as they were encoded, each record with its object's character set. What a directory
must have (PS3.3 F.5) and an object lacks is filled with what says nothing; the objects themselves stay as they are.

References
----------
PS3.3 Annex F (Basic Directory IOD), PS3.10 8.6 (DICOMDIR)
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from types import MappingProxyType
from uuid import uuid4

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from pacs_gateway.archive.egress import EXPLICIT_LITTLE_ENDIAN, has_pixels
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.part10 import IMPLEMENTATION_CLASS_UID, FileMeta, encode_head
from pacs_gateway.imaging.transcode import encode_header

FILE_NAME = "DICOMDIR"
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_PRIVATE_RECORD_UID = f"{IMPLEMENTATION_CLASS_UID}.1"
_IN_USE = 0xFFFF
_PATIENT_ID = 0x00100020

_PATIENT = ("PatientName", "PatientID")
_STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "StudyDescription", "StudyInstanceUID", "StudyID")
_SERIES = ("Modality", "SeriesInstanceUID", "SeriesNumber")
_DATED = ("ContentDate", "ContentTime", "InstanceNumber")
_LABELLED = (*_DATED, "ContentLabel", "ContentDescription", "ContentCreatorName")
# PS3.3 F.5: type of record -> what it tells of an instance.
_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "IMAGE": ("InstanceNumber",),
        "RT DOSE": ("InstanceNumber", "DoseSummationType"),
        "RT STRUCTURE SET": ("InstanceNumber", "StructureSetLabel", "StructureSetDate", "StructureSetTime"),
        "RT PLAN": ("InstanceNumber", "RTPlanLabel", "RTPlanDate", "RTPlanTime"),
        "RT TREAT RECORD": ("InstanceNumber", "TreatmentDate", "TreatmentTime"),
        "PRESENTATION": (
            *("PresentationCreationDate", "PresentationCreationTime", "InstanceNumber", "ContentLabel"),
            *("ContentDescription", "ContentCreatorName", "ReferencedSeriesSequence"),
        ),
        "WAVEFORM": _DATED,
        "SR DOCUMENT": (*_DATED, "CompletionFlag", "VerificationFlag", "ConceptNameCodeSequence"),
        "KEY OBJECT DOC": (*_DATED, "ConceptNameCodeSequence"),
        "RAW DATA": _DATED,
        "REGISTRATION": _LABELLED,
        "FIDUCIAL": _LABELLED,
        "VALUE MAP": _LABELLED,
        "ENCAP DOC": (*_DATED, "DocumentTitle", "MIMETypeOfEncapsulatedDocument", "ConceptNameCodeSequence"),
        "MEASUREMENT": _LABELLED,
        "SURFACE": _LABELLED,
        "PRIVATE": (),
    }
)
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# PS3.3 F.4 and the SOP classes that it names; what has pixels and is not here is an IMAGE.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("481.2",), "RT DOSE"),
        **dict.fromkeys(("481.3",), "RT STRUCTURE SET"),
        **dict.fromkeys(("481.5", "481.8"), "RT PLAN"),
        **dict.fromkeys(("481.4", "481.6", "481.7", "481.9"), "RT TREAT RECORD"),
        **dict.fromkeys((f"11.{n}" for n in range(1, 13)), "PRESENTATION"),
        **dict.fromkeys(("9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1", "9.4.1", "9.4.2", "9.5.1", "9.6.1"), "WAVEFORM"),
        **dict.fromkeys((f"88.{n}" for n in (11, 22, 33, 34, 35, 40, 50, 65, 67, 68, 69, 70)), "SR DOCUMENT"),
        "88.59": "KEY OBJECT DOC",
        "66": "RAW DATA",
        **dict.fromkeys(("66.1", "66.3"), "REGISTRATION"),
        "66.2": "FIDUCIAL",
        "66.5": "SURFACE",
        "67": "VALUE MAP",
        **dict.fromkeys((f"104.{n}" for n in range(1, 6)), "ENCAP DOC"),
        **dict.fromkeys((f"78.{n}" for n in range(1, 9)), "MEASUREMENT"),
    }
)
# What must have a value (type 1) and often has none. Numbers and IDs are counted, so that no two look alike.
_COUNTED = frozenset({"PatientID", "StudyID", "SeriesNumber", "InstanceNumber"})
_SAYING_NOTHING: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("StudyDate", "ContentDate", "PresentationCreationDate"), "19000101"),
        **dict.fromkeys(("StudyTime", "ContentTime", "PresentationCreationTime"), "000000"),
        "Modality": "OT",
    }
)


def record_type(instance: StoredInstance) -> str:
    """Return the type of the directory record that refers to an instance."""
    found = _TYPES.get(instance.sop_class_uid.removeprefix(_STORAGE))
    return found or ("IMAGE" if has_pixels(instance) else "PRIVATE")


@dataclass(slots=True)
class _Record:
    """A record and those below it, by what tells them apart."""

    content: bytes = b""
    """Its elements from the type of record on, encoded."""
    below: "dict[str, _Record]" = field(default_factory=dict)
    offset: int = 0
    """Where its item begins in the file."""

    @property
    def length(self) -> int:
        return _ITEM_BYTES + _LINKS.size + len(self.content)

    def walk(self) -> "Iterator[_Record]":
        """Yield everything below, each before what is below it."""
        for record in self.below.values():
            yield record
            yield from record.walk()


_ITEM_BYTES = 8
# Next record, in-use flag, first record of the lower level: (0004,1400), (0004,1410), (0004,1420).
_LINKS = struct.Struct("<HH2sHLHH2sHHHH2sHL")


class DicomDir:
    """Gathers the files of a medium, and becomes its DICOMDIR."""

    def __init__(self) -> None:
        self._root = _Record()

    def add(self, name: str, instance: StoredInstance, header: Dataset, transfer_syntax_uid: str) -> None:
        """Take in a file.

        Parameters
        ----------
        name
            Its file ID, components with slashes between them (PS3.10 8.2).
        header
            The data set up to its pixel data; values longer than 64 KiB may be left out.
        transfer_syntax_uid
            In which the file is.

        Raises
        ------
        InvalidInstanceError
            An element that the directory repeats cannot be read.
        """
        # Patients without an ID are not one patient (settled: Matching).
        patient_id = header.get_item(_PATIENT_ID) if _PATIENT_ID in header else None
        is_known = patient_id is not None and not _is_empty(patient_id)
        key = repr(patient_id.value) if patient_id is not None and is_known else instance.study_uid
        patient = self._child(self._root, key, "PATIENT", _PATIENT, header)
        study = self._child(patient, instance.study_uid, "STUDY", _STUDY, header)
        series = self._child(study, instance.series_uid, "SERIES", _SERIES, header)
        kind = record_type(instance)
        leaf = self._child(series, name, kind, _KEYS[kind], header)
        # Group 0004 stands before everything else.
        leaf.content = _reference(name, instance, transfer_syntax_uid, kind) + leaf.content

    def encode(self) -> bytes:
        """Return the file."""
        meta = FileMeta(_MEDIA_STORAGE_DIRECTORY, f"2.25.{uuid4().int}", EXPLICIT_LITTLE_ENDIAN)
        head = encode_head(meta)
        records = list(self._root.walk())
        # File-set ID (empty), first and last record of the root, consistency flag, and the head of the sequence.
        offset = len(head) + _FILE_SET_BYTES
        for record in records:
            record.offset = offset
            offset += record.length
        roots = list(self._root.below.values())
        first, last = (roots[0].offset, roots[-1].offset) if roots else (0, 0)
        body = [head, _file_set(first, last, sum(record.length for record in records))]
        for parent in (self._root, *records):
            siblings = list(parent.below.values())
            for record, following in zip_longest(siblings, siblings[1:]):
                record.content = _item(record, following) + record.content
        body += [record.content for record in records]
        return b"".join(body)

    @staticmethod
    def _child(parent: _Record, key: str, kind: str, keywords: tuple[str, ...], header: Dataset) -> _Record:
        found = parent.below.get(key)
        if found is None:
            found = parent.below[key] = _Record(_content(kind, keywords, header, number=len(parent.below) + 1))
        return found


def _file_set(first: int, last: int, length: int) -> bytes:
    return (
        struct.pack("<HH2sH", 0x0004, 0x1130, b"CS", 0)
        + struct.pack("<HH2sHL", 0x0004, 0x1200, b"UL", 4, first)
        + struct.pack("<HH2sHL", 0x0004, 0x1202, b"UL", 4, last)
        + struct.pack("<HH2sHH", 0x0004, 0x1212, b"US", 2, 0)
        + struct.pack("<HH2sHL", 0x0004, 0x1220, b"SQ", 0, length)
    )


_FILE_SET_BYTES = len(_file_set(0, 0, 0))


def _item(record: _Record, following: _Record | None) -> bytes:
    lower = next(iter(record.below.values()), None)
    links = _LINKS.pack(
        *(0x0004, 0x1400, b"UL", 4, following.offset if following else 0),
        *(0x0004, 0x1410, b"US", 2, _IN_USE),
        *(0x0004, 0x1420, b"UL", 4, lower.offset if lower else 0),
    )
    return struct.pack("<HHL", 0xFFFE, 0xE000, record.length - _ITEM_BYTES) + links


def _content(kind: str, keywords: tuple[str, ...], header: Dataset, *, number: int) -> bytes:
    record = Dataset()
    if kind not in _KEYS:
        record.add_new(0x00041430, "CS", kind)
    for keyword in ("SpecificCharacterSet", *keywords):
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        stored = header.get_item(tag) if tag in header else None
        if not _is_empty(stored):
            assert stored is not None
            record[tag] = stored
        elif keyword != "SpecificCharacterSet":
            substitute = str(number) if keyword in _COUNTED else _SAYING_NOTHING.get(keyword, "")
            if dictionary_VR(tag) != "SQ":
                record.add_new(tag, dictionary_VR(tag), substitute)
    return encode_header(record)


def _is_empty(stored: DataElement | RawDataElement | None) -> bool:
    if stored is None or not stored.value:
        return True
    return isinstance(stored.value, bytes) and not stored.value.strip(b"\0 ")


def _reference(name: str, instance: StoredInstance, transfer_syntax_uid: str, kind: str) -> bytes:
    record = Dataset()
    record.add_new(0x00041430, "CS", kind)
    if kind == "PRIVATE":
        record.add_new(0x00041432, "UI", UID(_PRIVATE_RECORD_UID))
    record.add_new(0x00041500, "CS", MultiValue(str, name.split("/")))
    record.add_new(0x00041510, "UI", UID(instance.sop_class_uid))
    record.add_new(0x00041511, "UI", UID(instance.sop_uid))
    record.add_new(0x00041512, "UI", UID(transfer_syntax_uid))
    return encode_header(record)
