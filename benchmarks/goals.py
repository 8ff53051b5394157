"""The goals: which figures must not exceed what, by the numbers that the design gives them."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import large, pictures, retrieve, search, start, study, viewer
from benchmarks.measurement import OURS, SECONDS, Subject


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that a subject's runs say."""

    subject: Subject
    name: str = SECONDS
    """One of the names that ``Measurement.figure`` knows."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit of a figure of ours, or of its ratio to another one."""

    number: str
    ours: Figure
    limit: float
    """Of the ratio; without another figure, in the unit of ours."""
    theirs: Figure | None = None


_ON_S3 = ("minio", "seaweedfs")
_METADATA = tuple(f"metadata/{encoding}/{state}" for encoding in ("identity", "gzip") for state in ("cold", "warm"))
_LARGE = tuple(f"{large.PREFIX}{way}" for way in large.WAYS)


def _against(number: str, limit: float, side: str, *works: str, ours: str = OURS) -> tuple[Goal, ...]:
    return tuple(Goal(number, Figure(Subject(ours, work)), limit, Figure(Subject(side, work))) for work in works)


def _against_one_association(number: str, *works: str) -> tuple[Goal, ...]:
    one = Figure(Subject(OURS, "ct/1"))
    return tuple(Goal(number, Figure(Subject(OURS, work)), 1.0, one) for work in works)


def _backlog(number: str, limit: float, side: str, *works: str) -> tuple[Goal, ...]:
    """Hold the time until all is archived, counted from the first byte sent, against the time of sending."""
    return tuple(
        Goal(number, Figure(Subject(side, work), "archived_s"), limit, Figure(Subject(side, work))) for work in works
    )


def _growth(number: str, limit_mib: float, *works: str, ours: str = OURS) -> tuple[Goal, ...]:
    return tuple(Goal(number, Figure(Subject(ours, work), "growth_mib"), limit_mib) for work in works)


def _searching(database: str) -> tuple[Goal, ...]:
    """Hold the slowest of a hundred answers against 10 and 25 ms, and rates (as times) against those at 20,000."""
    large_ones, small_ones = (search.works(database, size) for size in (search.LARGE, search.SMALL))
    limits = [0.010 if kind in search.BY_KEY else 0.025 for kind in search.QUERIES]
    return (
        *(Goal("p5", Figure(Subject(OURS, work), "p99_s"), at) for work, at in zip(large_ones, limits, strict=True)),
        *(
            Goal("p5", Figure(Subject(OURS, ours)), 2.0, Figure(Subject(OURS, theirs)))
            for ours, theirs in zip(large_ones, small_ones, strict=True)
        ),
        *_against("p5", 0.1, "orthanc", *search.works("sqlite", search.SMALL, search.ORTHANC)),
    )


GOALS: tuple[Goal, ...] = (
    *_against("p1", 0.5, "orthanc", "ct/1"),
    *_against("p2", 0.6, "orthanc", "ct/4", "ct/16"),
    *_against_one_association("p2", "ct/4", "ct/16"),
    *_against("p2", 1.0, "storescp", "ct/4"),
    *_against("p3", 0.33, "orthanc", "tiny/1", "tiny/4"),
    *(goal for side in _ON_S3 for goal in _against("p4", 1.3, OURS, "ct/1", "ct/4", ours=side)),
    *(goal for side in _ON_S3 for goal in _backlog("p4", 2.0, side, "ct/1", "ct/4")),
    *_searching("sqlite"),
    *(goal for goal in _searching("postgresql") if goal.theirs is None or goal.theirs.subject.side == OURS),
    *_against("p6", 0.1, "orthanc", *_METADATA),
    *_against("p6", 0.1, "orthanc", *_METADATA, ours="minio"),
    *_against("p7", 1.0, "orthanc", *study.WORKS),
    *_against("p7", 1.0, "orthanc", *study.WORKS, ours="minio"),
    *_growth("p7", 64, *study.WORKS),
    *_growth("p7", 64, *study.WORKS, ours="minio"),
    *_against("p8", 1.0, "orthanc", pictures.FRAMES, pictures.RENDERED),
    Goal("p8", Figure(Subject(OURS, pictures.THUMBNAIL)), 0.2, Figure(Subject("orthanc", pictures.RENDERED))),
    *_against("p9", 1.0, "orthanc", *retrieve.WORKS),
    *_against("p10", 0.7, "orthanc", *viewer.WORKS),
    *_against("p10", 1.0, "orthanc-plain", *viewer.WORKS),
    *_growth("p11", 64, *_LARGE),
    *_growth("p11", 64, *_LARGE, ours="minio"),
    *(Goal("p13", Figure(Subject(OURS, work)), 5) for work in start.WORKS),
)
NUMBERS = tuple(dict.fromkeys(goal.number for goal in GOALS))


def subjects(goals: Iterable[Goal]) -> list[Subject]:
    """Return who must do what for `goals`, work by work, us first."""
    figures = [figure for goal in goals for figure in (goal.ours, goal.theirs) if figure is not None]
    found = dict.fromkeys(figure.subject for figure in figures)
    works = list(dict.fromkeys(subject.work for subject in found))
    return sorted(found, key=lambda subject: works.index(subject.work))
