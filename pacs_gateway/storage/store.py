"""The object store contract: immutable objects under keys that carry a hash of their content.

The spool hands complete files over to it, readers take ranges out of it, scrub and rebuild walk through it. Objects are
never changed and never overwritten, so what has been read once stays true. Each backend stands beside this module and
passes the contract's test suite; all of them may be used by many threads and many processes at once.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pacs_gateway.errors import CapacityError, GatewayError, IntegrityError, NotFoundError, UnavailableError

INSTANCE_PREFIX = "instances/"
"""Every received object is under this prefix: what a rebuild of the index lists."""
DERIVED_PREFIX = "derived/"
"""What can be made again from instances: thumbnails, metadata, inflated companions."""
REMOVAL_PREFIX = "removals/"
"""Who has taken what out of sight, and who has restored it: what a rebuild needs beside the instances."""

CHUNK_SIZE = 1 << 20
"""Bytes per read where an object is walked through: large enough for a disk, small beside 2 GiB objects."""

MAX_KEY_LENGTH = 512
# Names that begin with a dot are the backends' own; lower case only, for file systems that fold case.
_SEGMENT = r"[a-z0-9][a-z0-9._-]{0,254}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_key(text: str) -> bool:
    """Return whether `text` can name an object on every backend.

    Segments of lower-case letters, digits, ``.``, ``_`` and ``-`` that begin with a letter or digit, joined by single
    slashes; at most 255 characters each and 512 in all.
    """
    return len(text) <= MAX_KEY_LENGTH and _KEY.fullmatch(text) is not None


def check_key(key: str) -> str:
    """Return `key` unchanged when it is one (see `is_key`).

    Raises
    ------
    IntegrityError
        Without the text: keys are made here from hashes, so another text is not ours and may be anything.
    """
    if not is_key(key):
        raise IntegrityError("not an object key")
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` unchanged when keys may begin with it: empty, a key, or a key and a slash.

    Raises
    ------
    IntegrityError
        Without the text.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def object_key(digest: str) -> str:
    """Return the key of the received object whose data set has the SHA-256 `digest` (64 hexadecimal digits)."""
    # One level of 256 folders: measured on ext4, two levels cost twice the time per small object (most of them make a
    # folder), and 78,000 names in each at twenty million objects are nothing to a file system with hashed directories.
    return f"{INSTANCE_PREFIX}{_check_digest(digest)[:2]}/{digest}.dcm"


def derived_key(digest: str, name: str) -> str:
    """Return the key of what was derived from the received object `digest`.

    Parameters
    ----------
    digest
        SHA-256 of the source's data set, 64 hexadecimal digits.
    name
        What it is and by which recipe, for instance ``thumbnail-1.jpg``: objects are immutable, so a recipe that
        gives other bytes needs another name. One segment of a key.
    """
    if "/" in check_key(name):
        raise IntegrityError("not a name of a derived object")
    return check_key(f"{derived_prefix(digest)}{name}")


def removal_key(token: str, name: str) -> str:
    """Return the key of what is told of the removal `token`."""
    return check_key(f"{REMOVAL_PREFIX}{token}/{name}")


def derived_prefix(digest: str) -> str:
    """Return the text with which the key of everything derived from the received object `digest` begins."""
    return f"{DERIVED_PREFIX}{_check_digest(digest)[:2]}/{digest}."


def _check_digest(digest: str) -> str:
    if _SHA256.fullmatch(digest) is None:
        raise IntegrityError("not a SHA-256 digest")
    return digest


@dataclass(frozen=True, slots=True)
class Upload:
    """A complete local file that is to become an object."""

    key: str
    path: Path
    """The file; nobody writes to it any more, and its bytes are fsynced."""
    size_bytes: int
    """What the file must measure: a file that lost its end is never taken."""
    sha256: str | None = None
    """SHA-256 (hex) of the whole file if known; checked by every backend that copies the bytes."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a store knows of an object without reading it."""

    size_bytes: int
    sha256: str | None = None
    """SHA-256 (hex) of the whole object, where the store keeps it."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room of the volume a store is on."""

    free_bytes: int
    """What this process may still write."""
    total_bytes: int


