"""What the matrix asks of every DICOM client, whoever wrote it and however it is driven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CALLING = "MATRIX"
CLIENT_DEADLINE_S = 60.0
SUCCESS = 0x0000


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How a C-MOVE or C-GET ended: the status of its last response, and what that counts."""

    status: int
    completed: int
    failed: int


Answer = Mapping[str, str]
"""One answer to a C-FIND: text by keyword; several values are divided by backslashes."""


class Client(Protocol):
    """A service class user that calls the gateway."""

    def echo(self) -> None:
        """Be answered a C-ECHO."""

    def store(self, paths: Sequence[Path]) -> None:
        """Send files; each is answered Success."""

    def find(self, level: str, keys: Mapping[str, str]) -> list[Answer]:
        """Return what a C-FIND in the Study Root is answered."""


class GetClient(Client, Protocol):
    """One that knows C-GET."""

    def get(self, keys: Mapping[str, str], folder: Path) -> Retrieved:
        """Fetch what the unique keys name into `folder`, on the association that asks."""


class MoveClient(Client, Protocol):
    """One that knows C-MOVE."""

    def move(self, keys: Mapping[str, str], destination: str) -> Retrieved:
        """Have what the unique keys name sent to a third."""


def level_of(keys: Mapping[str, str]) -> str:
    """Return the level that unique keys name (PS3.4 C.6.2.1)."""
    levels = {
        "SOPInstanceUID": "IMAGE",
        "SeriesInstanceUID": "SERIES",
        "StudyInstanceUID": "STUDY",
        "PatientID": "PATIENT",
    }
    return next(level for keyword, level in levels.items() if keyword in keys)
