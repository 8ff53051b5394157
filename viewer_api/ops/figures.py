"""The figures for Prometheus: what all web processes of this node have counted, and what each of its processes uses.

Several processes serve, and any of them may be asked: each counts into a file of its own in a folder that the
supervisor names, and whoever is asked adds them up (prometheus_client's multiprocess mode).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pacs_gateway.roles.figures import FOLDER

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Where the fields of /proc/PID/stat are, counted from the one behind the name (proc(5)).
_USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 11, 12, 21


class Figures:
    """Where a web process counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def text(self) -> bytes:
        """Return everything as Prometheus text."""
        counted = self.registry
        if os.environ.get(FOLDER):
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        processes = CollectorRegistry()
        processes.register(_Processes())
        return generate_latest(counted) + generate_latest(processes)


class _Processes(Collector):
    """What the processes use that one supervisor keeps, this one among them, each by its name."""

    def collect(self) -> Iterator[Metric]:
        """Yield processor time and memory."""
        seconds = CounterMetricFamily("pacs_process_cpu_seconds", "Processor time", labels=["process"])
        memory = GaugeMetricFamily("pacs_process_resident_bytes", "Memory in use", labels=["process"])
        for pid in _siblings():
            try:
                head, _, rest = (_PROC / pid / "stat").read_text(encoding="utf-8").rpartition(") ")
            except OSError:  # it has ended
                continue
            name, fields = head.partition("(")[2], rest.split()
            seconds.add_metric([name], (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_S)
            memory.add_metric([name], int(fields[_RESIDENT_PAGES]) * _PAGE_BYTES)
        yield seconds
        yield memory


def _siblings() -> list[str]:
    parent = str(os.getppid())
    return (_PROC / parent / "task" / parent / "children").read_text(encoding="ascii").split()