class ObjectReader(ABC):
    """One open object; any number of threads may read from it."""

    __slots__ = ("size_bytes",)

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`.

        Raises
        ------
        IntegrityError
            When the range is not wholly inside the object, or fewer bytes come back than there should be.
        """
        self._check_range(offset, length)
        data = self._read(offset, length) if length else b""
        if len(data) != length:
            raise IntegrityError(f"short read: {len(data)} of {length} bytes at {offset}")
        return data

    def stream(self, offset: int = 0, length: int | None = None, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Yield `length` bytes (None: up to the end) from `offset`, in pieces of `chunk_size`."""
        end = self.size_bytes if length is None else offset + length
        self._check_range(offset, end - offset)
        for start in range(offset, end, chunk_size):
            yield self.read(start, min(chunk_size, end - start))

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise IntegrityError(f"no bytes {offset}+{length} in an object of {self.size_bytes}")

    @abstractmethod
    def _read(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range that is inside the object, fewer if the backend has no more."""


class ObjectStore(ABC):
    """Keeps immutable objects under keys; thread-safe, synchronous.

    A key is never the folder of another key (``a`` and ``a/b``); the functions that make keys here see to that.

    Raises
    ------
    NotFoundError
        From every read of a key that is not there.
    CapacityError
        When there is no room for a put.
    UnavailableError
        When the store cannot be reached or may not be trusted to write; what was put before is not affected.
    IntegrityError
        When bytes and facts disagree, and for keys that are none.
    """

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Keep `data` as the object `key`; it is durable on return. For small things: thumbnails, metadata.

        Putting the same bytes again is success and changes nothing.

        Raises
        ------
        ConflictError
            When `key` holds other bytes; they stay.
        """

    @abstractmethod
    def put_file(self, upload: Upload) -> None:
        """Keep a complete local file as an object; it is durable on return, and the file stays where it is.

        A backend on the same file system makes the file itself the object, so it must never be written to again.
        Putting the same bytes again is success and changes nothing.

        Raises
        ------
        ConflictError
            When the key holds other bytes; they stay.
        IntegrityError
            When the file has not the size or the checksum it should have; nothing is put.
        NotFoundError
            When there is no such file.
        """

    def put_files(self, uploads: Sequence[Upload]) -> list[GatewayError | None]:
        """Put many files, oldest first and cheaper than one by one where the backend can; return what became of each.

        Returns
        -------
        list
            For each upload, in their order: None once it is durable, else why it is not. A culprit stops no other;
            after UnavailableError or CapacityError the rest is not tried and carries the same error.
        """
        outcomes: list[GatewayError | None] = []
        for upload in uploads:
            try:
                self.put_file(upload)
            except (UnavailableError, CapacityError) as error:
                return outcomes + [error] * (len(uploads) - len(outcomes))
            except GatewayError as error:
                outcomes.append(error)
            else:
                outcomes.append(None)
        return outcomes

    @abstractmethod
    def open(self, key: str) -> AbstractContextManager[ObjectReader]:
        """Open an object for ranged reads.

        If it is deleted while open, reads go on or raise NotFoundError, as the backend has it.
        """

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes (None: up to the end) from `offset`; exact, as `ObjectReader.read`."""
        with self.open(key) as reader:
            return reader.read(offset, reader.size_bytes - offset if length is None else length)

    def stream(
        self, key: str, offset: int = 0, length: int | None = None, chunk_size: int = CHUNK_SIZE
    ) -> Iterator[bytes]:
        """Yield `length` bytes (None: up to the end) from `offset`, in pieces of `chunk_size`.

        The object is opened when the first piece is asked for: whoever needs to know before, asks `stat`.
        """
        with self.open(key) as reader:
            yield from reader.stream(offset, length, chunk_size)

    def checksum(self, key: str, offset: int = 0) -> str:
        """Return the SHA-256 (hex) of the bytes from `offset` to the end, read now.

        With the offset of the data set it is the digest an instance's key carries.
        """
        digest = hashlib.sha256()
        for chunk in self.stream(key, offset):
            digest.update(chunk)
        return digest.hexdigest()

    @abstractmethod
    def stat(self, key: str) -> ObjectStat:
        """Return size and, if the store keeps it, checksum of an object, without reading it."""

    def exists(self, key: str) -> bool:
        """Return whether there is an object `key`."""
        try:
            self.stat(key)
        except NotFoundError:
            return False
        return True

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix` (see `check_prefix`) in ascending order of their characters.

        What is put or deleted while listing may or may not appear.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object for good; it stays away after a crash. Nothing to remove is success."""

    @abstractmethod
    def probe(self) -> None:
        """Do nothing if objects can be put and read as far as can be told cheaply.

        Raises
        ------
        UnavailableError
            When they cannot; the message says why.
        """

    def capacity(self) -> Capacity | None:
        """Return the room there is, or None where the store does not know it."""
        return None

    def local_path(self, key: str) -> Path | None:
        """Return the local file that is the object, for sendfile and mmap, or None on backends without such files.

        It must only be read. The file may be deleted at any time, as the object may; a backend with such files says
        NotFoundError for an object that is not there.
        """
        return None

    def tidy(self) -> None:  # noqa: B027 - most backends keep themselves in order
        """Do the housekeeping that is due; one process of a node asks for it every few seconds."""

    def close(self) -> None:  # noqa: B027 - most backends hold nothing open
        """Release what the store holds open; it cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
