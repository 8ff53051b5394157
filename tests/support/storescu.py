"""DCMTK's ``storescu`` and ``echoscu`` as senders, and which of their objects were answered Success."""

import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.support.running_gateway import AE_TITLE

_DEADLINE_S = 120.0
_SENDING = re.compile(r"^I: Sending file: (.*)$")
_SUCCESS = "I: Received Store Response (Success)"


class StoreScu:
    """A running ``storescu``; reads along what it says."""

    def __init__(self, port: int, paths: Sequence[Path], *options: str) -> None:
        command = ["storescu", "-v", *options, "-aec", AE_TITLE, "127.0.0.1", str(port), *map(str, paths)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.acknowledged: list[Path] = []
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def finish(self) -> int:
        """Wait for the end and return the exit status; `acknowledged` is complete then."""
        try:
            return self._process.wait(_DEADLINE_S)
        finally:
            self._process.kill()
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()

    @property
    def output(self) -> str:
        return "".join(self._output)

    def _read(self) -> None:
        assert self._process.stdout is not None
        path = Path()
        for line in self._process.stdout:
            self._output.append(line)
            if sending := _SENDING.match(line):
                path = Path(sending[1])
            elif line.startswith(_SUCCESS):
                self.acknowledged.append(path)


def send(port: int, paths: Sequence[Path], *options: str) -> None:
    """Send files with ``storescu``; every one is answered Success."""
    sender = StoreScu(port, paths, *options)
    assert sender.finish() == 0, sender.output


def echo(port: int, *options: str) -> tuple[bool, float]:
    """Return whether ``echoscu`` was answered, and after how many seconds."""
    start = monotonic()
    command = ["echoscu", *options, "-aec", AE_TITLE, "127.0.0.1", str(port)]
    done = subprocess.run(command, capture_output=True, timeout=_DEADLINE_S)
    return done.returncode == 0, monotonic() - start
