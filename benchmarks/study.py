"""P7: how long a whole CT study takes by WADO-RS and as a ZIP archive, and whether the server's memory stays flat."""

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError
from benchmarks.receive import load
from benchmarks.receivers import HOST, RECEIVERS, Receiver
from benchmarks.samples import Kind, Samples, prepare
from benchmarks.web import count_members, count_parts, drain

WADO, ZIP = "study/wado", "study/zip"
WORKS = (WADO, ZIP)
_N_SLICES = 250
_N_FETCHES = 7
_SETTLE_S = 600.0
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Give every side the study once, then fetch it from each in turn."""
    samples = prepare(cache, Kind.CT, max(1, round(_N_SLICES * scale)))
    wanted = list(subjects)
    folders = {subject.side: cache / "runs" / subject.side for subject in wanted}
    try:
        for side, folder in folders.items():
            shutil.rmtree(folder, ignore_errors=True)
            load(side, folder, samples, deadline_s=_SETTLE_S)
        for _ in range(n_runs):
            for subject in wanted:
                yield _measure(subject, folders[subject.side], samples)
    except BenchmarkError as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _measure(subject: Subject, folder: Path, samples: Samples) -> Measurement:
    """Fetch the study once to see that it is whole, then often."""
    with RECEIVERS[subject.side](folder) as receiver:
        if subject.work == ZIP:
            path, accept, count = receiver.archive_path(samples.study_uid), "application/zip", count_members
        else:
            path, accept, count = f"/dicom-web/studies/{samples.study_uid}", _ACCEPT, count_parts
        with receiver.asked("GET", path, {"Accept": accept}) as response:
            if (n_found := count(response)) != samples.n_instances:
                raise BenchmarkError(f"{receiver.title} sent {n_found} of {samples.n_instances} instances")
        receiver.program.reset_peaks()
        before = receiver.program.usage()
        fetched = [_fetch(receiver, path, accept) for _ in range(_N_FETCHES)]
        grown_mib = receiver.program.grown_since(before)
        processes = receiver.program.usage_since(before)
    seconds = median(seconds for seconds, _ in fetched)
    facts = {
        "growth_mib": grown_mib,
        "answer_mib": fetched[0][1] / 2**20,
        "cpu_s": sum(usage.cpu_s for usage in processes) / _N_FETCHES,
    }
    return Measurement(subject, seconds, facts, processes)


def _fetch(receiver: Receiver, path: str, accept: str) -> tuple[float, int]:
    """Return how long the answer took and its length."""
    start = time.perf_counter()
    n_bytes = drain((HOST, receiver.web_port), path, accept)
    return time.perf_counter() - start, n_bytes
