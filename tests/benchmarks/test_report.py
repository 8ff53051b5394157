"""The table that a run prints."""

from datetime import UTC, datetime

from benchmarks import report
from benchmarks.goals import GOALS, Figure, Goal, subjects
from benchmarks.measurement import Failure, Measurement, Result, Subject

OURS, THEIRS = Subject("gateway", "ct/1"), Subject("orthanc", "ct/1")


def session(*results: Result) -> report.Session:
    goals = [Goal("p1", Figure(OURS), 0.5, Figure(THEIRS)), Goal("p11", Figure(OURS, "growth_mib"), 64)]
    return report.Session(goals, results, {"gateway": "gateway 1"}, ["p1"], datetime(2026, 1, 5, tzinfo=UTC), 0.1)


def times(subject: Subject, *seconds: float) -> list[Measurement]:
    return [Measurement(subject, each) for each in seconds]


def test_a_ratio_compares_medians() -> None:
    told = session(*times(OURS, 1.0, 9.0, 2.0), *times(THEIRS, 4.0, 4.0, 400.0))

    assert "| P1 | ct/1 | 2.000 s | Orthanc | 4.000 s | 0.50 | 0.50 | yes |" in report.markdown(told).splitlines()


def test_a_side_without_figures_leaves_the_goal_open_and_a_failed_run_is_said() -> None:
    told = session(*times(OURS, 1.0), Failure(THEIRS, "refused"))

    lines = report.markdown(told).splitlines()

    assert "| P1 | ct/1 | 1.000 s | Orthanc | - | - | 0.50 | - |" in lines
    assert "FAILED orthanc ct/1: refused" in lines


def test_a_figure_of_our_own_is_held_against_a_limit_in_its_unit() -> None:
    told = session(Measurement(OURS, 1.0, {"growth_mib": 70.0}))

    assert "| P11 | ct/1 growth | 70.0 MiB | - | - | - | 64 MiB | no |" in report.markdown(told).splitlines()


def test_subjects_of_one_work_stand_together_so_that_the_sides_alternate() -> None:
    works = [subject.work for subject in subjects(GOALS)]

    assert works == sorted(works, key=works.index)
    assert len(set(subjects(GOALS))) == len(works)
    assert subjects(GOALS)[:2] == [OURS, THEIRS]
