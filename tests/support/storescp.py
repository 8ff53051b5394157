"""DCMTK's ``storescp`` as a destination: it writes what it receives as it came."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.scripted_peer import ScriptedPeer
from tests.support.waiting import wait_until

_DEADLINE_S = 30.0
# DCMTK's own socket buffers of 64 KiB make it wait for acknowledgements on loopback.
_ENVIRONMENT = {"TCP_BUFFER_LENGTH": "1048576", "TCP_NODELAY": "1"}
EVERY_SYNTAX = ("+xa",)


@dataclass(frozen=True, slots=True)
class StoreScp:
    """A running destination."""

    ae_title: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def received(self) -> dict[str, Path]:
        """Return the files by SOP Instance UID."""
        return {path.name.split(".", 1)[1]: path for path in self.folder.iterdir()}

    def clear(self) -> None:
        """Forget what came."""
        for path in self.folder.iterdir():
            path.unlink()


@contextmanager
def storescp(
    folder: Path, *, ae_title: str = "STORESCP", options: Sequence[str] = EVERY_SYNTAX, is_forking: bool = True
) -> Iterator[StoreScp]:
    """Run a destination that writes into `folder`; without forking it serves one association after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    mode = "--fork" if is_forking else "--single-process"
    # "+B" keeps the data set as it came.
    command = ["storescp", mode, "-aet", ae_title, "+B", *options, "-od", str(folder), str(port)]
    process = subprocess.Popen(
        command, env=os.environ | _ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _listens(port), _DEADLINE_S, "storescp to listen")
        yield StoreScp(ae_title, port, folder, process)
    finally:
        process.terminate()
        process.wait(_DEADLINE_S)


def _listens(port: int) -> bool:
    try:
        with ScriptedPeer(port):
            return True
    except OSError:
        return False
