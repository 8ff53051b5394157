"""The durable spool: the journal between an answer to a sender and the index and object store.

An entry is a complete Part 10 file. It is written to a nameless file, synced, linked to its name, and its directory
synced: a crash leaves a whole entry or nothing, and nothing is ever overwritten. Each process writes into a directory
of its own under a kernel lock; a directory whose lock is free belongs to a dead process and is adopted.
"""

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pacs_gateway.errors import CapacityError, NotFoundError, UnavailableError
from pacs_gateway.storage.node_identity import node_identity
from pacs_gateway.storage.store import ObjectReader

_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

_LOCK_NAME = ".lock"
_SUFFIX = ".dcm"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def spool_errors(doing: str) -> Iterator[None]:
    """Turn the operating system's errors into ours; `doing` says in words what was under way."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{doing}: no such spool entry") from error
    except OSError as error:
        if error.errno in _FULL:
            raise CapacityError(f"{doing}: the spool's disk is full") from error
        raise UnavailableError(f"{doing}: {errno.errorcode.get(error.errno or 0, 'input/output error')}") from error


@dataclass(frozen=True, slots=True)
class SpoolConfig:
    """Where the spool lies and when it stops taking more."""

    root: Path
    refuse_free_fraction: float = 0.10
    """Below this free part of the disk nothing more is received ..."""
    refuse_free_bytes: int = 20 << 30
    """... unless this much is free all the same: a tenth of a large disk is no emergency."""


class Spool:
    """The spool of this node, seen by one process.

    ``writable`` processes own a directory; others only read entries by name. ``node`` names the node it belongs to.
    """

    def __init__(self, config: SpoolConfig) -> None:
        self.config = config
        self.root = config.root
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.node = node_identity(self.root)

    def open_directory(self) -> "SpoolDirectory":
        """Make and lock a fresh directory for this process."""
        return SpoolDirectory.create(self.root)

    def orphans(self) -> Iterator["SpoolDirectory"]:
        """Lock and hand out, one by one, the directories whose process is gone; the caller closes each."""
        for path in sorted(self.root.iterdir()):
            if path.is_dir() and (directory := SpoolDirectory.adopt(path)) is not None:
                yield directory

    def path(self, entry: str) -> Path:
        """Return where an entry's file is (``process/name`` as the index keeps it)."""
        process, _, name = entry.partition("/")
        if not (process.isalnum() and name.endswith(_SUFFIX) and "/" not in name and not name.startswith(".")):
            raise NotFoundError("no such spool entry")
        return self.root / process / name

    @contextmanager
    def open(self, entry: str) -> Iterator[ObjectReader]:
        """Open an entry for ranged reads; reads go on when it is removed meanwhile.

        Raises
        ------
        NotFoundError
            It is not, or no longer, in the spool.
        """
        with spool_errors("reading the spool"):
            fd = os.open(self.path(entry), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            yield _EntryReader(fd)
        finally:
            os.close(fd)

    def remove(self, entries: list[str]) -> None:
        """Drop entries whose bytes are safe elsewhere; idempotent. Not synced: a ghost is dropped again later."""
        for entry in entries:
            self.path(entry).unlink(missing_ok=True)

    def accepts(self) -> bool:
        """Return whether there is room above the low-water mark."""
        with spool_errors("measuring the spool's disk"):
            usage = shutil.disk_usage(self.root)
        mark = min(usage.total * self.config.refuse_free_fraction, self.config.refuse_free_bytes)
        return usage.free >= mark


class _EntryReader(ObjectReader):
    """An open spool entry."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        super().__init__(os.fstat(fd).st_size)
        self._fd = fd

    def _read(self, offset: int, length: int) -> bytes:
        with spool_errors("reading the spool"):
            return os.pread(self._fd, length, offset)


class SpoolDirectory:
    """One process's directory of the spool, held under a kernel lock until closed."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.process = path.name
        self._lock = lock
        with spool_errors("opening the spool"):
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @classmethod
    def create(cls, root: Path) -> Self:
        """Make a directory with a name nobody had before, and lock it."""
        while True:
            path = root / secrets.token_hex(8)
            with spool_errors("opening the spool"):
                path.mkdir(mode=0o750)
                # Before its lock is held another process may take it for an orphan's, and remove it: make another.
                directory = cls.adopt(path)
                if directory is None:
                    continue
                parent = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(parent)
                finally:
                    os.close(parent)
            return directory

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Lock a directory whose process is gone; None while it lives, or another process was quicker."""
        try:
            lock = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have adopted, emptied and removed the directory since it was listed.
            if os.fstat(lock).st_nlink == 0:
                os.close(lock)
                return None
        except BlockingIOError:
            os.close(lock)
            return None
        return cls(path, lock)

    def create_file(self) -> int:
        """Return the descriptor of a nameless file in this directory; closing it unpublished leaves nothing."""
        with spool_errors("writing to the spool"):
            return os.open(self.path, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o640)

    @staticmethod
    def begin_sync(fd: int) -> None:
        """Have the kernel begin to write what `fd` holds, so that ``sync`` has less to wait for."""
        if _libc.sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE):
            code = ctypes.get_errno()
            with spool_errors("writing to the spool"):
                raise OSError(code, os.strerror(code))

    @staticmethod
    def sync(fd: int) -> None:
        """Make the bytes of `fd` durable."""
        with spool_errors("writing to the spool"):
            os.fdatasync(fd)

    def publish(self, fd: int, name: str) -> str:
        """Make the synced file `fd` an entry called `name`, durably, and return the entry's name for the index."""
        with spool_errors("writing to the spool"):
            # The descriptor's link in /proc is followed only when linkat(2) is told to, which Python
            # does when a directory descriptor is given.
            os.link(f"/proc/self/fd/{fd}", name + _SUFFIX, dst_dir_fd=self._fd, follow_symlinks=True)
            os.fsync(self._fd)
        return f"{self.process}/{name}{_SUFFIX}"

    def entries(self) -> list[str]:
        """Return the names of all entries, oldest first."""
        with spool_errors("listing the spool"):
            names = sorted(name for name in os.listdir(self._fd) if name.endswith(_SUFFIX))
        return [f"{self.process}/{name}" for name in names]

    def close(self, *, remove: bool = False) -> None:
        """Give the lock back; with `remove`, drop the directory first when it is empty."""
        if remove and not self.entries():
            (self.path / _LOCK_NAME).unlink(missing_ok=True)
            try:
                self.path.rmdir()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
        os.close(self._fd)
        os.close(self._lock)
