"""P8: how long a thousand frames, drawn pictures and thumbnails take, asked for slice after slice by four callers."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError, find_program
from benchmarks.receive import load
from benchmarks.receivers import HOST, RECEIVERS, Receiver
from benchmarks.samples import Kind, Samples, prepare

FRAMES, RENDERED, THUMBNAIL = "pictures/frame", "pictures/rendered", "pictures/thumbnail"
_N_SLICES = 300
_N_CALLERS = 4
_N_PICTURES = 1000
_ASK_S = 8
_SHORTEST_S = 1
_SETTLE_S = 600.0
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
# Goes from slice to slice, so that no answer is the one of the request before.
_SCRIPT = """
local paths, n = {}, 0
for path in io.lines(PATHS) do paths[#paths + 1] = path end
request = function()
  n = n % #paths + 1
  return wrk.format("GET", paths[n])
end
"""


@dataclass(frozen=True, slots=True)
class _Resource:
    """What is asked for."""

    below: str
    """The path below an instance; the thumbnail is that of the series."""
    accept: str
    smallest_bytes: int
    """An answer of fewer is not what was asked for."""


_RESOURCES: Mapping[str, _Resource] = MappingProxyType(
    {
        FRAMES: _Resource("/frames/1", 'multipart/related; type="application/octet-stream"', 512 * 512 * 2),
        RENDERED: _Resource("/rendered", "image/jpeg", 8192),
        THUMBNAIL: _Resource("", "image/jpeg", 1024),
    }
)


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Give every side the series once, then ask each in turn."""
    samples = prepare(cache, Kind.CT, max(1, round(_N_SLICES * scale)))
    wanted = sorted(subjects, key=lambda subject: subject.side)
    root = cache / "runs" / "pictures"
    shutil.rmtree(root, ignore_errors=True)
    try:
        for side in dict.fromkeys(subject.side for subject in wanted):
            load(side, root / side, samples, deadline_s=_SETTLE_S)
        for _ in range(n_runs):
            for side, works in groupby(wanted, lambda subject: subject.side):
                with RECEIVERS[side](root / side) as receiver:
                    for subject in works:
                        yield _measure(subject, receiver, samples, max(_SHORTEST_S, round(_ASK_S * scale)))
    except BenchmarkError as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _measure(subject: Subject, receiver: Receiver, samples: Samples, for_s: int) -> Measurement:
    resource = _RESOURCES[subject.work]
    paths = _paths(receiver, samples, resource.below)
    for path in paths[:: max(1, len(paths) // _N_CALLERS)]:
        status, body, _ = receiver.get(path, {"Accept": resource.accept})
        if status != 200 or len(body) < resource.smallest_bytes:
            raise BenchmarkError(f"{receiver.title} answered {status} with {len(body)} bytes")
    receiver.program.reset_peaks()
    before = receiver.program.usage()
    per_s = _rate(receiver, paths, resource.accept, for_s)
    processes = receiver.program.usage_since(before)
    facts = {
        "pictures_per_s": per_s,
        "growth_mib": receiver.program.grown_since(before),
        "cpu_s": sum(usage.cpu_s for usage in processes) / (per_s * for_s) * _N_PICTURES,
    }
    return Measurement(subject, _N_PICTURES / per_s, facts, processes)


def _paths(receiver: Receiver, samples: Samples, below: str) -> Sequence[str]:
    series = f"/dicom-web/studies/{samples.study_uid}/series/{samples.series_uid}"
    if not below:
        return [f"{series}/thumbnail"]
    _, body, _ = receiver.get(f"{series}/instances?limit=1000", {"Accept": "application/dicom+json"})
    uids = sorted(instance["00080018"]["Value"][0] for instance in json.loads(body))
    if len(uids) != samples.n_instances:
        raise BenchmarkError(f"{receiver.title} holds {len(uids)} of {samples.n_instances} instances")
    return [f"{series}/instances/{uid}{below}" for uid in uids]


def _rate(receiver: Receiver, paths: Iterable[str], accept: str, for_s: int) -> float:
    """Return how many answers a second came when several callers asked one after the other.

    Raises
    ------
    BenchmarkError
        Some of them were errors.
    """
    list_of_paths, script = receiver.folder / "paths.txt", receiver.folder / "pictures.lua"
    list_of_paths.write_text("\n".join(paths))
    script.write_text(_SCRIPT.replace("PATHS", json.dumps(str(list_of_paths))))
    command = [find_program("wrk"), "-t1", f"-c{_N_CALLERS}", f"-d{for_s}s", "--timeout", "60s", "-s", str(script)]
    asked = [*command, "-H", f"Accept: {accept}", f"http://{HOST}:{receiver.web_port}"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=for_s + _SETTLE_S)
    found = _RATE.search(done.stdout)
    if done.returncode or found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchmarkError(f"{receiver.title} did not answer in order:\n{done.stdout[-500:]}{done.stderr[-500:]}")
    return float(found[1])
