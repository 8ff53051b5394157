"""The four levels of the information model and their unique keys (PS3.4 C.6.1.1)."""

from enum import StrEnum


class Level(StrEnum):
    """A level of the Patient Root model, as (0008,0052) Query/Retrieve Level spells it."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def unique_key(self) -> str:
        """Keyword of the attribute that identifies an entity of this level."""
        return _UNIQUE_KEYS[self]

    @property
    def parents(self) -> tuple["Level", ...]:
        """The levels above this one, highest first."""
        order = tuple(Level)
        return order[: order.index(self)]


_UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
