"""Real S3 servers of the test's own: MinIO and SeaweedFS on free ports, with their own folder and credentials."""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from pacs_gateway.storage.s3_config import S3Config
from tests.support.waiting import wait_until

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0
_ATTEMPTS = 3


@dataclass(slots=True)
class ObjectServer:
    """One installation of a server: it can be stopped and started again, and keeps its objects."""

    folder: Path
    command: Callable[["ObjectServer"], Sequence[str]]
    """What starts it, given its ports."""
    n_ports: int
    certificate: Path | None = None
    """The certificate it shows; without one it speaks plain HTTP."""
    access_key: str = field(default_factory=lambda: secrets.token_hex(8))
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20))
    ports: list[int] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def config(self, *, prefix: str | None = None) -> S3Config:
        """Return the configuration of a store in this server, under a prefix nobody else has."""
        return S3Config(
            endpoint=self.endpoint,
            bucket="objects",
            access_key=self.access_key,
            secret_key=self.secret_key,
            prefix=f"test-{secrets.token_hex(8)}" if prefix is None else prefix,
            secure=self.certificate is not None,
        )

    def settings(self) -> dict[str, str]:
        """Return the settings of a gateway that keeps its objects here."""
        config = self.config()
        return {
            "PACS_STORAGE_URL": f"s3://{config.bucket}/{config.prefix}",
            "PACS_S3_ENDPOINT": config.endpoint,
            "PACS_S3_ACCESS_KEY": config.access_key,
            "PACS_S3_SECRET_KEY": config.secret_key,
            "PACS_S3_SECURE": "on" if config.secure else "off",
        }

    def client(self) -> Minio:
        """Return a client that goes past the store."""
        trust = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        return Minio(
            self.endpoint,
            self.access_key,
            self.secret_key,
            secure=self.certificate is not None,
            region="us-east-1",
            http_client=urllib3.PoolManager(timeout=10, retries=False, maxsize=32, ssl_context=trust),
        )

    def start(self) -> None:
        """Start it, on the ports it had before if there are any, and wait until it answers."""
        assert self._process is None
        for attempt in range(_ATTEMPTS):
            has_ports = bool(self.ports)
            self.ports = self.ports or _free_ports(self.n_ports)
            with (self.folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self.command(self), cwd=self.folder, env=self._environment(), stdout=log, stderr=log
                )
            try:
                wait_until(self._answers_or_ended, _START_DEADLINE_S, "the object server to answer")
                if self._process.poll() is None:
                    return
                assert attempt < _ATTEMPTS - 1, (self.folder / "server.log").read_text(errors="replace")[-2000:]
            except BaseException:
                self.kill()
                raise
            # Somebody else took one of the ports between the choice and the start.
            self._process = None
            if not has_ports:
                self.ports = []

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_DEADLINE_S)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it accept connections and answer none of them for the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _answers_or_ended(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        try:
            client = self.client()
            if not client.bucket_exists("ready"):
                client.make_bucket("ready")
        except (MinioException, HTTPError):
            return False
        return True

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
        }


def minio(folder: Path, *, tls: bool = False) -> ObjectServer:
    """Return a MinIO that has not been started."""
    certificates = folder / "certs"
    certificates.mkdir(parents=True, exist_ok=True)
    certificate = _make_certificate(certificates) if tls else None

    def command(server: ObjectServer) -> Sequence[str]:
        address, console = (f"127.0.0.1:{port}" for port in server.ports)
        return (
            program("minio"), "server", "--quiet", "--address", address, "--console-address", console,
            "--certs-dir", str(certificates), str(folder / "objects"),
        )  # fmt: skip

    return ObjectServer(folder, command, 2, certificate)


def seaweedfs(folder: Path) -> ObjectServer:
    """Return a SeaweedFS that has not been started: master, volumes, filer and S3 in one process."""
    objects = folder / "objects"
    objects.mkdir(parents=True, exist_ok=True)

    def command(server: ObjectServer) -> Sequence[str]:
        identity = {
            "name": "gateway",
            "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        (folder / "s3.json").write_text(dumps({"identities": [identity]}), encoding="utf-8")
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = server.ports
        return (
            program("weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={objects}",
            "-master.telemetry=false", f"-master.port={master}", f"-master.port.grpc={master_grpc}",
            "-master.volumeSizeLimitMB=256", f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}",
            "-volume.max=50", "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
            f"-filer.localSocket={folder / 'filer.sock'}",
            "-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", f"-s3.config={folder / 's3.json'}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder / 's3.sock'}",
        )  # fmt: skip

    return ObjectServer(folder, command, 8)


def program(name: str) -> str:
    """Return where a program is: on the PATH, or beside the interpreter of a virtual environment that is not on it."""
    return shutil.which(name) or str(Path(sys.executable).with_name(name))


@contextmanager
def running(server: ObjectServer) -> Iterator[ObjectServer]:
    """Run a server for the block."""
    server.start()
    try:
        yield server
    finally:
        server.kill()  # an orderly end takes SeaweedFS half a minute


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with running(minio(tmp_path_factory.mktemp("minio"))) as server:
        yield server


@pytest.fixture(scope="session")
def tls_minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with running(minio(tmp_path_factory.mktemp("minio-tls"), tls=True)) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with running(seaweedfs(tmp_path_factory.mktemp("seaweedfs"))) as server:
        yield server


def _make_certificate(folder: Path) -> Path:
    certificate = folder / "public.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "private.key"), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [listening.getsockname()[1] for listening in sockets]
