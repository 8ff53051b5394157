"""P13: how long the gateway takes to serve again with a million instances in its index, ended in order or killed."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError, Usage
from benchmarks.receive import send
from benchmarks.receivers import Gateway
from benchmarks.samples import Kind, prepare
from benchmarks.synthetic_index import make_studies, up_to_instances, write_index
from pacs_gateway.database.engine import Database, DatabaseConfig
from pacs_gateway.database.migrate import migrate
from pacs_gateway.database.revision import NEEDED

_CLEAN, _KILLED = "start/clean", "start/killed"
WORKS = (_CLEAN, _KILLED)
_N_INSTANCES = 1_000_000
_N_SENT = 200


class _StartingGateway(Gateway):
    """A gateway that notes when it first answered, and what it had used by then."""

    def __init__(self, folder: Path) -> None:
        self.echo_s: float | None = None
        self.ready_s: float | None = None
        self.usage: Sequence[Usage] = ()
        self._began = time.perf_counter()
        super().__init__(folder)

    def _is_ready(self) -> bool:
        if self.ready_s is None and self._answers("/readyz"):
            self.ready_s = time.perf_counter() - self._began
        if self.echo_s is None and self._answers_echo():
            self.echo_s = time.perf_counter() - self._began
        is_ready = self.ready_s is not None and self.echo_s is not None
        if is_ready:
            self.usage = self.program.usage()
        return is_ready


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Start beside a synthetic index, stop it and start it, store into it, kill it and start it."""
    wanted = list(subjects)
    folder = cache / "runs" / "start"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _copy_index(cache, round(_N_INSTANCES * scale), Gateway.index_in(folder))
        with Gateway(folder):
            pass  # the first start makes the first administrator
        for _ in range(n_runs):
            yield from _run(folder, cache)
    except BenchmarkError as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, cache: Path) -> Iterator[Measurement]:
    samples = prepare(cache, Kind.TINY, _N_SENT)
    with _StartingGateway(folder) as gateway:
        yield _measured(gateway, _CLEAN)
        send(gateway.dicom_port, samples.parts(4))
        gateway.program.kill()
    with _StartingGateway(folder) as gateway:
        yield _measured(gateway, _KILLED)


def _measured(gateway: _StartingGateway, work: str) -> Measurement:
    echo_s, ready_s = gateway.echo_s or 0.0, gateway.ready_s or 0.0
    facts = {"echo_s": echo_s, "ready_s": ready_s, "cpu_s": sum(usage.cpu_s for usage in gateway.usage)}
    return Measurement(Subject(gateway.name, work), max(echo_s, ready_s), facts, gateway.usage)


def _copy_index(cache: Path, n_instances: int, target: Path) -> None:
    """Put an index of this version's schema in place, written now unless the cache has it."""
    source = cache / f"index-{n_instances}-{NEEDED}" / "index.db"
    if not source.exists():
        shutil.rmtree(source.parent, ignore_errors=True)
        unfinished = source.with_suffix(".unfinished")
        database = Database(DatabaseConfig(f"sqlite:///{unfinished}"))
        try:
            migrate(database)
            write_index(database, up_to_instances(make_studies(), n_instances))
        finally:
            database.close()
        unfinished.rename(source)
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)
