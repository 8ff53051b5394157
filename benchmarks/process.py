"""Programs under measurement: started in a folder of their own, waited for by condition, stopped by their own id."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

_STOP_S = 60.0
_LOOK_S = 0.01
_QUIET_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# For programs that talk DICOM by DCMTK, on either end: its default of 64 KiB costs 50 ms per instance on loopback.
DCMTK_ENVIRONMENT = {"TCP_BUFFER_LENGTH": "1048576", "TCP_NODELAY": "1"}


class BenchmarkError(Exception):
    """What was to be measured did not happen."""


class MissingProgramError(BenchmarkError):
    """A peer is not installed."""


def find_program(name: str, *folders: str) -> str:
    """Return where an installed program is; `folders` are looked into after those of PATH.

    Raises
    ------
    MissingProgramError
        It is not installed.
    """
    # Not beside our interpreter: pynetdicom puts programs of the same names there as DCMTK has.
    own = Path(sys.prefix) / "bin"
    searched = [folder for folder in os.get_exec_path() if Path(folder) != own]
    found = shutil.which(name, path=os.pathsep.join([*searched, *folders]))
    if found is None:
        raise MissingProgramError(f"{name} is not installed")
    return found


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process, and children of it that have ended, have used so far."""

    pid: int
    name: str
    cpu_s: float
    rss_mib: float
    peak_rss_mib: float


class Program:
    """A running program and the processes it started."""

    def __init__(self, command: Sequence[object], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = Path(str(command[0])).name
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command], stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the program to end and wait for it; one that does not end is killed. Idempotent."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End all of its processes as a power cut would."""
        for pid in [self._process.pid, *_family(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def wait_for(self, what: str, condition: Callable[[], bool], deadline_s: float) -> float:
        """Return how many seconds it took until `condition` held.

        Raises
        ------
        BenchmarkError
            The program ended, or the deadline passed.
        """
        start = time.perf_counter()
        while not condition():
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self._name} ended before {what}:\n{self._last_words()}")
            if time.perf_counter() - start > deadline_s:
                raise BenchmarkError(f"{self._name}: not {what} within {deadline_s:.0f} s:\n{self._last_words()}")
            time.sleep(_LOOK_S)
        return time.perf_counter() - start

    def wait_until_quiet(self, deadline_s: float) -> None:
        """Wait until the program's processes have used next to no processor time for half a second."""

        def is_quiet() -> bool:
            before = self.usage()
            time.sleep(_QUIET_S)
            return sum(usage.cpu_s for usage in self.usage_since(before)) < _QUIET_S / 10

        self.wait_for("quiet", is_quiet, deadline_s)

    def reset_peaks(self) -> None:
        """Let the peak of each of its processes be what it has resident now (proc(5), clear_refs)."""
        for pid in _family(self._process.pid):
            with suppress(OSError):  # it has ended
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def grown_since(self, before: Sequence[Usage]) -> float:
        """Return how many MiB above its resident size of then that process was, at its peak, that grew most.

        Everything resident counts, mapped files too: what a process maps of an object it could have read in pieces.
        """
        resident = {usage.pid: usage.rss_mib for usage in before}
        return max(usage.peak_rss_mib - resident.get(usage.pid, 0.0) for usage in self.usage())

    def usage(self) -> list[Usage]:
        """Return what each of its processes has used, the first one first."""
        return [usage for pid in _family(self._process.pid) if (usage := _usage_of(pid)) is not None]

    def usage_since(self, before: Sequence[Usage]) -> list[Usage]:
        """Return what each of its processes has used, with the processor time since `before` only."""
        spent = {usage.pid: usage.cpu_s for usage in before}
        return [replace(usage, cpu_s=usage.cpu_s - spent.get(usage.pid, 0.0)) for usage in self.usage()]

    def wait_until_ended(self, deadline_s: float) -> float:
        """Wait for a program that ends by itself; return its peak resident size in MiB.

        Raises
        ------
        BenchmarkError
            It ended with an error, or the deadline passed.
        """
        peak_mib, start = 0.0, time.perf_counter()
        while (status := self._process.poll()) is None:
            peak_mib = max([peak_mib, *(usage.peak_rss_mib for usage in self.usage())])
            if time.perf_counter() - start > deadline_s:
                raise BenchmarkError(f"{self._name} did not end within {deadline_s:.0f} s:\n{self._last_words()}")
            time.sleep(_LOOK_S)
        if status:
            raise BenchmarkError(f"{self._name} ended with {status}:\n{self._last_words()}")
        return peak_mib

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _usage_of(pid: int) -> Usage | None:
    try:
        # The name of a process may hold blanks and brackets; what follows the last bracket is a plain list (proc(5)).
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith(("VmRSS:", "VmHWM:"))}
    return Usage(
        pid=pid,
        name=name,
        cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,
        rss_mib=sizes.get("VmRSS", 0) / 1024,
        peak_rss_mib=sizes.get("VmHWM", 0) / 1024,
    )
