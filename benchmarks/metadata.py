"""P6: how long ``/metadata`` of a long CT series takes, as the first request after a start and as a later one."""

import gzip
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError
from benchmarks.receive import load
from benchmarks.receivers import RECEIVERS, Receiver
from benchmarks.samples import Kind, Samples, prepare

PREFIX = "metadata/"
_N_SLICES = 1000
_N_WARM = 5
_SETTLE_S = 1200.0


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Give every side the series once, then ask each in turn, with a restart before every first request."""
    samples = prepare(cache, Kind.CT, max(1, round(_N_SLICES * scale)))
    wanted = list(subjects)
    sides = list(dict.fromkeys(subject.side for subject in wanted))
    encodings = list(dict.fromkeys(subject.work.split("/")[1] for subject in wanted))
    folders = {side: cache / "runs" / side for side in sides}
    try:
        for side in sides:
            shutil.rmtree(folders[side], ignore_errors=True)
            load(side, folders[side], samples, deadline_s=_SETTLE_S)
        for _ in range(n_runs):
            for encoding in encodings:
                for side in sides:
                    yield from _measure(side, folders[side], samples, encoding)
    except BenchmarkError as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _measure(side: str, folder: Path, samples: Samples, encoding: str) -> Iterator[Measurement]:
    with RECEIVERS[side](folder) as receiver:
        cold_s, n_bytes = _ask(receiver, samples, encoding)
        warm_s = median(_ask(receiver, samples, encoding)[0] for _ in range(_N_WARM))
    for state, seconds in (("cold", cold_s), ("warm", warm_s)):
        subject = Subject(side, f"{PREFIX}{encoding}/{state}")
        yield Measurement(subject, seconds, {"answer_mib": n_bytes / 2**20})


def _ask(receiver: Receiver, samples: Samples, encoding: str) -> tuple[float, int]:
    """Return how long the answer took and its length on the wire."""
    path = f"/dicom-web/studies/{samples.study_uid}/series/{samples.series_uid}/metadata"
    start = time.perf_counter()
    status, body, used = receiver.get(path, {"Accept": "application/dicom+json", "Accept-Encoding": encoding})
    seconds = time.perf_counter() - start
    if status != 200:
        raise BenchmarkError(f"{receiver.title} answered {status}")
    if (n_described := len(json.loads(gzip.decompress(body) if used == "gzip" else body))) != samples.n_instances:
        raise BenchmarkError(f"{receiver.title} described {n_described} of {samples.n_instances} instances")
    return seconds, len(body)
