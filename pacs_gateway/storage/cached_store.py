"""A store's hot objects on this node's disk: what is read often, and what came in a moment ago, costs no download.

Objects never change, so a copy is right for as long as it is there; when in doubt it is left out. A copy gets its name
only when it is complete, checked and synced, and a spooled file that has been put is linked, not copied: half a file is
never served. All of the node's processes share one cache; when it grows beyond its limit, or the disk gets short of
room, what was not read for longest goes.
"""

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from pacs_gateway.domain.part10 import MAX_META_LENGTH, decode_head
from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.storage.files import read_at, translated, write_all
from pacs_gateway.storage.store import (
    CHUNK_SIZE,
    INSTANCE_PREFIX,
    Capacity,
    ObjectReader,
    ObjectStat,
    ObjectStore,
    Upload,
    check_key,
)

_log = logging.getLogger(__name__)

# Larger objects are read by ranges from the store: few of their bytes are wanted at a time. And no single one may push
# out most of the others.
_LARGEST_BYTES = 32 << 20
_LARGEST_FRACTION = 0.125
_KEPT_FRACTION = 0.9
_COUNTED_EVERY_S = 10.0
# A copy's time of modification is that of its last use, this exact: to write it at every read would cost more than
# reading.
_USE_EXACT_TO_S = 60.0
_N_LOCKS = 64
_LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Where the copies lie, and how much room they may take."""

    root: Path
    limit_bytes: int
    keep_free_fraction: float = 0.15
    """This part of the disk is left free ..."""
    keep_free_bytes: int = 30 << 30
    """... unless that is more than this: in both cases half as much again as the spool needs to take more."""


class CachedStore(ObjectStore):
    """A remote store behind a folder of copies; any number of threads and processes may share the folder."""

    def __init__(self, remote: ObjectStore, config: CacheConfig) -> None:
        self._remote = remote
        self._config = config
        self._locks = [threading.Lock() for _ in range(_N_LOCKS)]
        self._estimate_lock = threading.Lock()
        self._estimate: int | None = None
        """Bytes in the cache when they were counted, and those this process has added since."""
        self._counted_at = float("-inf")
        self._largest_bytes = min(_LARGEST_BYTES, int(config.limit_bytes * _LARGEST_FRACTION))
        config.root.mkdir(parents=True, exist_ok=True, mode=0o750)

    # -- putting

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` as the object `key`."""
        self._remote.put(key, data)

    def put_file(self, upload: Upload) -> None:
        """Keep a local file as an object; the file itself becomes the copy."""
        self._remote.put_file(upload)
        self._link(upload)

    def put_files(self, uploads: Sequence[Upload]) -> list[GatewayError | None]:
        """Put many files; those that were put become copies."""
        outcomes = self._remote.put_files(uploads)
        for upload, error in zip(uploads, outcomes, strict=True):
            if error is None:
                self._link(upload)
        return outcomes

    # -- reading

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Open an object for ranged reads: its copy, made now if it is small enough, or the object itself."""
        path = self._path(key)
        fd = _open_copy(path)
        with ExitStack() as stack:
            if fd is None:
                # One download for all who ask for an object at the same time; others rarely share its lock.
                with self._locks[hash(key) % _N_LOCKS]:
                    fd = _open_copy(path)
                    if fd is None:
                        remote = stack.enter_context(self._remote.open(key))
                        fd = self._fill(key, path, remote)
                if fd is None:
                    yield remote
                    return
            stack.callback(os.close, fd)
            yield _CopyReader(fd)

    def checksum(self, key: str, offset: int = 0) -> str:
        """Return the SHA-256 (hex) of the object itself, whatever the copy may be."""
        return self._remote.checksum(key, offset)

    def stat(self, key: str) -> ObjectStat:
        """Return what the store knows of an object."""
        return self._remote.stat(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of the store that begin with `prefix`."""
        return self._remote.list(prefix)

    # -- the rest

    def delete(self, key: str) -> None:
        """Remove an object and its copy here; copies on other nodes stay until they are not read any more."""
        path = self._path(key)
        with self._locks[hash(key) % _N_LOCKS]:
            self._remote.delete(key)
            with suppress(OSError):
                path.unlink()

    def probe(self) -> None:
        """Do nothing if the store takes and gives objects."""
        self._remote.probe()

    def capacity(self) -> Capacity | None:
        """Return the room there is in the store."""
        return self._remote.capacity()

    def tidy(self) -> None:
        """Drop what was not read for longest while the cache is too large or the disk short of room."""
        with translated("the cache"):
            if self._is_short_of_room(0) or monotonic() - self._counted_at > _COUNTED_EVERY_S:
                self._evict(0)

    def close(self) -> None:
        """Release what the store holds open."""
        self._remote.close()

    # -- the folder of copies

    def _path(self, key: str) -> Path:
        # One level of folders whatever the key looks like, and names of one form.
        name = hashlib.sha256(check_key(key).encode("ascii")).hexdigest()
        return self._config.root / name[:2] / name

    def _link(self, upload: Upload) -> None:
        """Make a file that has just been put the copy of its object; nothing depends on whether that works."""
        try:
            if upload.size_bytes > self._largest_bytes or not self._makes_room(upload.size_bytes):
                return
            path = self._path(upload.key)
            path.parent.mkdir(exist_ok=True, mode=0o750)
            os.link(upload.path, path, follow_symlinks=False)
            self._add(upload.size_bytes)
            os.utime(path)
        except FileExistsError:
            return
        except OSError as error:  # another file system, or none of it left
            _log.debug("no copy of %s is kept: %s", upload.key, error.strerror)

    def _fill(self, key: str, path: Path, remote: ObjectReader) -> int | None:
        """Copy an object to this disk; return the copy's descriptor, None where there is to be no copy.

        Raises
        ------
        GatewayError
            The store does not give the object; whatever fails on this disk is no reason not to.
        """
        if remote.size_bytes > self._largest_bytes:
            return None
        try:
            if not self._makes_room(remote.size_bytes):
                return None
            path.parent.mkdir(exist_ok=True, mode=0o750)
            fd = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o640)
        except OSError as error:
            _log.debug("no copy of %s is kept: %s", key, error.strerror)
            return None
        is_kept = False
        try:
            is_kept = self._copy(key, remote, fd) and self._publish(fd, path, remote.size_bytes)
        except OSError as error:
            _log.debug("no copy of %s is kept: %s", key, error.strerror)
        finally:
            if not is_kept:
                os.close(fd)
        return fd if is_kept else None

    def _copy(self, key: str, remote: ObjectReader, fd: int) -> bool:
        """Write all of an object to `fd`; return whether it is what its key says."""
        check = _Check(key)
        if remote.size_bytes <= CHUNK_SIZE:
            # Whole objects are checked by stores that keep a checksum.
            pieces: Iterator[bytes] = iter((self._remote.read(key),))
        else:
            pieces = remote.stream()
        n_bytes = 0
        for piece in pieces:
            check.update(piece)
            write_all(fd, piece)
            n_bytes += len(piece)
        return n_bytes == remote.size_bytes and check.is_right()

    def _publish(self, fd: int, path: Path, size_bytes: int) -> bool:
        # Only synced bytes get a name: after a crash a file may have its length and not its content.
        os.fdatasync(fd)
        with suppress(FileExistsError):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.link(f"/proc/self/fd/{fd}", path.name, dst_dir_fd=folder, follow_symlinks=True)
            finally:
                os.close(folder)
            self._add(size_bytes)
        return True

    # -- room

    def _add(self, size_bytes: int) -> None:
        with self._estimate_lock:
            if self._estimate is not None:
                self._estimate += size_bytes

    def _makes_room(self, size_bytes: int) -> bool:
        """Return whether there is room for another copy, after dropping old ones if need be."""
        with self._estimate_lock:
            is_full = self._estimate is None or self._estimate + size_bytes > self._config.limit_bytes
        if is_full or self._is_short_of_room(size_bytes):
            return self._evict(size_bytes)
        return True

    def _is_short_of_room(self, size_bytes: int) -> bool:
        facts = os.statvfs(self._config.root)
        total = facts.f_blocks * facts.f_frsize
        mark = min(total * self._config.keep_free_fraction, self._config.keep_free_bytes)
        return facts.f_bavail * facts.f_frsize - size_bytes < mark

    def _evict(self, size_bytes: int) -> bool:
        """Drop copies until there is room for `size_bytes` more; False if there is none, or another process drops."""
        lock = os.open(self._config.root / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._evict_oldest(size_bytes)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)

    def _evict_oldest(self, size_bytes: int) -> bool:
        copies = sorted(_copies(self._config.root))
        total = sum(size for _, size, _ in copies)
        limit = self._config.limit_bytes
        if total + size_bytes > limit:
            # Some more at once, so that not every copy that comes has to look through all of them.
            limit = int(limit * _KEPT_FRACTION)
        n_dropped = 0
        for _, size, path in copies:
            if total + size_bytes <= limit and not self._is_short_of_room(size_bytes):
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
            n_dropped += 1
        with self._estimate_lock:
            self._estimate = total
        self._counted_at = monotonic()
        if n_dropped:
            _log.debug("%d copies dropped from the cache", n_dropped)
        return total + size_bytes <= self._config.limit_bytes and not self._is_short_of_room(size_bytes)


