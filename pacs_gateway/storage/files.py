"""Files by descriptor: complete reads and writes, durable folders, and the system's errors in the gateway's words.

What the filesystem backend does with single files, and whoever else keeps bytes on a local disk.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacs_gateway.errors import CapacityError, GatewayError, IntegrityError, NotFoundError, UnavailableError
from pacs_gateway.storage.store import CHUNK_SIZE, Upload

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""How a file is opened that should be regular: opening somebody's FIFO must not block."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room: the disk, the quota or the limit of a file's size (RLIMIT_FSIZE)."""
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


@contextmanager
def translated(what: str, missing: type[GatewayError] = NotFoundError) -> Iterator[None]:
    """Turn the system's errors into the gateway's.

    Parameters
    ----------
    what
        What is being worked on, for the message; no patient data.
    missing
        What a missing file means.
    """
    try:
        yield
    except OSError as error:
        raise _translation(error, what, missing) from error


def _translation(error: OSError, what: str, missing: type[GatewayError]) -> GatewayError:
    reason = f"{what}: {os.strerror(error.errno or errno.EIO)}"
    if error.errno in FULL:
        return CapacityError(reason)
    if error.errno in _MISSING:
        return missing(reason)
    if error.errno == errno.ELOOP:  # O_NOFOLLOW met a symbolic link: we never make one
        return IntegrityError(f"{what}: not a regular file")
    return UnavailableError(reason)


def make_durable_folder(path: Path, mode: int = 0o750) -> None:
    """Make a folder and those above it, each durable before the next."""
    if path.is_dir():
        return
    make_durable_folder(path.parent, mode)
    path.mkdir(mode, exist_ok=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many pieces as the system wants."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Return `length` bytes from `offset`; fewer only where the file ends."""
    first = os.pread(fd, length, offset)
    if len(first) == length or not first:
        return first
    # Linux gives at most 2 GiB at a time (read(2)).
    pieces = [first]
    got = len(first)
    while got < length and (piece := os.pread(fd, length - got, offset + got)):
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)


def copy(source: int, target: int) -> tuple[int, str]:
    """Append all bytes of `source` to `target`; return their number and their SHA-256 (hex)."""
    digest = hashlib.sha256()
    offset = 0
    while chunk := os.pread(source, CHUNK_SIZE, offset):
        digest.update(chunk)
        write_all(target, chunk)
        offset += len(chunk)
    return offset, digest.hexdigest()


def same_bytes(one: int, other: int) -> bool:
    """Return whether two files have the same content."""
    facts, others = os.fstat(one), os.fstat(other)
    if os.path.samestat(facts, others):
        return True
    if facts.st_size != others.st_size:
        return False
    return all(
        read_at(one, offset, CHUNK_SIZE) == read_at(other, offset, CHUNK_SIZE)
        for offset in range(0, facts.st_size, CHUNK_SIZE)
    )


@contextmanager
def opened_upload(upload: Upload) -> Iterator[int]:
    """Open the file to put, which must be there, regular and of the right size."""
    try:
        fd = os.open(upload.path, READ)
    except FileNotFoundError as error:
        raise NotFoundError(f"{upload.key}: the file to put is not there") from error
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise IntegrityError(f"{upload.key}: what should be put is not a regular file")
        if facts.st_size != upload.size_bytes:
            raise IntegrityError(f"{upload.key}: the file has {facts.st_size} bytes, not {upload.size_bytes}")
        yield fd
    finally:
        os.close(fd)
