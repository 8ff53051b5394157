"""Why objects are rejected (PS3.16 CID 7011, 7012; IHE RAD TF-2 4.66, rejection notes)."""

from enum import StrEnum


class RejectionReason(StrEnum):
    """Code values of the DICOM Controlled Terminology (scheme ``DCM``)."""

    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    WRONG_WORKLIST_ENTRY = "113038"
    RETENTION_EXPIRED = "113039"
