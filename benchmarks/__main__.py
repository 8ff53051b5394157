"""Measure the gateway against its peers: ``python -m benchmarks [p1 p2 ... | all]``.

Exits 0 whatever the figures are, 1 when something that was to be measured did not happen.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from benchmarks import large, metadata, pictures, receive, report, retrieve, search, start, study, viewer
from benchmarks.goals import GOALS, NUMBERS, subjects
from benchmarks.measurement import Measurement, Result, Subject
from benchmarks.process import MissingProgramError
from benchmarks.receivers import RECEIVERS

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pacs-gateway-benchmarks"

_MeasureAll = Callable[[Iterable[Subject], Path, float, int], Iterator[Result]]
"""Takes subjects, the folder for samples and runs, the part of the full size, and how often to measure."""
_MEASURE: Mapping[str, _MeasureAll] = MappingProxyType(
    {
        "ct": receive.measure_all,
        "tiny": receive.measure_all,
        "metadata": metadata.measure_all,
        "large": large.measure_all,
        "study": study.measure_all,
        "pictures": pictures.measure_all,
        "retrieve": retrieve.measure_all,
        "start": start.measure_all,
        "search": search.measure_all,
        "viewer": viewer.measure_all,
    }
)
"""By the first word of the work."""


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` name and print the report; return the exit status."""
    options = _parser().parse_args(arguments)
    chosen = NUMBERS if "all" in options.goals else options.goals
    goals = [goal for goal in GOALS if goal.number in chosen]
    versions = _versions()
    wanted = [subject for subject in subjects(goals) if subject.side in versions]
    started_at, load_before = datetime.now(UTC), os.getloadavg()[0]
    results = []
    for result in _measured(wanted, options.cache, options.scale, options.runs):
        results.append(result)
        _say(result)
    session = report.Session(goals, results, versions, arguments, started_at, load_before)
    if options.json is not None:
        options.json.write_text(json.dumps(report.facts(session), indent=2))
    print(report.markdown(session) if options.markdown else report.text(session))
    return 1 if session.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the gateway against its peers.")
    parser.add_argument(
        "goals", nargs="*", metavar="GOAL", default="all", choices=[*NUMBERS, "all"], help=", ".join(NUMBERS)
    )
    parser.add_argument("--runs", type=int, default=5, help="how often each side does each work (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size (1.0)")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="samples and runs, on a real disk (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--markdown", action="store_true", help="print the report as Markdown")
    return parser


def _versions() -> dict[str, str]:
    """Return the version of each side that is installed."""
    versions = {}
    for name, side in RECEIVERS.items():
        with suppress(MissingProgramError):
            versions[name] = side.version()
    return versions


def _measured(wanted: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Yield a result for each run, the sides in turn."""
    by_kind = groupby(wanted, key=lambda subject: _MEASURE[subject.work.partition("/")[0]])
    for measure_all, group in by_kind:
        yield from measure_all(list(group), cache, scale, n_runs)


def _say(result: Result) -> None:
    said = f"{result.seconds:.3f} s" if isinstance(result, Measurement) else f"FAILED: {result.reason}"
    print(f"{result.subject.side} {result.subject.work}: {said}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
