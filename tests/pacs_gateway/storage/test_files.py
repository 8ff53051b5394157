import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pacs_gateway.errors import (
    CapacityError,
    ConflictError,
    GatewayError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from pacs_gateway.storage.files import copy, make_durable_folder, read_at, same_bytes, translated, write_all
from pacs_gateway.storage.store import CHUNK_SIZE


class Files:
    """Makes open files and closes them all."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._n = 0

    def open(self, data: bytes = b"") -> int:
        self._n += 1
        path = self._folder / str(self._n)
        path.write_bytes(data)
        return self._stack.enter_context(closing(path.open("rb+", buffering=0))).fileno()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with ExitStack() as stack:
        yield Files(tmp_path, stack)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, CapacityError),
        (errno.EDQUOT, CapacityError),
        (errno.EFBIG, CapacityError),
        (errno.ENOENT, NotFoundError),
        (errno.ENOTDIR, NotFoundError),
        (errno.ELOOP, IntegrityError),
        (errno.EIO, UnavailableError),
        (errno.EROFS, UnavailableError),
        (errno.EACCES, UnavailableError),
        (errno.EMFILE, UnavailableError),
        (errno.EBADF, UnavailableError),
    ],
)
def test_system_errors_become_ours_with_their_cause(number: int, error: type[GatewayError]) -> None:
    cause = OSError(number, "said by the system", "/a/path")
    with pytest.raises(error, match=r"^the spool: ") as caught, translated("the spool"):
        raise cause
    assert caught.value.__cause__ is cause
    assert "/a/path" not in str(caught.value)


def test_missing_file_means_what_the_caller_says() -> None:
    with pytest.raises(UnavailableError), translated("the spool", missing=UnavailableError):
        raise FileNotFoundError(errno.ENOENT, "")


def test_our_own_errors_pass_unchanged() -> None:
    error = ConflictError("other bytes")
    with pytest.raises(ConflictError) as caught, translated("the spool"):
        raise error
    assert caught.value is error


def test_error_without_a_number_is_unavailable() -> None:
    with pytest.raises(UnavailableError), translated("the spool"):
        raise OSError


def test_durable_folder_may_be_there_already(tmp_path: Path) -> None:
    make_durable_folder(tmp_path / "a" / "b")
    make_durable_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_durable_folder_is_not_made_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="exists"):
        make_durable_folder(tmp_path / "a")


def test_bytes_written_are_read_at_their_place(files: Files) -> None:
    fd = files.open()
    write_all(fd, b"0123456789")
    write_all(fd, b"")
    assert read_at(fd, 3, 4) == b"3456"
    assert read_at(fd, 8, 4) == b"89"
    assert read_at(fd, 10, 4) == b""


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
def test_copy_appends_everything_and_says_what_it_was(files: Files, size: int) -> None:
    data = os.urandom(size)
    source, target = files.open(data), files.open()
    assert copy(source, target) == (size, hashlib.sha256(data).hexdigest())
    assert read_at(target, 0, size + 1) == data


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"", b"", True),
        (b"a", b"a", True),
        (b"a", b"b", False),
        (b"a", b"", False),
        (bytes(2 * CHUNK_SIZE + 1), bytes(2 * CHUNK_SIZE + 1), True),
        (bytes(2 * CHUNK_SIZE + 1), bytes(2 * CHUNK_SIZE) + b"a", False),
    ],
    ids=range(6),
)
def test_same_bytes_compares_everything(files: Files, one: bytes, other: bytes, same: bool) -> None:
    assert same_bytes(files.open(one), files.open(other)) is same


def test_file_is_the_same_as_itself(files: Files) -> None:
    fd = files.open(b"a")
    assert same_bytes(fd, fd)
