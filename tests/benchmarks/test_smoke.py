"""Every benchmark at a tiny size: it must start its sides, measure, and say so."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks import metadata, pictures, receive, retrieve, search, start, study, viewer
from benchmarks.__main__ import main
from benchmarks.measurement import Measurement, Subject
from benchmarks.receivers import RECEIVERS

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("orthanc"), pytest.mark.timeout(600)]


_NEEDS = {"minio": [pytest.mark.peer("minio")], "seaweedfs": [pytest.mark.peer("seaweedfs")]}


@pytest.mark.parametrize("side", [pytest.param(side, marks=_NEEDS.get(side, [])) for side in RECEIVERS])
def test_receiving_is_measured_and_checked(tmp_path: Path, side: str) -> None:
    (measured,) = receive.measure_all([Subject(side, "tiny/4")], tmp_path, scale=0.002, n_runs=1)

    assert isinstance(measured, Measurement), measured
    assert 0 < measured.seconds <= measured.facts["indexed_s"] <= measured.facts["archived_s"]
    assert measured.facts["rss_mib"] > 0
    assert not list((tmp_path / "runs").iterdir())


def test_starting_is_measured_after_an_orderly_end_and_after_a_kill(tmp_path: Path) -> None:
    subjects = [Subject("gateway", work) for work in start.WORKS]

    results = list(start.measure_all(subjects, tmp_path, scale=0.001, n_runs=1))

    assert [result.subject for result in results] == subjects
    for result in results:
        assert isinstance(result, Measurement), result
        assert result.seconds == max(result.facts["echo_s"], result.facts["ready_s"])
        assert result.facts["cpu_s"] > 0


def test_metadata_is_measured_first_and_later(tmp_path: Path) -> None:
    subjects = [
        Subject(side, f"metadata/gzip/{state}") for side in ("gateway", "orthanc") for state in ("cold", "warm")
    ]

    results = list(metadata.measure_all(subjects, tmp_path, scale=0.005, n_runs=1))

    assert [result.subject for result in results] == subjects
    assert all(isinstance(result, Measurement) and result.seconds > 0 for result in results), results


def test_a_whole_study_is_measured_on_both_sides(tmp_path: Path) -> None:
    subjects = [Subject(side, work) for work in study.WORKS for side in ("gateway", "orthanc")]

    results = list(study.measure_all(subjects, tmp_path, scale=0.02, n_runs=1))

    assert [result.subject for result in results] == subjects
    for result in results:
        assert isinstance(result, Measurement), result
        assert result.seconds > 0
        # Orthanc deflates what it archives.
        assert result.facts["answer_mib"] > (2.5 if result.subject.work == study.WADO else 0.5)
        # Memory that is given back while it runs makes this less than nothing.
        assert math.isfinite(result.facts["growth_mib"])


def test_retrieving_is_measured_on_both_sides(tmp_path: Path) -> None:
    subjects = [Subject(side, work) for side in ("gateway", "orthanc") for work in retrieve.WORKS]

    results = list(retrieve.measure_all(subjects, tmp_path, scale=0.01, n_runs=1))

    assert [result.subject for result in results] == subjects
    for result in results:
        assert isinstance(result, Measurement), result
        assert result.seconds > 0
        # Memory that is given back while it runs makes this less than nothing.
        assert math.isfinite(result.facts["growth_mib"])


@pytest.mark.peer("wrk")
def test_pictures_are_measured_on_both_sides(tmp_path: Path) -> None:
    works = (pictures.FRAMES, pictures.RENDERED, pictures.THUMBNAIL)
    subjects = [Subject("gateway", work) for work in works] + [Subject("orthanc", pictures.RENDERED)]

    results = list(pictures.measure_all(subjects, tmp_path, scale=0.02, n_runs=1))

    assert [result.subject for result in results] == subjects
    for result in results:
        assert isinstance(result, Measurement), result
        assert result.facts["pictures_per_s"] == pytest.approx(1000 / result.seconds)


@pytest.mark.peer("chromium")
@pytest.mark.peer("haproxy")
@pytest.mark.peer("ohif")
@pytest.mark.xdist_group("viewer")
def test_opening_a_study_in_the_viewer_is_measured_on_both_sides(tmp_path: Path) -> None:
    subjects = [Subject(side, work) for side in ("gateway", "orthanc") for work in viewer.WORKS]

    results = list(viewer.measure_all(subjects, tmp_path, scale=0.01, n_runs=1))

    measured = [result for result in results if isinstance(result, Measurement)]
    assert [measurement.subject for measurement in measured] == subjects, results
    for first, last in zip(measured[::2], measured[1::2], strict=True):
        assert 0 < first.facts["metadata_s"] < first.seconds <= last.seconds
        assert first.facts["first_pixel_s"] > first.seconds


def test_a_run_prints_a_table_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = tmp_path / "figures.json"

    status = main(["p1", "--runs", "1", "--scale", "0.01", "--cache", str(tmp_path), "--json", str(everything)])

    assert status == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("P1")]
    assert row.split()[1] == "ct/1"
    facts = json.loads(everything.read_text())
    assert facts["goals"][0]["reached"] > 0
    assert {m["subject"]["side"] for m in facts["measurements"]} == {"gateway", "orthanc"}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def test_searching_is_measured(tmp_path: Path, database: str) -> None:
    kinds = ("patient-id", "substring-rare", "find-name")
    subjects = [Subject("gateway", work) for work in search.works(database, search.SMALL, kinds)]
    if database == "sqlite":
        subjects.append(Subject("orthanc", "search/sqlite/small/patient-id"))
    # Where the user of the database may go, too.
    with TemporaryDirectory(prefix="pacs-benchmark-") as folder:
        Path(folder).chmod(0o755)
        results = list(search.measure_all(subjects, Path(folder), scale=0.01, n_runs=1))

    assert [result.subject for result in results] == subjects
    for result in results:
        assert isinstance(result, Measurement), result
        assert 0 < result.facts["p50_s"] <= result.facts["p99_s"] <= result.facts["worst_s"]
