"""What processes have resident, and how much that grew at most meanwhile."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.support.running_gateway import RunningGateway

FLAT_MIB = 64.0
"""By how much at most a process may grow over what is hostile or large (promises B8, R11)."""
_LOOK_S = 0.01


@contextmanager
def flat_memory(gateway: RunningGateway, role: str = "") -> Iterator[None]:
    """Check that no process of a gateway (of a role) is another one after the block, or grew by too much in it.

    What is looked at once per process (modules, pools of threads) belongs before the block.
    """
    before = {child.pid: child.role for child in gateway.children(role)}
    resident = {pid: _mib(pid, "VmRSS") for pid in before}
    for pid in before:
        # The peak begins again at what is resident now (proc(5)).
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    yield
    assert {child.pid: child.role for child in gateway.children(role)} == before, "a process ended"
    grown = {f"{role} {pid}": _mib(pid, "VmHWM") - resident[pid] for pid, role in before.items()}
    assert {who: mib for who, mib in grown.items() if mib > FLAT_MIB} == {}


def peak_mib(command: Sequence[str], environment: Mapping[str, str], *, deadline_s: float) -> tuple[float, int, str]:
    """Run a command to its end; return the most it had resident, its exit status and what it said."""
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak, end = 0.0, monotonic() + deadline_s
    try:
        while process.poll() is None:
            assert monotonic() < end, f"the command did not end within {deadline_s:g} s"
            peak = max(peak, _mib(process.pid, "VmHWM"))
            sleep(_LOOK_S)
        said, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
    return peak, process.returncode, said


def _mib(pid: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0  # it has ended
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
