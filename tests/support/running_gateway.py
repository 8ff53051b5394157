"""A gateway as it runs at a site: the real command, its processes, a data directory, ports of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from tests.support.scripted_peer import ScriptedPeer, associate_rq
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
AE_TITLE = "PACSGW"
START_DEADLINE_S = 60.0
_END_DEADLINE_S = 60.0
_CLI_DEADLINE_S = 120.0
_ROLES = frozenset({"dicom", "web", "node", "shipper", "worker"})
_PORT = re.compile(r"^(DICOM|TLS|Web) .*:(\d+)/?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Child:
    """One process of the gateway."""

    pid: int
    role: str
    """dicom, web, shipper or worker."""


class RunningGateway:
    """One installation: its data directory outlives its processes."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, *, launcher: Sequence[str] = ()
    ) -> None:
        """Prepare an installation in `folder`; `launcher` is put before the command and must become it by exec."""
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "gateway.log"
        self.dicom_port = self.dicom_tls_port = self.web_port = 0
        self._launcher = launcher
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PACS_")}
        self._environment |= {
            "PYTHONPATH": str(ROOT),
            "PACS_UNKNOWN_DEVICES": "accept",
            "PACS_DICOM_WORKERS": "2",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, deadline_s: float = START_DEADLINE_S) -> float:
        """Start the gateway on free ports and wait until it serves; return how long that took, in seconds."""
        assert self._process is None
        started_at = monotonic()
        output = self.folder / "gateway.out"
        web_port = self._environment.get("PACS_WEB_PORT", "0")
        command = [*self._launcher, *self._command("serve", "--dicom-port", "0", "--web-port", web_port)]
        with output.open("wb") as stdout, self.log.open("ab") as stderr:
            self._process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, env=self._environment, cwd=self.folder, start_new_session=True
            )
        wait_until(lambda: self._has_said_its_ports(output), deadline_s, "the gateway to open its ports")
        wait_until(self.is_serving, deadline_s, "the gateway to serve")
        return monotonic() - started_at

    def is_serving(self) -> bool:
        """Return whether the web is ready and the DICOM listener answers."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == httpx.codes.OK and self.is_listening()
        except httpx.TransportError:
            return False

    def is_listening(self) -> bool:
        """Return whether an association is answered, be it by a rejection."""
        try:
            with ScriptedPeer(self.dicom_port) as peer:
                peer.send(associate_rq())
                return peer.receive_pdu()[:1] in (b"\x02", b"\x03")
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self._process is not None
        return self._process.pid

    def children(self, role: str = "") -> list[Child]:
        """Return the running processes of a role, or of all."""
        return [child for child in children_of(self.pid) if role in ("", child.role)]

    def kill_all(self) -> None:
        """Kill every process at once, as a power cut would."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_END_DEADLINE_S)
        # Its children are not ours to wait for, but their sockets and locks are to be gone.
        wait_until(lambda: not _group_is_alive(self.pid), _END_DEADLINE_S, "the processes to be gone")
        self._process = None

    def kill_child(self, role: str) -> None:
        """Kill one process of a role; the supervisor starts it again."""
        os.kill(self.children(role)[0].pid, signal.SIGKILL)

    def stop(self, *, deadline_s: float = _END_DEADLINE_S) -> int:
        """Ask the gateway to end (SIGTERM) and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise
        self._process = None
        return status

    def close(self) -> None:
        """Leave no process behind. Idempotent."""
        if self._process is not None:
            self.kill_all()

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this installation beside the running gateway."""
        return subprocess.run(
            self._command(*arguments),
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_CLI_DEADLINE_S,
        )

    def must(self, *arguments: str) -> str:
        """Run a command that is to succeed and return what it prints."""
        done = self.cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def facts(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return what it prints."""
        return json.loads(self.must(*arguments, "--json"))

    @cached_property
    def token(self) -> str:
        """A bearer token of the administrator."""
        return self.must("token", "add", "acceptance", "--user", "admin").strip()

    def client(self) -> httpx.Client:
        """Return a client that acts as the administrator."""
        is_open = self._environment.get("PACS_AUTH") == "off"
        headers = {} if is_open else {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def spooled(self) -> list[Path]:
        """Return the entries that wait in the spool."""
        return list((self.data_dir / "spool").glob("*/*.dcm"))

    def objects(self) -> list[Path]:
        """Return the objects kept on disk."""
        return list((self.data_dir / "objects" / "instances").rglob("*.dcm"))

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pacs_gateway", "--data-dir", str(self.data_dir), *arguments]

    def _has_said_its_ports(self, output: Path) -> bool:
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            raise AssertionError(f"the gateway ended with {status}: {self.log.read_text()[-2000:]}")
        ports = dict(_PORT.findall(output.read_text(encoding="utf-8")))
        if "Web" not in ports:
            return False
        self.dicom_port, self.web_port = int(ports["DICOM"]), int(ports["Web"])
        self.dicom_tls_port = int(ports.get("TLS", 0))
        return True


@contextmanager
def running_gateway(
    folder: Path, settings: Mapping[str, str] | None = None, *, launcher: Sequence[str] = ()
) -> Iterator[RunningGateway]:
    """Run a gateway in `folder` that serves before the block begins and is gone after it."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = RunningGateway(folder, settings, launcher=launcher)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


def children_of(pid: int) -> list[Child]:
    """Return the running processes of a supervisor."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    found = [Child(int(child), _role_of(int(child))) for child in pids]
    return [child for child in found if child.role]


def _role_of(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except OSError:
        return ""
    role = name.split(" ")[0].strip()
    return role if role in _ROLES else ""


def _group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