class _CopyReader(ObjectReader):
    """An open copy; it can be read even if it is dropped meanwhile."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        super().__init__(os.fstat(fd).st_size)
        self._fd = fd

    def _read(self, offset: int, length: int) -> bytes:
        with translated("the cache"):
            return read_at(self._fd, offset, length)


class _Check:
    """Compares a received object with the digest that its key carries: that of the data set behind its head."""

    def __init__(self, key: str) -> None:
        name = key.rpartition("/")[2]
        self._expected = name.removesuffix(".dcm") if key.startswith(INSTANCE_PREFIX) else None
        self._digest = hashlib.sha256()
        self._is_begun = False

    def update(self, piece: bytes) -> None:
        """Take the next bytes; the first piece has the whole head."""
        if self._expected is None:
            return
        start = 0
        if not self._is_begun:
            self._is_begun = True
            with suppress(InvalidInstanceError):
                decoded = decode_head(piece[: MAX_META_LENGTH + 1024])
                start = decoded[1] if decoded is not None else 0
        self._digest.update(memoryview(piece)[start:])

    def is_right(self) -> bool:
        """Return whether the bytes are those of the key, as far as the key says."""
        return self._expected in (None, self._digest.hexdigest())


def _open_copy(path: Path) -> int | None:
    """Return the descriptor of a copy and note that it is used; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if time.time() - os.fstat(fd).st_mtime > _USE_EXACT_TO_S:
        with suppress(OSError):
            os.utime(fd)
    return fd


def _copies(root: Path) -> Iterator[tuple[float, int, str]]:
    """Yield when each copy was last used, its size and its path."""
    for folder in sorted(root.iterdir()):
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    yield facts.st_mtime, facts.st_size, entry.path
