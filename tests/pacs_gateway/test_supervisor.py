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
from pacs_gateway.supervisor import bind
from tests.support.waiting import wait_until

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, socket, sys
from functools import partial
from pathlib import Path
from pacs_gateway.supervisor import Program, Supervisor

folder = Path(sys.argv[1])

def run(name, stop):
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    stop.wait()
    with (folder / "ended").open("a") as file:
        file.write(f"{name}\\n")

listening = socket.create_server(("127.0.0.1", 0))
Supervisor(
    [Program("shipper", partial(run, "shipper")), Program("dicom", partial(run, "dicom"), (listening,))]
).run()
"""


@contextmanager
def supervised(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, folder], env=environment)
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


def test_a_child_whose_program_breaks_says_so_and_is_started_again(tmp_path: Path) -> None:
    broken = """
import logging, os, sys
from pacs_gateway.errors import ConfigurationError
from pacs_gateway.supervisor import Program, Supervisor
logging.basicConfig()

def run(stop):
    print("started", flush=True)
    raise ConfigurationError("the disk is not there")

Supervisor([Program("web", run)]).run()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", broken]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline(), process.stdout.readline()] == ["started\n", "started\n"]
        process.terminate()
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "the disk is not there" in said
    assert "web ended with status 1; starting it again" in said
    assert "Traceback" not in said


def test_a_child_holds_only_its_own_sockets(tmp_path: Path) -> None:
    with supervised(tmp_path):
        assert [len(listening_sockets(pids(tmp_path, name)[0])) for name in ("dicom", "shipper")] == [1, 0]


def listening_sockets(pid: int) -> list[str]:
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    return [target for fd in descriptors if (target := os.readlink(fd)).startswith("socket:")]


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
