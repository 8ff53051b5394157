"""Objects in a bucket of MinIO or any other S3 server.

A put looks first (what is there is never written over), sends, and looks again: an object counts only when the server
shows it with the right size, our SHA-256 in its metadata and the right entity tag, or its bytes read back are right.
Conditional puts are not relied on, because servers differ in them; keys carry a hash of their content instead.
"""

import hashlib
import logging
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from threading import Event
from typing import BinaryIO

from minio import Minio
from minio.error import S3Error
from urllib3 import BaseHTTPResponse

from pacs_gateway.errors import (
    CapacityError,
    ConfigurationError,
    ConflictError,
    GatewayError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from pacs_gateway.storage.breaker import Breaker
from pacs_gateway.storage.files import opened_upload, translated
from pacs_gateway.storage.s3_config import S3Config
from pacs_gateway.storage.s3_content import PART_SIZE, Body, Budget, Content, measure
from pacs_gateway.storage.s3_http import TRIES, RetryingPool, s3_errors
from pacs_gateway.storage.store import (
    CHUNK_SIZE,
    ObjectReader,
    ObjectStat,
    ObjectStore,
    Upload,
    check_key,
    check_prefix,
    is_key,
)

_log = logging.getLogger(__name__)

_ROUNDS = 3
_UPLOADS_AT_ONCE = 8
_UPLOAD_MEMORY = 4 * PART_SIZE
_PROBE_S = 3.0
_LABEL = "sha256"
_META = f"x-amz-meta-{_LABEL}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MADE_MEANWHILE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the server says of an object."""

    size_bytes: int
    etag: str
    sha256: str | None
    """What we said of it when it was put."""


class _S3Reader(ObjectReader):
    __slots__ = ("_key", "_store")

    def __init__(self, store: "S3Store", key: str, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._store = store
        self._key = key

    def _read(self, offset: int, length: int) -> bytes:
        return b"".join(self._store.pieces(self._key, offset, length, length))

    def stream(self, offset: int = 0, length: int | None = None, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Yield a range out of one answer of the server."""
        length = self.size_bytes - offset if length is None else length
        self._check_range(offset, length)
        yield from self._store.pieces(self._key, offset, length, chunk_size)


class S3Store(ObjectStore):
    """Keeps objects in one bucket, which is made at the first use if it is not there.

    Opening it asks the server nothing, so a gateway starts while its store is away. Not to be shared by processes.

    Notes
    -----
    Bytes altered on their way to the server are noticed before a put returns. On the way back an object read whole is
    checked against its SHA-256; of ranges and streams only the length is, and TLS does the rest.
    """

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self._prefix = f"{config.prefix}/" if config.prefix else ""
        self._where = f"object store {config.endpoint}/{config.bucket}"
        breaker = Breaker(self._where)
        self._pools = (
            RetryingPool(config, breaker, tries=TRIES, read_s=config.read_timeout_s),
            RetryingPool(config, breaker, tries=1, read_s=min(_PROBE_S, config.read_timeout_s)),
        )
        self._client, self._prober = (_client(config, pool) for pool in self._pools)
        self._memory = Budget(_UPLOAD_MEMORY)
        self._n_sent = count(1)
        self._is_bucket_there = False

    # -- putting

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` as the object `key`."""
        check_key(key)
        stream = BytesIO(data)
        self._keep(key, stream, measure(stream))

    def put_file(self, upload: Upload) -> None:
        """Keep a copy of a complete local file as an object."""
        check_key(upload.key)
        with opened_upload(upload) as fd, open(fd, "rb", buffering=0, closefd=False) as file:
            with translated(upload.key):
                content = measure(file)
            if content.size_bytes != upload.size_bytes:
                raise IntegrityError(f"{upload.key}: the file has {content.size_bytes} bytes, not {upload.size_bytes}")
            if upload.sha256 not in (None, content.sha256):
                raise IntegrityError(f"{upload.key}: the file has another checksum than it should")
            self._keep(upload.key, file, content)

    def put_files(self, uploads: Sequence[Upload]) -> list[GatewayError | None]:
        """Put several files at a time."""
        if len(uploads) < 2:
            return super().put_files(uploads)
        stopped = Event()
        reason: list[GatewayError] = []

        def put(upload: Upload) -> GatewayError | None:
            if stopped.is_set():
                return reason[0]
            try:
                self.put_file(upload)
            except GatewayError as error:
                if isinstance(error, UnavailableError | CapacityError):
                    reason.append(error)
                    stopped.set()
                return error
            return None

        with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload") as pool:
            return list(pool.map(put, uploads))

    def _keep(self, key: str, stream: BinaryIO, content: Content) -> None:
        read_back = False
        for _ in range(_ROUNDS):
            if self._holds(key, content, read_back=read_back):
                return
            self._send(key, stream, content)
            read_back = next(self._n_sent) <= self.config.n_read_back
        if not self._holds(key, content, read_back=read_back):
            raise IntegrityError(f"{key}: the store does not keep what it is sent")

    def _holds(self, key: str, content: Content, *, read_back: bool) -> bool:
        """Return whether the store has an object with this content; False if it should be sent (again).

        Raises
        ------
        ConflictError
            It holds something else that was put with good reason.
        """
        kept = self._look(key)
        if kept is None:
            return False
        if kept.size_bytes == content.size_bytes:
            is_labelled = kept.sha256 == content.sha256
            if is_labelled and kept.etag == content.etag and not read_back:
                return True
            # Some servers encrypt, and then the entity tag says nothing: the bytes do.
            if self._reads_as(key, content):
                return True
        if kept.sha256 != content.sha256:
            raise ConflictError(f"{key} holds other bytes")
        # It bears the name of these bytes and is not them: damaged on its way, and never counted.
        return False

    def _reads_as(self, key: str, content: Content) -> bool:
        """Return whether the object reads as `content`; a difference is looked at twice, for it may be the way's."""
        try:
            return any(self.checksum(key) == content.sha256 for _ in range(2))
        except (
            NotFoundError
        ):  # somebody removed it meanwhile; to a caller it would mean that the file to put is missing
            return False

    def _send(self, key: str, stream: BinaryIO, content: Content) -> None:
        stream.seek(0)
        # The client holds the part it sends and the one it reads.
        with self._memory.claim(min(content.size_bytes, 2 * PART_SIZE)):
            try:
                with translated(key), self._asking(f"putting {key}"):
                    self._client.put_object(
                        self.config.bucket,
                        self._prefix + key,
                        stream,
                        content.size_bytes,
                        metadata=_metadata(content),
                        part_size=PART_SIZE,
                        num_parallel_uploads=1,
                    )
            except IntegrityError:
                return  # whoever calls looks whether it is there, and sends it again

    # -- reading

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Open an object for ranged reads."""
        yield _S3Reader(self, key, self.stat(key).size_bytes)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object; a whole one is checked against its SHA-256 where the server keeps it."""
        if offset or length is not None:
            return super().read(key, offset, length)
        for _ in range(_ROUNDS):
            data, sha256 = self._read_whole(key)
            if sha256 in (None, hashlib.sha256(data).hexdigest()):
                return data
        raise IntegrityError(f"{key}: the bytes read have another checksum than they should")

    def stat(self, key: str) -> ObjectStat:
        """Return size and checksum of an object."""
        with self._asking(f"looking for {key}"):
            found = self._kept(key)
        return ObjectStat(found.size_bytes, found.sha256)

    def pieces(self, key: str, offset: int, length: int, chunk_size: int) -> Iterator[bytes]:
        """Yield a range that is inside the object in pieces of `chunk_size`."""
        check_key(key)
        end = offset + length
        with closing(Body(lambda at, missing: self._get(key, at, missing), offset, length)) as body:
            for start in range(offset, end, chunk_size):
                with self._asking(f"reading {key}"):
                    piece = body.read(min(chunk_size, end - start))
                yield piece

    def _read_whole(self, key: str) -> tuple[bytes, str | None]:
        check_key(key)
        with self._asking(f"reading {key}"):
            response = self._client.get_object(self.config.bucket, self._prefix + key)
            size_bytes = int(response.headers["content-length"])
            with closing(Body(lambda at, missing: self._get(key, at, missing), 0, size_bytes, response)) as body:
                return body.read(size_bytes), _label(response.headers)

    def _get(self, key: str, offset: int, length: int) -> BaseHTTPResponse:
        """Ask for a range; the response is unread."""
        response = self._client.get_object(self.config.bucket, self._prefix + key, offset, length)
        if not response.headers.get("content-range", "").startswith(f"bytes {offset}-{offset + length - 1}/"):
            response.close()
            raise IntegrityError(f"{key}: there is no range {offset}+{length}")
        return response

    def _look(self, key: str) -> _Kept | None:
        with self._asking(f"looking for {key}"):
            try:
                return self._kept(key)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                return None

    def _kept(self, key: str) -> _Kept:
        found = self._client.stat_object(self.config.bucket, self._prefix + check_key(key))
        return _Kept(found.size or 0, found.etag or "", _label(found.metadata or {}))

    # -- the rest

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`; the names of one folder at a time are held in memory.

        Folder by folder, because servers that keep folders (SeaweedFS) list ``a/b`` before ``a-1``.
        """
        yield from self._walk(self._prefix + check_prefix(prefix))

    def _walk(self, beginning: str) -> Iterator[str]:
        with self._asking("listing"):
            names = sorted(
                entry.object_name or "" for entry in self._client.list_objects(self.config.bucket, beginning)
            )
        for name in names:
            key = name.removeprefix(self._prefix)
            if name == beginning and name.endswith("/"):
                continue  # SeaweedFS: an empty folder lists itself
            if is_key(key):
                yield key
            elif is_key(key.removesuffix("/")):
                yield from self._walk(name)

    def delete(self, key: str) -> None:
        """Remove an object."""
        check_key(key)
        with self._asking(f"deleting {key}"):
            self._client.remove_object(self.config.bucket, self._prefix + key)

    def probe(self) -> None:
        """Ask for the bucket, once and not for long."""
        with self._asking("probing", self._prober):
            if not self._prober.bucket_exists(self.config.bucket):
                raise UnavailableError(f"{self._where}: the bucket is gone")

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            pool.clear()

    @contextmanager
    def _asking(self, doing: str, client: Minio | None = None) -> Iterator[None]:
        """Translate the client's errors, and see to it that there is a bucket to ask for anything."""
        with s3_errors(f"{self._where}: {doing}"):
            if not self._is_bucket_there:
                self._make_bucket(client or self._client)
                self._is_bucket_there = True
            yield

    def _make_bucket(self, client: Minio) -> None:
        if client.bucket_exists(self.config.bucket):
            return
        try:
            client.make_bucket(self.config.bucket)
        except S3Error as error:
            if error.code not in _MADE_MEANWHILE:
                raise
        else:
            _log.warning("%s: there was no such bucket; it has been made", self._where)


def _client(config: S3Config, pool: RetryingPool) -> Minio:
    try:
        return Minio(
            config.endpoint,
            config.access_key,
            config.secret_key,
            secure=config.secure,
            region=config.region,
            http_client=pool,
        )
    except ValueError as error:
        raise ConfigurationError(f"PACS_S3_ENDPOINT or PACS_S3_REGION: {error}") from error


def _metadata(content: Content) -> dict[str, str | list[str] | tuple[str]]:
    """Return what is said of an object when it is put; of one that goes in one piece also what the server checks.

    Over plain HTTP the client sends a checksum of its own as well, but not every server looks at it (SeaweedFS).
    """
    metadata: dict[str, str | list[str] | tuple[str]] = {_LABEL: content.sha256}
    if content.size_bytes <= PART_SIZE:
        metadata["x-amz-checksum-sha256"] = b64encode(bytes.fromhex(content.sha256)).decode("ascii")
    return metadata


def _label(headers: Mapping[str, str]) -> str | None:
    """Return the SHA-256 that was sent with an object, if it is one."""
    label = headers.get(_META, "")
    return label if _SHA256.fullmatch(label) else None
