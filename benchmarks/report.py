"""What a run of the benchmarks says in the end: one table of goals, one of everything measured, and where."""

import os
import platform
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median

from benchmarks.goals import Figure, Goal
from benchmarks.measurement import OURS, SECONDS, Failure, Measurement, Result, Subject
from benchmarks.receivers import RECEIVERS

_GOAL_HEAD = ("goal", "work", "gateway", "against", "its figure", "ratio", "limit", "met")
_FACTS = ("indexed_s", "archived_s", "p50_s", "p99_s", "first_pixel_s", "cpu_s", "peak_rss_mib", "growth_mib")
_FACT_HEADS = ("indexed s", "archived s", "p50 s", "p99 s", "first pixel s", "cpu s", "peak RSS MiB", "growth MiB")
_ALL_HEAD = ("work", "side", "runs", "median s", "min - max s", *_FACT_HEADS)


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a run of the benchmarks found out."""

    goals: Sequence[Goal]
    results: Sequence[Result]
    versions: Mapping[str, str]
    """By side; what is not installed is missing."""
    arguments: Sequence[str]
    started_at: datetime
    load_before: float
    """Load average of the minute before: figures from a busy machine say little."""

    @property
    def failures(self) -> list[Failure]:
        """Runs that gave no figure."""
        return [result for result in self.results if isinstance(result, Failure)]

    def by_subject(self) -> dict[Subject, list[Measurement]]:
        """Return the measurements of each subject, in the order they were made."""
        found: dict[Subject, list[Measurement]] = defaultdict(list)
        for result in self.results:
            if isinstance(result, Measurement):
                found[result.subject].append(result)
        return dict(found)

    def median(self, figure: Figure) -> float | None:
        """Return the median of a figure over all runs, None when none has it."""
        found = [m.figure(figure.name) for m in self.by_subject().get(figure.subject, ())]
        known = [value for value in found if value is not None]
        return median(known) if known else None

    def reached(self, goal: Goal) -> float | None:
        """Return what the goal limits: ours over theirs by medians, or ours; None when a figure is missing."""
        ours = self.median(goal.ours)
        if goal.theirs is None or ours is None:
            return ours
        theirs = self.median(goal.theirs)
        return None if theirs is None else ours / theirs


def text(session: Session) -> str:
    """Return the report for a terminal."""
    lines = [_machine(session), "", *_plain(_GOAL_HEAD, _goal_rows(session)), ""]
    lines += [*_plain(_ALL_HEAD, _all_rows(session)), *_failures(session)]
    return "\n".join(lines)


def markdown(session: Session) -> str:
    """Return the report as it goes into the documentation."""
    command = f"`python -m benchmarks {shlex.join(session.arguments)}`"
    lines = [f"{session.started_at:%Y-%m-%d}, {command}", "", _machine(session), ""]
    lines += [*_piped(_GOAL_HEAD, _goal_rows(session)), "", *_piped(_ALL_HEAD, _all_rows(session))]
    return "\n".join([*lines, *_failures(session)])


def facts(session: Session) -> dict[str, object]:
    """Return the report for programs."""
    return {
        "machine": _machine(session),
        "arguments": list(session.arguments),
        "started_at": session.started_at.astimezone(UTC).isoformat(),
        "goals": [asdict(goal) | {"reached": session.reached(goal)} for goal in session.goals],
        "measurements": [asdict(m) for ms in session.by_subject().values() for m in ms],
        "failures": [asdict(failure) for failure in session.failures],
    }


def _machine(session: Session) -> str:
    parts = [
        f"{os.cpu_count()} cores",
        f"Linux {platform.release()}",
        f"Python {sys.version.split()[0]}",
        *dict.fromkeys(session.versions.values()),
        f"load before {session.load_before:.1f}",
    ]
    return ", ".join(parts)


def _goal_rows(session: Session) -> Iterable[Sequence[str]]:
    for goal in session.goals:
        reached, theirs = session.reached(goal), goal.theirs
        is_ratio = theirs is not None
        yield (
            goal.number.upper(),
            _named(goal.ours),
            _shown(goal.ours, session.median(goal.ours)),
            "-" if theirs is None else _opponent(goal.ours, theirs),
            "-" if theirs is None else _shown(theirs, session.median(theirs)),
            f"{reached:.2f}" if is_ratio and reached is not None else "-",
            f"{goal.limit:.2f}" if is_ratio else f"{goal.limit:g} {_unit(goal.ours)}",
            "-" if reached is None else "yes" if reached <= goal.limit else "no",
        )


def _named(figure: Figure) -> str:
    """Return the work, which of its figures where that is not the time, and who did it where that is not plainly us."""
    what = "" if figure.name == SECONDS else f" {figure.name.rpartition('_')[0]}"
    side = figure.subject.side
    return f"{figure.subject.work}{what}{'' if side == OURS else f', {RECEIVERS[side].title}'}"


def _opponent(ours: Figure, theirs: Figure) -> str:
    if theirs.subject.side == ours.subject.side:
        return f"itself, {theirs.subject.work}"
    return RECEIVERS[theirs.subject.side].title


def _shown(figure: Figure, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f} s" if _unit(figure) == "s" else f"{value:.1f} {_unit(figure)}"


def _unit(figure: Figure) -> str:
    return "MiB" if figure.name.endswith("_mib") else "s"


def _all_rows(session: Session) -> Iterable[Sequence[str]]:
    for subject, measurements in session.by_subject().items():
        times = [m.seconds for m in measurements]
        yield (
            subject.work,
            RECEIVERS[subject.side].title,
            str(len(times)),
            f"{median(times):.3f}",
            f"{min(times):.3f} - {max(times):.3f}",
            *(_fact(measurements, name) for name in _FACTS),
        )


def _failures(session: Session) -> list[str]:
    if not session.failures:
        return []
    return ["", *(f"FAILED {f.subject.side} {f.subject.work}: {f.reason}" for f in session.failures)]


def _fact(measurements: Sequence[Measurement], name: str) -> str:
    values = [m.facts[name] for m in measurements if name in m.facts]
    n_digits = 0 if name.endswith("mib") else 4 if name.startswith("p") else 2
    return f"{median(values):.{n_digits}f}" if values else "-"


def _plain(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _piped(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
