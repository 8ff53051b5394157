"""P5: how long searches take among a province's 2,640,577 studies, on either database, and beside Orthanc at 20,000.

One client says how long an answer takes, four say how many come in a second; both over kept connections, with a token
over HTTP, and over one association each by C-FIND.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from urllib.parse import quote

from benchmarks.measurement import OURS, Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError
from benchmarks.receive import send
from benchmarks.receivers import Gateway, Orthanc, Receiver
from benchmarks.search_index import postgresql_index, sqlite_index, studies
from benchmarks.search_samples import prepare_studies
from benchmarks.synthetic_index import Study
from pacs_gateway.domain.names import fold

PREFIX = "search/"
LARGE, SMALL = "large", "small"
_N_STUDIES = {LARGE: 2_640_577, SMALL: 20_000}
_N_QUERIES, _N_WARM, _N_CLIENTS = 2000, 20, 4
_SEED = 5
_FACILITY = "TINH001"
_CLIENT_S = 3600.0
_COMMAND_S = 60.0

Maker = Callable[[Random, Study], str]
"""Makes a query that somebody may ask who looks for a study."""


def _http(**keys: str) -> str:
    return "&".join(f"{keyword}={quote(text)}" for keyword, text in keys.items())


def _words(one: Study) -> list[str]:
    return one.person.name.replace("^", " ").split()


def _month(dice: Random, one: Study) -> str:
    return _http(
        StudyDate=f"{one.date[:6]}01-{one.date[:6]}31", ModalitiesInStudy=one.examination.modality, limit="101"
    )


def _rare(dice: Random, one: Study) -> str:
    # A beginning without its first letter, of a word that most likely few have.
    word = fold(dice.choice(_words(one)[2:]))
    return _http(PatientName=f"*{word[1:] if len(word) > 3 else word}*", limit="101")


_ASKED = {"0020000D": "", "00080061": "", "00080050": ""}
QUERIES: Mapping[str, Maker] = {
    "patient-id": lambda dice, one: _http(PatientID=one.person.patient_id),
    "accession": lambda dice, one: _http(AccessionNumber=one.accession_number),
    "newest": lambda dice, one: _http(limit="101", offset=str(dice.choice((0, 0, 0, 101, 202)))),
    "month-modality": _month,
    "name": lambda dice, one: _http(PatientName=fold(one.person.name), limit="101"),
    "name-accents": lambda dice, one: _http(PatientName=f"{' '.join(_words(one)[:2])}*", limit="101"),
    "words": lambda dice, one: _http(
        PatientName=" ".join(dice.sample(fold(one.person.name).split(), 2)), fuzzymatching="true", limit="101"
    ),
    "substring-common": lambda dice, one: _http(PatientName=f"*{_words(one)[0]}*", limit="101"),
    "substring-rare": _rare,
    "find-patient-id": lambda dice, one: json.dumps({"00100020": one.person.patient_id, **_ASKED}),
    "find-name": lambda dice, one: json.dumps({"00100010": one.person.name, "00080020": one.date, **_ASKED}),
}
"""By class; those that begin with ``find`` are C-FIND identifiers."""
BY_KEY = ("patient-id", "accession", "newest", "month-modality", "find-patient-id")
BY_NAME = tuple(name for name in QUERIES if name not in BY_KEY)
ORTHANC = ("patient-id", "newest")
DATABASES = ("sqlite", "postgresql")


class _Searched(Gateway):
    """The gateway on an index that is there already, with logins."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._database_url = database_url
        super().__init__(folder)

    def token(self) -> str:
        """Return a new token of an administrator."""
        name = f"benchmark-{time.time_ns()}"
        self.command("user", "add", name, "--role", "administrator").wait_until_ended(_COMMAND_S)
        self.command("token", "add", name, "--user", name).wait_until_ended(_COMMAND_S)
        return (self.folder / "command" / "log.txt").read_text().split()[-1]

    def _environment(self) -> Mapping[str, str]:
        settings = {"PACS_AUTH": "on", "PACS_DATABASE_URL": self._database_url, "PACS_FACILITY": _FACILITY}
        return {**super()._environment(), **settings}


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Ask each side, one size and database after the other."""
    wanted = list(subjects)
    root = cache / "runs" / "search"
    shutil.rmtree(root, ignore_errors=True)
    places = dict.fromkeys((subject.side, *subject.work.split("/")[1:3]) for subject in wanted)
    try:
        for side, database, size in places:
            mine = [one for one in wanted if one.side == side and one.work.split("/")[1:3] == [database, size]]
            n_studies = max(100, round(_N_STUDIES[size] * scale))
            try:
                with _opened(side, database, cache, n_studies, root) as (receiver, token):
                    for _ in range(n_runs):
                        yield from (_measure(subject, receiver, token, n_studies, scale) for subject in mine)
            except BenchmarkError as error:
                yield from (Failure(subject, str(error)) for subject in mine)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _opened(side: str, database: str, cache: Path, n_studies: int, root: Path) -> Iterator[tuple[Receiver, str]]:
    if side != OURS:
        with Orthanc(_loaded_orthanc(cache, n_studies)) as orthanc:
            yield orthanc, ""
    elif database == "sqlite":
        with _Searched(root / "sqlite", f"sqlite:///{sqlite_index(cache, n_studies)}") as gateway:
            yield gateway, gateway.token()
    else:
        with postgresql_index(cache, n_studies) as url, _Searched(root / "postgresql", url) as gateway:
            yield gateway, gateway.token()


def _loaded_orthanc(cache: Path, n_studies: int) -> Path:
    """Return the folder of an Orthanc that holds so many studies of one small instance each."""
    folder = cache / f"search-orthanc-{n_studies}"
    is_loaded = folder / "loaded"
    if not is_loaded.exists():
        shutil.rmtree(folder, ignore_errors=True)
        objects = prepare_studies(cache, studies(n_studies), n_studies)
        with Orthanc(folder) as orthanc:
            send(orthanc.dicom_port, [[objects]])
            orthanc.program.wait_for("indexed", lambda: orthanc.n_indexed() >= n_studies, _CLIENT_S)
        is_loaded.touch()
    return folder


def _measure(subject: Subject, receiver: Receiver, token: str, n_studies: int, scale: float) -> Measurement:
    kind = subject.work.split("/")[-1]
    queries = list(_queries(kind, n_studies, max(8, round(_N_QUERIES * min(scale, 1.0) / len(QUERIES)))))
    is_find = kind.startswith("find")
    port = receiver.dicom_port if is_find else receiver.web_port
    before = receiver.program.usage()
    said = _ask(
        {
            "kind": "dimse" if is_find else "http",
            "port": port,
            "token": token,
            "queries": queries,
            "n_warm": _N_WARM,
            "n_clients": _N_CLIENTS,
        }
    )
    times = said.times
    facts = {
        "p50_s": times[len(times) // 2],
        "p99_s": times[min(len(times) - 1, len(times) * 99 // 100)],
        "worst_s": times[-1],
        "queries_per_s": 1 / said.each_s,
        "cpu_s": sum(usage.cpu_s for usage in receiver.program.usage_since(before)),
    }
    return Measurement(subject, said.each_s, facts)


def _queries(kind: str, n_studies: int, n_queries: int) -> Iterator[str]:
    """Yield queries about studies from all over the index, the same ones each time."""
    dice = Random(f"{_SEED} {kind}")  # noqa: S311 - invented data
    # Making all studies to choose from them would take minutes; the first ones are as good as any.
    those = [one for one in islice(studies(n_studies), 20_000) if one.facility == _FACILITY]
    for _ in range(n_queries):
        yield QUERIES[kind](dice, dice.choice(those))


@dataclass(frozen=True, slots=True)
class _Said:
    times: Sequence[float]
    """Of each query, by one client."""
    each_s: float
    """Of all of them by several clients, for each query."""


def _ask(job: Mapping[str, object]) -> _Said:
    command = [sys.executable, "-m", "benchmarks.search_client"]
    try:
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=_CLIENT_S)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError("the client took too long") from error
    if done.returncode:
        raise BenchmarkError(f"the client ended with {done.returncode}: {done.stderr[-500:]}")
    said = json.loads(done.stdout)
    return _Said(sorted(said["times"]), said["each_s"])


def works(database: str, size: str, kinds: Sequence[str] = tuple(QUERIES)) -> tuple[str, ...]:
    """Return what is measured on an index."""
    return tuple(f"{PREFIX}{database}/{size}/{kind}" for kind in kinds)
