"""Children are started again when they die, end when told to, and never outlive their supervisor."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pacs_gateway.errors import ConfigurationError
from pacs_gateway.supervisor import Role, bind, programs
from tests.support.waiting import wait_until

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[2]
CHILD = """
import os, sys, signal
from pathlib import Path
from pacs_gateway.roles.lifeline import die_with_parent, stop_on_signals
stop = stop_on_signals()
die_with_parent()
folder, name = Path(sys.argv[1]), sys.argv[2]
with (folder / name).open("a") as file:
    file.write(f"{os.getpid()}\\n")
stop.wait()
with (folder / "ended").open("a") as file:
    file.write(f"{name}\\n")
"""
SUPERVISOR = """
import socket, sys
from pacs_gateway.supervisor import Program, Supervisor
listening = socket.create_server(("127.0.0.1", 0))
child = (sys.executable, sys.argv[1], sys.argv[2])
Supervisor(
    [Program("shipper", (*child, "shipper")), Program("dicom", (*child, "dicom"), (listening,))], {"X": "1"}
).run()
"""


@contextmanager
def supervised(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    script = folder / "child.py"
    script.write_text(CHILD)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, script, folder], env=environment)
    try:
        wait_until(lambda: all(pids(folder, name) for name in ("shipper", "dicom")), DEADLINE_S, "the children start")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(DEADLINE_S)
        everybody = [pid for name in ("shipper", "dicom") for pid in pids(folder, name)]
        wait_until(lambda: not any(map(is_alive, everybody)), DEADLINE_S, "the children end with their supervisor")


def pids(folder: Path, name: str) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(line) for line in (folder / name).read_text().split()]
    return []


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path):
        (first,) = pids(tmp_path, "dicom")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(pids(tmp_path, "dicom")) == 2, DEADLINE_S, "another is started")
        assert len(pids(tmp_path, "shipper")) == 1


def test_sigterm_ends_those_who_receive_first_and_all_in_order(tmp_path: Path) -> None:
    with supervised(tmp_path) as process:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
        assert (tmp_path / "ended").read_text().split() == ["dicom", "shipper"]


def test_children_die_with_their_supervisor(tmp_path: Path) -> None:
    with supervised(tmp_path) as process:
        process.kill()


def test_a_child_that_starts_after_its_supervisor_died_ends(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(DEADLINE_S)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GATEWAY_SUPERVISOR": str(gone.pid)}
    child = subprocess.Popen([sys.executable, script, tmp_path, "late"], env=environment)
    try:
        assert child.wait(DEADLINE_S) == 0
    finally:
        child.kill()


def test_all_hosts_share_one_free_port() -> None:
    sockets = bind(["127.0.0.1", "127.0.0.2"], 0)
    try:
        assert len({listening.getsockname()[1] for listening in sockets}) == 1
    finally:
        for listening in sockets:
            listening.close()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            bind(["127.0.0.1"], port)


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.ALL, ["dicom 1", "dicom 2", "web 1", "shipper", "worker"]),
        (Role.DICOM, ["dicom 1", "dicom 2", "shipper"]),
        (Role.WEB, ["web 1", "shipper"]),
        (Role.WORKER, ["worker"]),
    ],
)
def test_each_role_has_its_children(role: Role, names: list[str]) -> None:
    assert [program.name for program in programs(role, dicom=[], web=[], n_dicom=2, n_web=1)] == names
