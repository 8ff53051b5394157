"""P1 to P3: how long DCMTK's storescu takes to hand over a set of instances, by one or by several associations.

Each run has a fresh receiver with an empty folder, so that every instance is new to it, and counts only when the
receiver then says that it holds them all.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import DCMTK_ENVIRONMENT, BenchmarkError, find_program
from benchmarks.receivers import HOST, RECEIVERS, Receiver
from benchmarks.samples import Kind, Samples, prepare

_N_INSTANCES = {Kind.CT: 500, Kind.TINY: 20_000}
_SEND_S = 1200.0
_SETTLE_S = 1200.0


@dataclass(frozen=True, slots=True)
class Work:
    """What is sent, and by how many associations."""

    kind: Kind
    n_associations: int

    @classmethod
    def parse(cls, text: str) -> "Work":
        """Return the work that a subject names (``ct/4``)."""
        kind, _, n_associations = text.partition("/")
        return cls(Kind(kind), int(n_associations))


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Let the sides receive in turn."""
    wanted = list(subjects)
    folder = cache / "runs" / "receive"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for run in range(n_runs):
            for number, subject in enumerate(wanted):
                try:
                    yield measure(subject, cache, scale, folder / f"{run}-{number}")
                except BenchmarkError as error:
                    yield Failure(subject, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(subject: Subject, cache: Path, scale: float, folder: Path) -> Measurement:
    """Start the receiver in a new folder, send, check, and stop it; the folder's files are left, without their bytes.

    Removing them would burden the next run: for minutes ext4 passes over the inodes of files that have just been
    removed, one by one for each new file (0.3 to 0.7 ms behind 3,000 of them).

    Raises
    ------
    BenchmarkError
        It does not hold in the end what was sent.
    """
    work = Work.parse(subject.work)
    samples = prepare(cache, work.kind, max(1, round(_N_INSTANCES[work.kind] * scale)))
    try:
        with RECEIVERS[subject.side](folder) as receiver:
            return _run(subject, receiver, samples, work.n_associations)
    finally:
        for path in folder.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)


def _run(subject: Subject, receiver: Receiver, samples: Samples, n_associations: int) -> Measurement:
    os.sync()  # what the run before left unwritten is not this one's burden
    before = receiver.program.usage()
    start = time.perf_counter()
    send(receiver.dicom_port, samples.parts(n_associations))
    sent_s = time.perf_counter() - start
    indexed_s = _until_indexed(receiver, samples.n_instances) + sent_s
    archived_s = receiver.program.wait_for("archived", lambda: not receiver.n_waiting(), _SETTLE_S) + indexed_s
    receiver.wait_until_settled(_SETTLE_S)
    if (n_indexed := receiver.n_indexed()) != samples.n_instances:
        raise BenchmarkError(f"{n_indexed} instances in the end, {samples.n_instances} sent")
    processes = receiver.program.usage_since(before)
    facts = {
        "indexed_s": indexed_s,
        "archived_s": archived_s,
        "cpu_s": sum(usage.cpu_s for usage in processes),
        "rss_mib": sum(usage.rss_mib for usage in processes),
        "peak_rss_mib": sum(usage.peak_rss_mib for usage in processes),
        "instances_per_s": samples.n_instances / sent_s,
    }
    return Measurement(subject, sent_s, facts, processes)


def load(side: str, folder: Path, samples: Samples, *, deadline_s: float) -> None:
    """Have a side keep `samples` in `folder`, with everything it makes of them, and end."""
    with RECEIVERS[side](folder) as receiver:
        send(receiver.dicom_port, samples.parts(1))
        receiver.program.wait_for("indexed", lambda: receiver.n_indexed() >= samples.n_instances, deadline_s)
        receiver.wait_until_settled(deadline_s)


def send(port: int, parts: Sequence[Sequence[Path]]) -> None:
    """Send folders with one storescu each at the same time; return when the last one has ended.

    Raises
    ------
    BenchmarkError
        One of them was refused something, or there is no storescu.
    """
    command = [find_program("storescu"), "--max-pdu", "131072", "-xe", "+sd", "+r", "-aec", "PACSGW", HOST, str(port)]
    environment = dict(os.environ) | DCMTK_ENVIRONMENT
    senders = [
        subprocess.Popen(
            [*command, *map(str, folders)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for folders in parts
    ]
    try:
        complaints = [sender.communicate(timeout=_SEND_S)[1] for sender in senders]
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"sending took longer than {_SEND_S:.0f} s") from error
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()
    for sender, complaint in zip(senders, complaints, strict=True):
        if sender.returncode:
            raise BenchmarkError(f"storescu ended with {sender.returncode}: {complaint[-500:]}")


def _until_indexed(receiver: Receiver, n_instances: int) -> float:
    return receiver.program.wait_for("indexed", lambda: receiver.n_indexed() >= n_instances, _SETTLE_S)
