"""P7: how long a whole CT study takes by WADO-RS, and whether the server's memory stays flat meanwhile."""

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
from benchmarks.web import count_parts, drain

WORK = "study/wado"
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
    path = f"/dicom-web/studies/{samples.study_uid}"
    with RECEIVERS[subject.side](folder) as receiver:
        with receiver.asked("GET", path, {"Accept": _ACCEPT}) as response:
            if (n_parts := count_parts(response)) != samples.n_instances:
                raise BenchmarkError(f"{receiver.title} sent {n_parts} of {samples.n_instances} instances")
        receiver.program.reset_peaks()
        before = receiver.program.usage()
        fetched = [_fetch(receiver, path) for _ in range(_N_FETCHES)]
        grown_mib = receiver.program.grown_since(before)
        processes = receiver.program.usage_since(before)
    seconds = median(seconds for seconds, _ in fetched)
    facts = {
        "growth_mib": grown_mib,
        "answer_mib": fetched[0][1] / 2**20,
        "cpu_s": sum(usage.cpu_s for usage in processes) / _N_FETCHES,
    }
    return Measurement(subject, seconds, facts, processes)


def _fetch(receiver: Receiver, path: str) -> tuple[float, int]:
    """Return how long the answer took and its length."""
    start = time.perf_counter()
    n_bytes = drain((HOST, receiver.web_port), path, _ACCEPT)
    return time.perf_counter() - start, n_bytes
