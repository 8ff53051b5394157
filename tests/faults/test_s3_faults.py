"""Between the gateway and its object store everything goes wrong now and then: nothing is believed that is not so."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pacs_gateway.errors import IntegrityError, UnavailableError
from pacs_gateway.storage.s3_content import PART_SIZE
from pacs_gateway.storage.s3_store import S3Store
from pacs_gateway.storage.store import Upload, object_key
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.object_servers import ObjectServer

_RATE = 0.05
_THREADS = 24
_LARGE_EVERY = 250
_ATTEMPTS = 20
# As long as a stall lasts here; a server that is slow because the machine is busy is asked again.
_READ_TIMEOUT_S = 0.75


@pytest.fixture(
    params=[
        pytest.param("minio", marks=pytest.mark.peer("minio")),
        pytest.param("seaweedfs", marks=pytest.mark.peer("seaweedfs")),
    ]
)
def server(request: pytest.FixtureRequest) -> ObjectServer:
    found = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(found, ObjectServer)
    return found


def store_behind(proxy: FaultProxy, server: ObjectServer, *, n_read_back: int = 100) -> S3Store:
    config = replace(server.config(), endpoint=proxy.endpoint, read_timeout_s=_READ_TIMEOUT_S, n_read_back=n_read_back)
    return S3Store(config)


def uploads(folder: Path, n: int) -> Iterator[Upload]:
    for number in range(n):
        size = PART_SIZE + 1 if number % _LARGE_EVERY == 1 else secrets.randbelow(16 * 1024)
        data = secrets.token_bytes(size)
        path = folder / str(number)
        path.write_bytes(data)
        yield Upload(object_key(hashlib.sha256(data).hexdigest()), path, size)


def is_archived(store: S3Store, upload: Upload) -> bool:
    """Put as the shipper does: again when it did not work, never content with less than success."""
    for _ in range(_ATTEMPTS):
        with suppress(UnavailableError, IntegrityError):
            store.put_file(upload)
            return True
    return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("server", "n_puts"),
    [
        pytest.param("minio", 2000, marks=pytest.mark.peer("minio")),
        pytest.param("seaweedfs", 500, marks=pytest.mark.peer("seaweedfs")),
        pytest.param("seaweedfs", 2000, marks=[pytest.mark.peer("seaweedfs"), pytest.mark.long]),
    ],
    indirect=["server"],
)
def test_what_counts_as_put_is_there_and_right(server: ObjectServer, n_puts: int, tmp_path: Path) -> None:
    files = list(uploads(tmp_path, n_puts))
    with fault_proxy(server.endpoint, rate=_RATE, seed=1) as proxy, store_behind(proxy, server) as store:
        with ThreadPoolExecutor(_THREADS) as pool:
            archived = list(pool.map(lambda upload: is_archived(store, upload), files))
        assert set(proxy.injected) == set(Fault)
        with S3Store(replace(store.config, endpoint=server.endpoint)) as direct, ThreadPoolExecutor(4) as pool:
            sums = list(pool.map(lambda upload: direct.checksum(upload.key), files))
        assert all(archived)
        assert sums == [hashlib.sha256(upload.path.read_bytes()).hexdigest() for upload in files]


def test_whole_objects_are_read_right(server: ObjectServer, tmp_path: Path) -> None:
    files = list(uploads(tmp_path, 200))
    with fault_proxy(server.endpoint, rate=_RATE, seed=2) as proxy, store_behind(proxy, server) as store:
        with S3Store(replace(store.config, endpoint=server.endpoint)) as direct:
            assert direct.put_files(files) == [None] * len(files)

        def read(upload: Upload) -> bool:
            return stubborn(lambda: store.read(upload.key)) == upload.path.read_bytes()

        with ThreadPoolExecutor(_THREADS) as pool:
            assert all(pool.map(read, files * 3))
        assert {Fault.CUT, Fault.ALTERED, Fault.RESET, Fault.STALL} <= set(proxy.injected)


def test_ranges_and_streams_are_taken_up_where_they_broke(server: ObjectServer, tmp_path: Path) -> None:
    """All but altered bytes: of a range nobody but TLS can know whether it is right."""
    faults = [fault for fault in Fault if fault is not Fault.ALTERED]
    data = secrets.token_bytes(3 * 1024 * 1024)
    with fault_proxy(server.endpoint, rate=_RATE, faults=faults, seed=3) as proxy, store_behind(proxy, server) as store:
        with S3Store(replace(store.config, endpoint=server.endpoint)) as direct:
            direct.put("a/large", data)

        def read(number: int) -> bool:
            offset = number * 7919
            if number % 4:
                return stubborn(lambda: store.read("a/large", offset, 5000)) == data[offset : offset + 5000]
            return stubborn(lambda: b"".join(store.stream("a/large", offset))) == data[offset:]

        with ThreadPoolExecutor(_THREADS) as pool:
            assert all(pool.map(read, range(300)))
        assert {Fault.CUT, Fault.RESET, Fault.STALL} <= set(proxy.injected)


def stubborn(read: Callable[[], bytes]) -> bytes:
    """Read again when the store says that it cannot; what it gives is final."""
    for _ in range(_ATTEMPTS):
        with suppress(UnavailableError, IntegrityError):
            return read()
    raise AssertionError("the store cannot be read")
