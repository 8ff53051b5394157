"""Objects as files under one folder: the store of an embedded gateway.

A file gets its name only when it is complete and synced (nameless file, fsync, link, fsync of the folder), so a crash
leaves whole objects or none, and ``link`` never replaces a name. A spooled file on the same file system is not copied:
it gets a second name. Every path is walked from the open root, one folder at a time, without following symbolic links.
"""

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pacs_gateway.errors import (
    CapacityError,
    ConflictError,
    GatewayError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from pacs_gateway.storage.files import (
    FULL,
    READ,
    copy,
    make_durable_folder,
    opened_upload,
    read_at,
    same_bytes,
    translated,
    write_all,
)
from pacs_gateway.storage.store import (
    Capacity,
    ObjectReader,
    ObjectStat,
    ObjectStore,
    Upload,
    check_key,
    check_prefix,
    is_key,
)

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_DRAFTS = ".drafts"
"""Folder of unfinished files where the file system has no nameless ones; never a segment of a key."""
_ABANDONED_AFTER_S = 86_400
"""Age at which a draft has no writer any more: none is written for a day, whatever process or node it belongs to."""

# Another file system, one without hard links, too many links, or a file this user may read but not link.
_NOT_LINKABLE = frozenset({errno.EXDEV, errno.EOPNOTSUPP, errno.EMLINK, errno.EPERM})
_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


class _FileReader(ObjectReader):
    __slots__ = ("_fd", "_key")

    def __init__(self, key: str, fd: int, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._key = key
        self._fd = fd

    def _read(self, offset: int, length: int) -> bytes:
        with translated(self._key):
            return read_at(self._fd, offset, length)


class FilesystemStore(ObjectStore):
    """Keeps objects as files under `root`, which is made if it is not there.

    Any number of threads and processes may have the same root open. Not for network file systems that do not keep
    POSIX promises on ``link`` and ``fsync``.

    Notes
    -----
    After a failed fsync the kernel may have dropped what it could not write and will call the next fsync a success.
    So the store then takes no more puts until it is opened anew; reading goes on.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._synced: set[str] = set()  # folders whose own name is known to be durable
        self._fenced = False
        self._root_fd = -1
        with translated(f"object folder {self._root}"):
            make_durable_folder(self._root)
            self._root_fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._remove_abandoned_drafts()

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` as the object `key`."""
        folder, name = _split(key)
        with self._writing(key) as touched, self._folder(folder, touched) as folder_fd, self._draft(folder_fd) as fd:
            write_all(fd, data)
            self._sync(fd)
            self._publish(fd, folder_fd, name)

    def put_file(self, upload: Upload) -> None:
        """Give a complete, synced local file a second name as an object, or copy it from another file system."""
        (error,) = self.put_files((upload,))
        if error is not None:
            raise error

    def put_files(self, uploads: Sequence[Upload]) -> list[GatewayError | None]:
        """Link many files, then sync each folder once.

        A journal commits all links with the first of these syncs, so the others cost little. If one fails, none counts.
        """
        try:
            with self._writing("object folder") as touched:
                outcomes = [self._refusal(upload, touched) for upload in uploads]
        except (UnavailableError, CapacityError) as error:
            return [error] * len(uploads)
        return outcomes

    def _refusal(self, upload: Upload, touched: set[str]) -> GatewayError | None:
        """Link one of many files; return what is wrong with this one alone, if anything."""
        try:
            with translated(upload.key, missing=UnavailableError):
                self._put_file(upload, touched)
        except (ConflictError, IntegrityError, NotFoundError) as error:
            return error
        return None

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Open an object for ranged reads."""
        folder, name = _split(key)
        with translated(key), self._folder(folder) as folder_fd:
            fd, size_bytes = _open_object(name, folder_fd)
        try:
            yield _FileReader(key, fd, size_bytes)
        finally:
            os.close(fd)

    def stat(self, key: str) -> ObjectStat:
        """Return the size of an object."""
        with self.open(key) as reader:
            return ObjectStat(reader.size_bytes)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`; the names of one folder at a time are held in memory."""
        folder, _, _ = check_prefix(prefix).rpartition("/")
        yield from self._walk(folder, prefix)

    def delete(self, key: str) -> None:
        """Remove an object's name and sync its folder."""
        folder, name = _split(key)
        self._refuse_if_fenced()
        with suppress(NotFoundError), translated(key), self._folder(folder) as folder_fd:
            with suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder_fd)
            # Even if nothing was there: whoever removed it may not have synced yet.
            self._sync(folder_fd)

    def probe(self) -> None:
        """Do nothing unless the store is fenced, its folder is gone, or its disk does not take writes."""
        self._refuse_if_fenced()
        with translated(f"object folder {self._root}"):
            if os.fstat(self._root_fd).st_nlink == 0:
                raise UnavailableError(f"object folder {self._root}: removed")
            # A file system that finds itself damaged goes read-only (ext4, errors=remount-ro).
            if os.fstatvfs(self._root_fd).f_flag & os.ST_RDONLY:
                raise UnavailableError(f"object folder {self._root}: mounted read-only")

    def capacity(self) -> Capacity:
        """Return the room of the file system the root is on."""
        with translated(f"object folder {self._root}"):
            facts = os.fstatvfs(self._root_fd)
        return Capacity(facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize)

    def local_path(self, key: str) -> Path:
        """Return the file that is the object."""
        self.stat(key)
        return self._root / key

    def close(self) -> None:
        """Close the root; open readers stay open."""
        fd, self._root_fd = self._root_fd, -1
        if fd >= 0:
            os.close(fd)

    # -- writing -------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, what: str) -> Iterator[set[str]]:
        """Yield a set for the folders that get new names, and sync them when all names are there."""
        self._refuse_if_fenced()
        touched: set[str] = set()
        with translated(what, missing=UnavailableError):
            yield touched
            for folder in sorted(touched):
                with self._folder(folder) as fd:
                    self._sync(fd)
            # The kernel tells of a failed sync once; it may have told another thread.
            self._refuse_if_fenced()
            # Only now: a folder's name is durable when the folder above it has been synced.
            self._synced |= touched

    def _put_file(self, upload: Upload, touched: set[str]) -> None:
        folder, name = _split(upload.key)
        with opened_upload(upload) as source, self._folder(folder, touched) as folder_fd:
            try:
                self._publish(source, folder_fd, name)
            except OSError as error:
                if error.errno not in _NOT_LINKABLE:
                    raise
            else:
                return
            with self._draft(folder_fd) as fd:
                _check_copy(copy(source, fd), upload)
                self._sync(fd)
                self._publish(fd, folder_fd, name)

    def _publish(self, fd: int, folder_fd: int, name: str) -> None:
        """Give the open file `fd` its name; if the name is taken, its bytes must be the same.

        The caller syncs the folder in either case: whoever was first may not have done so yet.
        """
        try:
            # Through /proc the very file that was opened is linked, named or not (open(2), O_TMPFILE).
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder_fd, follow_symlinks=True)
        except FileExistsError:
            self._accept_same(fd, folder_fd, name)

    def _accept_same(self, fd: int, folder_fd: int, name: str) -> None:
        try:
            existing, _ = _open_object(name, folder_fd)
        except FileNotFoundError:  # deleted since
            self._publish(fd, folder_fd, name)
            return
        except NotFoundError as error:
            raise ConflictError(f"{name} is a folder") from error
        try:
            if not same_bytes(fd, existing):
                raise ConflictError(f"{name} holds other bytes")
        finally:
            os.close(existing)

    @contextmanager
    def _draft(self, folder_fd: int) -> Iterator[int]:
        """Open a file that has no name, or none that is a key, and is gone afterwards unless it was published."""
        try:
            fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE, dir_fd=folder_fd)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
        else:
            try:
                yield fd
            finally:
                os.close(fd)
            return
        with self._named_draft() as fd:
            yield fd

    @contextmanager
    def _named_draft(self) -> Iterator[int]:
        name = f"{_DRAFTS}/{secrets.token_hex(16)}"
        with suppress(FileExistsError):
            os.mkdir(_DRAFTS, _FOLDER_MODE, dir_fd=self._root_fd)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        fd = os.open(name, flags, _FILE_MODE, dir_fd=self._root_fd)
        try:
            yield fd
        finally:
            os.close(fd)
            with suppress(OSError):  # what cannot be removed now is removed as abandoned
                os.unlink(name, dir_fd=self._root_fd)

    def _remove_abandoned_drafts(self) -> None:
        with suppress(FileNotFoundError), self._folder(_DRAFTS) as fd, os.scandir(fd) as entries:
            oldest = time.time() - _ABANDONED_AFTER_S
            for entry in entries:
                with suppress(FileNotFoundError):  # another process opens the store at the same time
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.name, dir_fd=fd)

    def _sync(self, fd: int) -> None:
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in FULL:
                self._fenced = True
            raise

    def _refuse_if_fenced(self) -> None:
        if self._fenced:
            raise UnavailableError(f"object folder {self._root}: a sync failed; check the disk, then start again")

    # -- walking -------------------------------------------------------------------------------------------------

    @contextmanager
    def _folder(self, folder: str, touched: set[str] | None = None) -> Iterator[int]:
        """Open a folder below the root, step by step.

        With `touched`, the folder is about to get a new name: missing folders are made, and all folders are noted
        that must be synced for the name to last.
        """
        fd = os.open(".", _FOLDER, dir_fd=self._root_fd)
        try:
            above = ""
            for name in folder.split("/") if folder else ():
                path = f"{above}/{name}" if above else name
                below = self._step(fd, name, path, make=touched is not None)
                os.close(fd)
                fd = below
                # Whoever made the folder, perhaps another process, may not have synced the one above it yet.
                if touched is not None and path not in self._synced:
                    touched.add(above)
                above = path
            if touched is not None:
                touched.add(folder)
            yield fd
        finally:
            os.close(fd)

    def _step(self, fd: int, name: str, path: str, *, make: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            if not make:
                raise
        except NotADirectoryError as error:  # a symbolic link also is none
            if make:
                raise ConflictError(f"{path} is not a folder") from error
            raise
        self._synced.discard(path)
        with suppress(FileExistsError):
            os.mkdir(name, _FOLDER_MODE, dir_fd=fd)
        return os.open(name, _FOLDER, dir_fd=fd)

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        for name in self._names(folder):
            key = f"{folder}/{name}" if folder else name
            if not key.startswith(prefix):
                continue
            if name.endswith("/"):
                yield from self._walk(key[:-1], prefix)
            else:
                yield key

    def _names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder in the order of the keys below them, those of folders with a slash."""
        names = []
        what = folder or "object folder"
        with suppress(NotFoundError), translated(what), self._folder(folder) as fd, os.scandir(fd) as entries:
            for entry in entries:
                if not is_key(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    names.append(f"{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
        # With its slash a folder sorts behind "name-1" and "name.x", where its keys belong.
        return tuple(sorted(names))


def _split(key: str) -> tuple[str, str]:
    folder, _, name = check_key(key).rpartition("/")
    return folder, name


def _open_object(name: str, folder_fd: int) -> tuple[int, int]:
    """Open an object's file; return its descriptor and its size in bytes."""
    fd = os.open(name, READ, dir_fd=folder_fd)
    facts = os.fstat(fd)
    if stat.S_ISREG(facts.st_mode):
        return fd, facts.st_size
    os.close(fd)
    if stat.S_ISDIR(facts.st_mode):
        raise NotFoundError(f"{name}: a folder, not an object")
    raise IntegrityError(f"{name}: not a regular file")


def _check_copy(copied: tuple[int, str], upload: Upload) -> None:
    size_bytes, sha256 = copied
    if size_bytes != upload.size_bytes:
        raise IntegrityError(f"{upload.key}: the file has {size_bytes} bytes, not {upload.size_bytes}")
    if upload.sha256 not in (None, sha256):
        raise IntegrityError(f"{upload.key}: the file has another checksum than it should")
