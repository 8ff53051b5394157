"""The sides that are compared: each starts on free loopback ports in a fresh folder and can say what it holds."""

import json
import os
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import ClassVar, Self

from benchmarks.process import DCMTK_ENVIRONMENT, BenchmarkError, MissingProgramError, Program, find_program
from tests.support import object_servers
from tests.support.object_servers import ObjectServer
from tests.support.ports import free_port

HOST = "127.0.0.1"
_START_S = 180.0
_HTTP_S = 120.0
_ROOT = Path(__file__).resolve().parent.parent
_DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MAX_PDU = 131072


class Receiver(ABC):
    """A running program that takes C-STORE; a context manager that stops it."""

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dicom_port, self.web_port = free_port(), free_port()
        self.program = Program(self._command(), folder, {**_clean_environment(), **self._environment()})
        try:
            self.program.wait_for("ready", self._is_ready, _START_S)
            self.program.wait_until_quiet(_START_S)
        except BaseException:
            self.program.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.program.stop()

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return what is measured.

        Raises
        ------
        MissingProgramError
            It is not installed.
        """

    @abstractmethod
    def n_indexed(self) -> int:
        """Return how many instances it says it holds."""

    def n_waiting(self) -> int:
        """Return how many instances are received but not yet where they stay."""
        return 0

    def register(self, ae_title: str, port: int) -> None:
        """Let `ae_title` at a port of this machine be a destination of C-MOVE.

        Raises
        ------
        BenchmarkError
            It moves nothing, or not there.
        """
        raise BenchmarkError(f"{self.title} moves nothing to {ae_title} at {port}")

    def archive_path(self, study_uid: str) -> str:
        """Return where a study is to be had as a ZIP archive."""
        return f"/dicom-web/studies/{study_uid}"

    def wait_until_settled(self, deadline_s: float) -> None:
        """Wait until nothing is left to be done about what was received."""
        self.program.wait_until_quiet(deadline_s)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes, str]:
        """Return status, body and content encoding of a request."""
        with self.asked("GET", path, headers or {}) as response:
            return response.status, response.read(), response.headers.get("Content-Encoding", "identity")

    @contextmanager
    def asked(
        self, method: str, path: str, headers: Mapping[str, str], body: Iterable[bytes] | None = None
    ) -> Iterator[HTTPResponse]:
        """Send a request and yield the answer, its body yet to be read."""
        connection = HTTPConnection(HOST, self.web_port, timeout=_HTTP_S)
        try:
            connection.request(method, path, body, dict(headers))
            yield connection.getresponse()
        finally:
            connection.close()

    @abstractmethod
    def _command(self) -> Sequence[object]: ...

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _is_ready(self) -> bool:
        return self._answers_echo()

    def _answers_echo(self) -> bool:
        command = [find_program("echoscu"), "-to", "2", "-aec", "PACSGW", HOST, str(self.dicom_port)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def _answers(self, path: str) -> bool:
        try:
            return self.get(path)[0] == 200
        except (OSError, HTTPException):
            return False


class Gateway(Receiver):
    """The gateway with SQLite and local disk, as it comes."""

    name = "gateway"
    title = "gateway"

    @classmethod
    def version(cls) -> str:
        """Return the gateway's version."""
        return _first_line([sys.executable, "-m", "pacs_gateway", "version"], lambda line: f"gateway {line}")

    def n_indexed(self) -> int:
        """Return how many instances its studies count."""
        status, body, _ = self.get("/dicom-web/studies?limit=1000", {"Accept": "application/dicom+json"})
        if status != 200:
            return 0
        return sum(int(study["00201208"]["Value"][0]) for study in json.loads(body))

    def command(self, *arguments: object) -> Program:
        """Start a command of this installation beside the running gateway."""
        environment = {**_clean_environment(), **self._environment()}
        command = (sys.executable, "-m", "pacs_gateway", "--data-dir", self._data, *arguments)
        return Program(command, self.folder / "command", environment)

    def register(self, ae_title: str, port: int) -> None:
        """Add a device."""
        self.command("device", "add", ae_title, HOST, port, "--rights", "all").wait_until_ended(_START_S)

    def n_waiting(self) -> int:
        """Return how many entries are in the spool."""
        return sum(1 for _ in (self._data / "spool").glob("*/*.dcm"))

    def wait_until_settled(self, deadline_s: float) -> None:
        """Wait until the object store has everything and every job is done."""
        self.program.wait_for("archived", lambda: not self.n_waiting(), deadline_s)
        self.program.wait_for("without jobs", lambda: not self._has_jobs(), deadline_s)
        super().wait_until_settled(deadline_s)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @staticmethod
    def index_in(folder: Path) -> Path:
        """Return where the index of an installation in `folder` is."""
        return folder / "data" / "index.db"

    def _command(self) -> Sequence[object]:
        ports = ("--dicom-port", self.dicom_port, "--web-port", self.web_port)
        return (sys.executable, "-m", "pacs_gateway", "--data-dir", self._data, "serve", *ports)

    def _environment(self) -> Mapping[str, str]:
        return {"PACS_UNKNOWN_DEVICES": "accept", "PACS_AUTH": "off", "PYTHONPATH": str(_ROOT)}

    def _is_ready(self) -> bool:
        return self._answers("/readyz?all") and super()._is_ready()

    def _has_jobs(self) -> bool:
        # Asked of the database itself: `jobs list` would start an interpreter each time and keep the machine busy.
        with closing(sqlite3.connect(f"file:{self.index_in(self.folder)}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM job LIMIT 1").fetchone() is not None


class _S3Gateway(Gateway):
    """The gateway with its objects in an S3 server of its own, on the same disk as the others."""

    def __init__(self, folder: Path) -> None:
        self._server = self._make_server(folder / "s3")
        # The same at every start: what it keeps is to be found again.
        self._server.access_key, self._server.secret_key = "benchmark", "benchmark-secret"
        with ExitStack() as stack:
            self._server.start()
            stack.callback(self._server.stop)
            super().__init__(folder)
            self._stopping_server = stack.pop_all()

    def __exit__(self, *_exception: object) -> None:
        with self._stopping_server:
            super().__exit__()

    @classmethod
    @abstractmethod
    def _make_server(cls, folder: Path) -> ObjectServer: ...

    def _environment(self) -> Mapping[str, str]:
        place = {"PACS_STORAGE_URL": "s3://benchmark"}
        return {**super()._environment(), **self._server.settings(), **place}


class MinioGateway(_S3Gateway):
    """The gateway with MinIO."""

    name = "minio"
    title = "gateway on MinIO"

    @classmethod
    def version(cls) -> str:
        """Return MinIO's version."""
        return _first_line([_beside_us("minio"), "--version"], lambda line: f"MinIO {line.split()[2]}")

    @classmethod
    def _make_server(cls, folder: Path) -> ObjectServer:
        return object_servers.minio(folder)


class SeaweedGateway(_S3Gateway):
    """The gateway with SeaweedFS."""

    name = "seaweedfs"
    title = "gateway on SeaweedFS"

    @classmethod
    def version(cls) -> str:
        """Return SeaweedFS's version."""
        return _first_line([_beside_us("weed"), "version"], lambda line: f"SeaweedFS {line.split()[2]}")

    @classmethod
    def _make_server(cls, folder: Path) -> ObjectServer:
        return object_servers.seaweedfs(folder)


class Orthanc(Receiver):
    """Orthanc with its DICOMweb plug-in and SQLite; files are synced, as is its default."""

    name = "orthanc"
    title = "Orthanc"
    compresses: ClassVar[bool] = True
    """Its default: what a browser fetches is compressed by gzip, pixels as well."""

    @classmethod
    def version(cls) -> str:
        """Return Orthanc's version."""
        if not _DICOMWEB_PLUGIN.exists():
            raise MissingProgramError("Orthanc's DICOMweb plug-in is not installed")
        return _first_line([_orthanc(), "--version"], lambda line: f"Orthanc {line.split()[-1]}")

    def n_indexed(self) -> int:
        """Return how many instances its index counts."""
        status, body, _ = self.get("/statistics")
        return int(json.loads(body)["CountInstances"]) if status == 200 else 0

    def archive_path(self, study_uid: str) -> str:
        """Return the archive of the study, by Orthanc's own name for it."""
        length = {"Content-Length": str(len(study_uid))}
        with self.asked("POST", "/tools/lookup", length, [study_uid.encode()]) as response:
            found = json.loads(response.read())
        return f"{found[0]['Path']}/archive"

    def register(self, ae_title: str, port: int) -> None:
        """Add a modality."""
        modality = json.dumps([ae_title, HOST, port]).encode()
        with self.asked("PUT", f"/modalities/{ae_title}", {}, [modality]) as response:
            if response.status != 200:
                raise BenchmarkError(f"Orthanc answered {response.status}")

    def _command(self) -> Sequence[object]:
        settings = {
            "StorageDirectory": str(self.folder / "data"),
            "IndexDirectory": str(self.folder / "data"),
            "SyncStorageArea": True,
            "Plugins": [str(_DICOMWEB_PLUGIN)],
            "DicomPort": self.dicom_port,
            "HttpPort": self.web_port,
            # Its default of 16 KiB would make eight times as many PDUs as the other sides get.
            "MaximumPduLength": MAX_PDU,
            # What is registered by its HTTP interface is there after the next start, too.
            "DicomModalitiesInDatabase": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "HttpCompressionEnabled": self.compresses,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(settings))
        return (_orthanc(), configuration)

    def _environment(self) -> Mapping[str, str]:
        return DCMTK_ENVIRONMENT

    def _is_ready(self) -> bool:
        return self._answers("/system") and super()._is_ready()


class PlainOrthanc(Orthanc):
    """Orthanc as somebody sets it up whose network is faster than gzip."""

    name = "orthanc-plain"
    title = "Orthanc, not compressing"
    compresses = False


class Storescp(Receiver):
    """DCMTK's storescp, one process for each association: files only, no index, no sync."""

    name = "storescp"
    title = "DCMTK storescp"

    @classmethod
    def version(cls) -> str:
        """Return DCMTK's version."""
        return _first_line([find_program("storescp"), "--version"], lambda line: f"DCMTK {line.split()[2]}")

    def n_indexed(self) -> int:
        """Return how many files it wrote."""
        return sum(1 for _ in (self.folder / "data").iterdir())

    def _command(self) -> Sequence[object]:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        return (find_program("storescp"), "--fork", "--max-pdu", MAX_PDU, "-od", data, self.dicom_port)

    def _environment(self) -> Mapping[str, str]:
        return DCMTK_ENVIRONMENT


GATEWAYS: Mapping[str, type[Gateway]] = {side.name: side for side in (Gateway, MinioGateway, SeaweedGateway)}
RECEIVERS: Mapping[str, type[Receiver]] = {
    **GATEWAYS,
    **{side.name: side for side in (Orthanc, PlainOrthanc, Storescp)},
}


def _orthanc() -> str:
    return find_program("Orthanc", "/usr/sbin")


def _beside_us(name: str) -> str:
    """Return where an object server is that may have been installed beside our interpreter."""
    return find_program(name, str(Path(sys.prefix) / "bin"))


def _first_line(command: Sequence[str], shown: Callable[[str], str]) -> str:
    output = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)
    return shown((output.stdout + output.stderr).splitlines()[0])


def _clean_environment() -> dict[str, str]:
    """Return our environment without settings that would change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PACS_")}
