"""What is measured on whom, and what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.process import Usage

SECONDS = "seconds"
OURS = "gateway"
"""The side that is the gateway as it comes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One side doing one work."""

    side: str
    """Name of a receiver."""
    work: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one subject that did what it should."""

    subject: Subject
    seconds: float
    """How long the work took."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What else was found, by a name that ends in its unit."""
    processes: Sequence[Usage] = ()
    """What each of the side's processes used for it, where that was looked at."""

    def figure(self, name: str) -> float | None:
        """Return the time or a fact, None where it was not found."""
        return self.seconds if name == SECONDS else self.facts.get(name)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not do what it should; there is no figure then."""

    subject: Subject
    reason: str


Result = Measurement | Failure
