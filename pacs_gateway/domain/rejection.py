"""Why objects are rejected, and by whose word (PS3.16 CID 7011, 7012; IHE RAD TF-3 4.66, rejection notes)."""

from enum import StrEnum

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
"""SOP class of rejection notes (PS3.4 B.5)."""


class RejectionReason(StrEnum):
    """Code values of the DICOM Controlled Terminology (scheme ``DCM``)."""

    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    WRONG_WORKLIST_ENTRY = "113038"
    RETENTION_EXPIRED = "113039"


class Reach(StrEnum):
    """Whose objects a sender's rejection notes take out of sight."""

    NOTHING = ""
    OWN = "own"
    """Those of its facility."""
    ALL = "all"
