"""Importing files, folders and ZIP archives; one bad file does not stop the rest."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from pacs_gateway.archive.ingest import Ingest
from pacs_gateway.domain.instance import Origin
from pacs_gateway.errors import CapacityError, GatewayError, InvalidInstanceError, UnavailableError
from pacs_gateway.index.rows import Outcome

_CHUNK_BYTES = 1 << 20
# Enough to keep the disk and one group commit busy.
_N_THREADS = 8
# Promises B8: a small archive must not fill the disk, nor an archive of archives go on for ever.
_MAX_ENTRIES = 100_000
_MAX_DIRECTORY_BYTES = 16 << 20
_MAX_RATIO = 100
_RATIO_FLOOR_BYTES = 64 << 20
_ENTRY_MAGIC = b"PK\1\2"
# What files, archives and their decompressors raise where they cannot be read.
_UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file."""

    name: str
    outcome: Outcome | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    open: Callable[[], IO[bytes]]
    """Only while it is the turn of this one; what it returns may be read later, by another thread."""
    max_bytes: int | None = None


def import_paths(ingest: Ingest, paths: Iterable[Path], origin: Origin) -> Iterator[Imported]:
    """Take every file under `paths` in, several at a time, and yield what became of each once queries see it.

    Raises
    ------
    CapacityError, UnavailableError
        The disk is full or the index away: going on would only fail for every file.
    """
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="import") as pool:
        under_way: set[Future[Imported]] = set()
        for candidate in _candidates(paths):
            if isinstance(candidate, Imported):
                yield candidate
                continue
            try:
                file = candidate.open()
            except _UNREADABLE as error:
                yield _unreadable(candidate.name, error)
                continue
            under_way.add(pool.submit(_import, ingest, candidate, file, origin))
            if len(under_way) >= 2 * _N_THREADS:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        for future in under_way:
            yield future.result()


def count_files(paths: Iterable[Path]) -> int:
    """Return how many files ``import_paths`` would look at, for a progress bar."""
    return sum(1 for _ in _candidates(paths))


def _import(ingest: Ingest, candidate: _Candidate, file: IO[bytes], origin: Origin) -> Imported:
    try:
        with file:
            reception = ingest.receive_part10(origin)
            try:
                taken = 0
                while chunk := file.read(_CHUNK_BYTES):
                    taken += len(chunk)
                    if candidate.max_bytes is not None and taken > candidate.max_bytes:
                        raise InvalidInstanceError("the archive's entry is larger than it says")
                    reception.write(chunk)
                stored = reception.finish(wait_for_index=True)
            finally:
                reception.discard()
    except (CapacityError, UnavailableError):
        raise
    except GatewayError as error:
        return Imported(candidate.name, None, str(error))
    except _UNREADABLE as error:
        return _unreadable(candidate.name, error)
    return Imported(candidate.name, stored.outcome)


def _unreadable(name: str, error: Exception) -> Imported:
    return Imported(name, None, f"cannot be read: {type(error).__name__}")


def _candidates(paths: Iterable[Path]) -> Iterator[_Candidate | Imported]:
    for path in paths:
        if path.is_dir():
            for child in sorted(path.rglob("*")):
                # Hidden files are a computer's own notes on a folder, never images.
                if child.is_file() and not child.is_symlink() and not child.name.startswith("."):
                    yield from _of_file(child)
        elif path.is_file():
            yield from _of_file(path)
        else:
            yield Imported(str(path), None, "there is no such file or folder")


def _of_file(path: Path) -> Iterator[_Candidate | Imported]:
    # A DICOMDIR lists the other files of a medium; it is no object of its own (PS3.10 8.6).
    if path.name.upper() == "DICOMDIR":
        return
    if zipfile.is_zipfile(path) and not _is_part10(path):
        yield from _of_archive(path)
    else:
        yield _Candidate(str(path), partial(_open_file, path))


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _of_archive(path: Path) -> Iterator[_Candidate | Imported]:
    try:
        _check_directory(path)
        # Entries are opened here, one after the other, and read by threads: an archive that each thread opened for
        # itself would have its whole directory read again for every entry.
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and entry.filename.upper().rpartition("/")[2] != "DICOMDIR":
                    yield _of_entry(path, archive, entry)
    except InvalidInstanceError as error:
        yield Imported(str(path), None, str(error))
    except _UNREADABLE as error:
        yield _unreadable(str(path), error)


def _of_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Candidate | Imported:
    name = f"{path}:{entry.filename}"
    if entry.file_size > max(entry.compress_size * _MAX_RATIO, _RATIO_FLOOR_BYTES):
        return Imported(name, None, "the archive's entry is packed beyond reason")
    return _Candidate(name, partial(archive.open, entry), max_bytes=entry.file_size)


def _check_directory(path: Path) -> None:
    """Read the directory of an archive, which goes into memory whole, if it has a reasonable size.

    Raises
    ------
    InvalidInstanceError
        It has too many entries, or too much in them.
    """
    with _DirectoryReader(io.FileIO(path)) as file, zipfile.ZipFile(file):
        pass


class _DirectoryReader(io.BufferedReader):
    """Looks at what is read of an archive while it is opened, before objects are made of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes, unless they are more than those of a reasonable directory."""
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise InvalidInstanceError(f"the archive's directory is larger than {_MAX_DIRECTORY_BYTES >> 20} MiB")
        data = super().read(size)
        if data.count(_ENTRY_MAGIC) > _MAX_ENTRIES:
            raise InvalidInstanceError(f"the archive has more than {_MAX_ENTRIES} entries")
        return data


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")
