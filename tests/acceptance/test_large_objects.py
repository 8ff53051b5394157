"""An object of gigabytes goes in and out by every way, and no process of the gateway grows with it."""

from pathlib import Path

import pytest

from benchmarks import large
from benchmarks.measurement import Measurement, Subject

_BOUND_MIB = 64.0
"""Of the promises (R11)."""
_FULL_MIB = 2048

pytestmark = pytest.mark.peer("dcmtk")


@pytest.mark.parametrize(
    "size_mib",
    [
        pytest.param(256, marks=pytest.mark.timeout(600)),
        pytest.param(_FULL_MIB, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_memory_does_not_grow_with_the_object(tmp_path: Path, size_mib: int) -> None:
    subjects = [Subject("gateway", f"{large.PREFIX}{way}") for way in large.WAYS]

    results = list(large.measure_all(subjects, tmp_path, size_mib / _FULL_MIB, 1))

    # What came out was compared with what went in: a run where they differ is a failure.
    failures = [result for result in results if not isinstance(result, Measurement)]
    assert failures == []
    assert [result.subject for result in results] == subjects
    grown_mib = {r.subject.work: r.facts["growth_mib"] for r in results if isinstance(r, Measurement)}
    assert {work: mib for work, mib in grown_mib.items() if mib > _BOUND_MIB} == {}
