"""THE table of attributes: it feeds describing, the index, C-FIND, QIDO-RS and the conformance statement.

One row per attribute that can be searched or returned from the index. ``column`` is the index column that holds it;
computed attributes have none of their own and are answered from counts and sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pacs_gateway.domain.levels import Level


class Matching(StrEnum):
    """How a key of this attribute is matched (PS3.4 C.2.2.2)."""

    UID = "uid"
    """Single value or list of UIDs."""
    TEXT = "text"
    """Single value or wildcard."""
    NAME = "name"
    """Single value or wildcard on the fold of the name."""
    DATE = "date"
    TIME = "time"
    NUMBER = "number"
    """Single value of an integer string."""
    CODES = "codes"
    """Any of the given values is in the entity's set (Modalities in Study, SOP Classes in Study)."""
    ITEMS = "items"
    """Sequence matching: all keys of the request's item by single value or wildcard, in one item of the entity."""
    NONE = "none"
    """Returned, never matched."""


ITEM_SEPARATOR, FIELD_SEPARATOR = "\\", "\x1f"
"""A sequence is one text: its items, and in each the values of its attributes by position; no value has either."""


@dataclass(frozen=True, slots=True)
class ItemAttribute:
    """One attribute in the items of a sequence."""

    keyword: str
    tag: int
    vr: str
    position: int
    """Where its value stands in the text of an item."""

    @property
    def hex(self) -> str:
        """The tag as eight upper-case hexadecimal digits, as DICOM JSON spells it."""
        return f"{self.tag:08X}"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table."""

    keyword: str
    tag: int
    vr: str
    level: Level
    matching: Matching
    column: str | None
    """Index column, None for computed attributes."""
    default: bool = False
    """Returned by QIDO-RS without being asked (PS3.18 10.6.3.3)."""
    items: tuple[ItemAttribute, ...] = ()
    """Of a sequence: what is known of its items."""

    @property
    def hex(self) -> str:
        """The tag as eight upper-case hexadecimal digits, as DICOM JSON spells it."""
        return f"{self.tag:08X}"

    def item_values(self, text: str) -> list[list[str]]:
        """Return the values of each item in the text of a sequence, by position."""
        n_values = max(one.position for one in self.items) + 1
        items = [item.split(FIELD_SEPARATOR) for item in text.split(ITEM_SEPARATOR)] if text else []
        return [values + [""] * (n_values - len(values)) for values in items]


_OTHER_PATIENT_IDS = (
    ItemAttribute("PatientID", 0x00100020, "LO", 0),
    ItemAttribute("IssuerOfPatientID", 0x00100021, "LO", 1),
)
_PROCEDURE_CODES = (
    ItemAttribute("CodeValue", 0x00080100, "SH", 0),
    ItemAttribute("CodingSchemeDesignator", 0x00080102, "SH", 1),
    ItemAttribute("CodeMeaning", 0x00080104, "LO", 2),
)
_REQUESTS = (
    ItemAttribute("ScheduledProcedureStepID", 0x00400009, "SH", 0),
    ItemAttribute("RequestedProcedureID", 0x00401001, "SH", 1),
)

_P, _S, _E, _I = Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE
_M = Matching

ATTRIBUTES: tuple[Attribute, ...] = (
    # PS3.4 C.6.1.1.2 Patient level; PS3.18 Table 10.6.3-3 returns them with studies
    Attribute("PatientName", 0x00100010, "PN", _P, _M.NAME, "patient_name", default=True),
    Attribute("PatientID", 0x00100020, "LO", _P, _M.TEXT, "patient_id", default=True),
    Attribute("IssuerOfPatientID", 0x00100021, "LO", _P, _M.TEXT, "issuer"),
    Attribute("PatientBirthDate", 0x00100030, "DA", _P, _M.DATE, "patient_birth_date", default=True),
    Attribute("PatientSex", 0x00100040, "CS", _P, _M.TEXT, "patient_sex", default=True),
    Attribute("OtherPatientIDsSequence", 0x00101002, "SQ", _P, _M.ITEMS, "other_patient_ids", items=_OTHER_PATIENT_IDS),
    Attribute("NumberOfPatientRelatedStudies", 0x00201200, "IS", _P, _M.NONE, None),
    Attribute("NumberOfPatientRelatedSeries", 0x00201202, "IS", _P, _M.NONE, None),
    Attribute("NumberOfPatientRelatedInstances", 0x00201204, "IS", _P, _M.NONE, None),
    # PS3.4 C.6.1.1.3 Study level
    Attribute("StudyInstanceUID", 0x0020000D, "UI", _S, _M.UID, "study_uid", default=True),
    Attribute("StudyDate", 0x00080020, "DA", _S, _M.DATE, "study_date", default=True),
    Attribute("StudyTime", 0x00080030, "TM", _S, _M.TIME, "study_time", default=True),
    Attribute("AccessionNumber", 0x00080050, "SH", _S, _M.TEXT, "accession_number", default=True),
    Attribute("StudyID", 0x00200010, "SH", _S, _M.TEXT, "study_id", default=True),
    Attribute("StudyDescription", 0x00081030, "LO", _S, _M.TEXT, "study_description"),
    Attribute("ReferringPhysicianName", 0x00080090, "PN", _S, _M.NAME, "referring_physician_name", default=True),
    Attribute("PatientAge", 0x00101010, "AS", _S, _M.NONE, "patient_age"),
    Attribute("TimezoneOffsetFromUTC", 0x00080201, "SH", _S, _M.NONE, "timezone_offset"),
    Attribute("ProcedureCodeSequence", 0x00081032, "SQ", _S, _M.ITEMS, "procedure_codes", items=_PROCEDURE_CODES),
    Attribute("ModalitiesInStudy", 0x00080061, "CS", _S, _M.CODES, None, default=True),
    Attribute("SOPClassesInStudy", 0x00080062, "UI", _S, _M.CODES, None),
    Attribute("NumberOfStudyRelatedSeries", 0x00201206, "IS", _S, _M.NONE, None, default=True),
    Attribute("NumberOfStudyRelatedInstances", 0x00201208, "IS", _S, _M.NONE, None, default=True),
    # PS3.4 C.6.1.1.4 Series level
    Attribute("SeriesInstanceUID", 0x0020000E, "UI", _E, _M.UID, "series_uid", default=True),
    Attribute("Modality", 0x00080060, "CS", _E, _M.TEXT, "modality", default=True),
    Attribute("SeriesNumber", 0x00200011, "IS", _E, _M.NUMBER, "series_number", default=True),
    Attribute("SeriesDescription", 0x0008103E, "LO", _E, _M.TEXT, "series_description", default=True),
    Attribute("SeriesDate", 0x00080021, "DA", _E, _M.DATE, "series_date"),
    Attribute("SeriesTime", 0x00080031, "TM", _E, _M.TIME, "series_time"),
    Attribute("BodyPartExamined", 0x00180015, "CS", _E, _M.TEXT, "body_part_examined"),
    Attribute("Laterality", 0x00200060, "CS", _E, _M.TEXT, "laterality"),
    Attribute("ProtocolName", 0x00181030, "LO", _E, _M.TEXT, "protocol_name"),
    Attribute("StationName", 0x00081010, "SH", _E, _M.TEXT, "station_name"),
    Attribute("InstitutionName", 0x00080080, "LO", _E, _M.TEXT, "institution_name"),
    Attribute("Manufacturer", 0x00080070, "LO", _E, _M.TEXT, "manufacturer"),
    Attribute("PerformedProcedureStepStartDate", 0x00400244, "DA", _E, _M.DATE, "pps_start_date", default=True),
    Attribute("PerformedProcedureStepStartTime", 0x00400245, "TM", _E, _M.TIME, "pps_start_time", default=True),
    Attribute("RequestAttributesSequence", 0x00400275, "SQ", _E, _M.ITEMS, "requests", default=True, items=_REQUESTS),
    Attribute("NumberOfSeriesRelatedInstances", 0x00201209, "IS", _E, _M.NONE, None, default=True),
    # PS3.4 C.6.1.1.5 Composite object instance level
    Attribute("SOPInstanceUID", 0x00080018, "UI", _I, _M.UID, "sop_uid", default=True),
    Attribute("SOPClassUID", 0x00080016, "UI", _I, _M.UID, "sop_class_uid", default=True),
    Attribute("InstanceNumber", 0x00200013, "IS", _I, _M.NUMBER, "instance_number", default=True),
    Attribute("Rows", 0x00280010, "US", _I, _M.NONE, "rows", default=True),
    Attribute("Columns", 0x00280011, "US", _I, _M.NONE, "columns", default=True),
    Attribute("BitsAllocated", 0x00280100, "US", _I, _M.NONE, "bits_allocated", default=True),
    Attribute("NumberOfFrames", 0x00280008, "IS", _I, _M.NONE, "number_of_frames", default=True),
    Attribute("ContentDate", 0x00080023, "DA", _I, _M.DATE, "content_date"),
    Attribute("ContentTime", 0x00080033, "TM", _I, _M.TIME, "content_time"),
    Attribute("ImageType", 0x00080008, "CS", _I, _M.NONE, "image_type"),
    Attribute("AvailableTransferSyntaxUID", 0x00083002, "UI", _I, _M.NONE, "transfer_syntax_uid"),
)

BY_KEYWORD: Mapping[str, Attribute] = MappingProxyType({a.keyword: a for a in ATTRIBUTES})
BY_TAG: Mapping[int, Attribute] = MappingProxyType({a.tag: a for a in ATTRIBUTES})


COUNTED = frozenset(
    {"NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances"}
)
"""Keywords of what no row holds: it is counted among what the caller may see, when somebody asks for it."""


def of_level(level: Level) -> tuple[Attribute, ...]:
    """Return the rows of one level, in the table's order."""
    return tuple(a for a in ATTRIBUTES if a.level is level)
