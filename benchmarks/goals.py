"""The goals: which ratio of which two subjects must not be exceeded, by the numbers that the design gives them."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.measurement import Subject


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two times, ours over theirs."""

    number: str
    ours: Subject
    theirs: Subject
    limit: float


def _against(number: str, limit: float, side: str, *works: str) -> tuple[Goal, ...]:
    return tuple(Goal(number, Subject("gateway", work), Subject(side, work), limit) for work in works)


def _against_one_association(number: str, *works: str) -> tuple[Goal, ...]:
    one = Subject("gateway", "ct/1")
    return tuple(Goal(number, Subject("gateway", work), one, 1.0) for work in works)


GOALS: tuple[Goal, ...] = (
    *_against("p1", 0.5, "orthanc", "ct/1"),
    *_against("p2", 0.6, "orthanc", "ct/4", "ct/16"),
    *_against_one_association("p2", "ct/4", "ct/16"),
    *_against("p2", 1.0, "storescp", "ct/4"),
    *_against("p3", 0.33, "orthanc", "tiny/1", "tiny/4"),
    *_against("p6", 0.1, "orthanc", *(f"metadata/{e}/{s}" for e in ("identity", "gzip") for s in ("cold", "warm"))),
)
NUMBERS = tuple(dict.fromkeys(goal.number for goal in GOALS))


def subjects(goals: Iterable[Goal]) -> list[Subject]:
    """Return who must do what for `goals`, work by work, us first."""
    found = dict.fromkeys(subject for goal in goals for subject in (goal.ours, goal.theirs))
    works = list(dict.fromkeys(subject.work for subject in found))
    return sorted(found, key=lambda subject: works.index(subject.work))
