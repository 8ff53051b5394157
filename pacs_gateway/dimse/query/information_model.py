"""The information models of query and retrieve: which levels each has (PS3.4 C.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pacs_gateway.dimse.negotiation import (
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    PATIENT_STUDY_ONLY_FIND,
    PATIENT_STUDY_ONLY_GET,
    PATIENT_STUDY_ONLY_MOVE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from pacs_gateway.domain.levels import Level
from pacs_gateway.errors import UnfitQueryError

QUERY_RETRIEVE_LEVEL = 0x00080052


@dataclass(frozen=True, slots=True)
class InformationModel:
    """One information model."""

    levels: tuple[Level, ...]
    """Highest first; what is above the first belongs to it (in Study Root the patient's attributes)."""

    def level(self, text: str) -> Level:
        """Return the level that (0008,0052) names.

        Raises
        ------
        UnfitQueryError
            The model has no such level.
        """
        found = next((level for level in self.levels if level == text), None)
        if found is None:
            raise UnfitQueryError("Query/Retrieve Level is missing or not of this model", tag=QUERY_RETRIEVE_LEVEL)
        return found

    def above(self, level: Level) -> tuple[Level, ...]:
        """Return the levels of the model above `level`, highest first."""
        return self.levels[: self.levels.index(level)]


_PATIENT_ROOT = InformationModel(tuple(Level))
_STUDY_ROOT = InformationModel((Level.STUDY, Level.SERIES, Level.IMAGE))
_PATIENT_STUDY_ONLY = InformationModel((Level.PATIENT, Level.STUDY))

MODELS: Mapping[str, InformationModel] = MappingProxyType(
    {
        **dict.fromkeys((PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET), _PATIENT_ROOT),
        **dict.fromkeys((STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET), _STUDY_ROOT),
        **dict.fromkeys(
            (PATIENT_STUDY_ONLY_FIND, PATIENT_STUDY_ONLY_MOVE, PATIENT_STUDY_ONLY_GET), _PATIENT_STUDY_ONLY
        ),
    }
)
"""The model of each SOP class of query and retrieve."""
