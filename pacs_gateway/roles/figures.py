"""Where the processes of one node count what they do, so that any of them can tell the figures of all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client, when it is loaded, learns that its figures are to be shared."""
_NAME = "pacs-figures-"
# Mapped files in memory: on a disk that is full, the first write into such a page would end the process.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


@contextmanager
def shared_figures() -> Iterator[None]:
    """Have the processes that are forked inside the block count into files of one folder, which goes at its end."""
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(gettempdir())
    _clear(where)
    with TemporaryDirectory(prefix=f"{_NAME}{os.getpid()}-", dir=where) as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def _clear(where: Path) -> None:
    """Remove what supervisors left that were killed."""
    for folder in where.glob(f"{_NAME}*-*"):
        pid = folder.name.removeprefix(_NAME).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
