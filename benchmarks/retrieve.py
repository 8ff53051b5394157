"""P9: how long a whole CT study takes by C-MOVE to DCMTK's storescp, and by C-GET to its getscu."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import DCMTK_ENVIRONMENT, BenchmarkError, find_program
from benchmarks.receive import load
from benchmarks.receivers import HOST, MAX_PDU, RECEIVERS, Receiver, Storescp
from benchmarks.samples import Kind, Samples, prepare

MOVE, GET = "retrieve/move", "retrieve/get"
WORKS = (MOVE, GET)
_DESTINATION = "DESTINATION"
_N_INSTANCES = 500
_N_RETRIEVALS = 5
_SETTLE_S = 600.0
_RETRIEVE_S = 600.0


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Give every side the study once, then retrieve it from each in turn."""
    samples = prepare(cache, Kind.CT, max(1, round(_N_INSTANCES * scale)))
    wanted = sorted(subjects, key=lambda subject: subject.side)
    root = cache / "runs" / "retrieve"
    shutil.rmtree(root, ignore_errors=True)
    try:
        with Storescp(root / "destination") as destination:
            for side in dict.fromkeys(subject.side for subject in wanted):
                load(side, root / side, samples, deadline_s=_SETTLE_S)
                with RECEIVERS[side](root / side) as receiver:
                    receiver.register(_DESTINATION, destination.dicom_port)
            for _ in range(n_runs):
                for side, works in groupby(wanted, lambda subject: subject.side):
                    with RECEIVERS[side](root / side) as receiver:
                        for subject in works:
                            yield _measure(subject, receiver, samples, root)
    except BenchmarkError as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _measure(subject: Subject, receiver: Receiver, samples: Samples, root: Path) -> Measurement:
    """Retrieve the study once to see that it arrives whole, then often over the same files."""
    folder = root / ("destination/data" if subject.work == MOVE else "fetched")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = _command(subject.work, receiver, samples, folder)
    _run(command)
    if (n_files := sum(1 for _ in folder.iterdir())) != samples.n_instances:
        raise BenchmarkError(f"{receiver.title} sent {n_files} of {samples.n_instances} instances")
    receiver.program.reset_peaks()
    before = receiver.program.usage()
    seconds = median(_run(command) for _ in range(_N_RETRIEVALS))
    facts = {
        "growth_mib": receiver.program.grown_since(before),
        "cpu_s": sum(usage.cpu_s for usage in receiver.program.usage_since(before)) / _N_RETRIEVALS,
        "instances_per_s": samples.n_instances / seconds,
    }
    return Measurement(subject, seconds, facts, receiver.program.usage_since(before))


def _command(work: str, receiver: Receiver, samples: Samples, folder: Path) -> list[str]:
    if work == MOVE:
        client = [find_program("movescu"), "-aem", _DESTINATION]
    else:
        client = [find_program("getscu"), "+B", "--max-pdu", str(MAX_PDU), "-od", str(folder)]
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={samples.study_uid}"]
    return [*client, "-S", "-aec", "PACSGW", *keys, HOST, str(receiver.dicom_port)]


def _run(command: Sequence[str]) -> float:
    """Return how long a client took.

    Raises
    ------
    BenchmarkError
        It was refused something, or took too long.
    """
    environment = dict(os.environ) | DCMTK_ENVIRONMENT
    start = time.perf_counter()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_RETRIEVE_S)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"retrieving took longer than {_RETRIEVE_S:.0f} s") from error
    seconds = time.perf_counter() - start
    if done.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds
