"""Guarded processes end with the service they work for, and outlive a nursery that is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.guard.pool import Pool
from tests.pacs_gateway.guard.conftest import numbers
from tests.pacs_gateway.guard.test_pool import is_running
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[3]
_DEADLINE_S = 60.0
_SERVICE = """
import os, sys, threading, time
from pacs_gateway.guard import prepare
from tests.pacs_gateway.guard.conftest import numbers, open_pool
if sys.argv[1] == "prepared":
    prepare()
with open_pool(n_processes=2) as pool:
    idle = numbers(pool)
    threading.Thread(target=pool.call, args=("loop", {}, []), daemon=True).start()
    while not pool._busy:
        time.sleep(0.01)
    busy = numbers(pool)
    print(*idle, *busy, flush=True)
    sys.stdin.read()
os._exit(0)
"""


@pytest.fixture(params=["prepared", "not prepared"])
def service(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVICE, request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def pids(service: subprocess.Popen[str]) -> set[int]:
    """Return the nursery and the guarded processes of a service, one of which is in an endless loop."""
    assert service.stdout is not None
    found = {int(pid) for pid in service.stdout.readline().split()}
    assert len(found) == 3
    return found


def test_nobody_outlives_a_service_that_is_killed(service: subprocess.Popen[str]) -> None:
    found = pids(service)
    service.kill()
    wait_until(lambda: not any(map(is_running, found)), _DEADLINE_S, "everybody to be gone")


def test_nobody_outlives_a_service_that_ends(service: subprocess.Popen[str]) -> None:
    found = pids(service)
    service.communicate(timeout=_DEADLINE_S)
    assert service.returncode == 0
    wait_until(lambda: not any(map(is_running, found)), _DEADLINE_S, "everybody to be gone")


def test_what_ends_a_service_does_not_end_its_processes_before_it(service: subprocess.Popen[str]) -> None:
    ignored = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
    for pid in pids(service):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        mask = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
        assert int(mask.split()[1], 16) & ignored == ignored


def test_another_nursery_takes_over_from_one_that_was_killed(pool: Pool) -> None:
    pid, nursery = numbers(pool)
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not is_running(pid), _DEADLINE_S, "its children to be gone")
    assert numbers(pool)[1] != nursery
