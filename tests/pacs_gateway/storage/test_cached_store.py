"""The cache of a remote store: hot objects cost no download, and nothing but whole objects is ever served."""

import hashlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event

import pytest

from pacs_gateway.errors import NotFoundError, UnavailableError
from pacs_gateway.storage.cached_store import CacheConfig, CachedStore
from pacs_gateway.storage.filesystem_store import FilesystemStore
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import CHUNK_SIZE, ObjectReader, ObjectStore, Upload, derived_key, object_key
from tests.support.builders import encode, image, part10
from tests.support.contracts.object_store import ObjectStoreContract
from tests.support.faulty_store import FaultyStore

ROOT = Path(__file__).parents[3]
MIB = 1 << 20
FILE = part10(image())
DIGEST = hashlib.sha256(encode(image())).hexdigest()
KEY = object_key(DIGEST)


class Remote(FaultyStore):
    """Counts what is read, and may be away or break off."""

    def __init__(self, behind: ObjectStore) -> None:
        super().__init__(behind)
        self.opened: list[str] = []
        self.is_away = False
        self.breaks_after: int | None = None
        self.may_give = Event()
        self.may_give.set()

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        if self.is_away:
            raise UnavailableError("the store is away")
        with super().open(key) as reader:
            self.opened.append(key)
            assert self.may_give.wait(30)
            yield _Breaking(reader, self.breaks_after)


class _Breaking(ObjectReader):
    def __init__(self, behind: ObjectReader, after: int | None) -> None:
        super().__init__(behind.size_bytes)
        self._behind = behind
        self._after = after

    def _read(self, offset: int, length: int) -> bytes:
        if self._after is not None and offset + length > self._after:
            raise UnavailableError("the connection broke")
        return self._behind.read(offset, length)


class TestCachedMemoryStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return CachedStore(MemoryStore(), config(tmp_path / "cache"))

    def raw_keys(self, store: ObjectStore) -> set[str]:
        return set(behind(store)._objects)

    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        return behind(store)._objects[key]

    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        behind(store)._objects[key] = data


class TestCachedFilesystemStore(ObjectStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "objects"

    @pytest.fixture
    def store(self, root: Path, tmp_path: Path) -> Iterator[ObjectStore]:
        with CachedStore(FilesystemStore(root), config(tmp_path / "cache")) as store:
            self.root_of = root
            yield store

    def raw_keys(self, store: ObjectStore) -> set[str]:
        return {str(path.relative_to(self.root_of)) for path in self.root_of.rglob("*") if path.is_file()}

    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        return (self.root_of / key).read_bytes()

    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        (self.root_of / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root_of / key).write_bytes(data)


def config(root: Path, limit_bytes: int = 100 * MIB) -> CacheConfig:
    return CacheConfig(root, limit_bytes, keep_free_fraction=0.0)


def behind(store: ObjectStore) -> MemoryStore:
    assert isinstance(store, CachedStore)
    assert isinstance(store._remote, MemoryStore)
    return store._remote


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def remote() -> Remote:
    return Remote(MemoryStore())


@pytest.fixture
def store(remote: Remote, root: Path) -> CachedStore:
    return CachedStore(remote, config(root))


def copies(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


def spooled(folder: Path, data: bytes, key: str = KEY) -> Upload:
    path = folder / secrets.token_hex(8)
    path.write_bytes(data)
    return Upload(key, path, len(data))


# -- what is served from here


def test_an_object_is_downloaded_once(remote: Remote, store: CachedStore) -> None:
    remote.put(KEY, FILE)

    assert store.read(KEY) == FILE
    n_opened = len(remote.opened)
    remote.is_away = True
    assert store.read(KEY) == FILE
    assert store.read(KEY, 100, 50) == FILE[100:150]
    assert b"".join(store.stream(KEY)) == FILE
    assert len(remote.opened) == n_opened


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 7])
def test_objects_of_any_size_are_kept_whole(remote: Remote, store: CachedStore, size: int) -> None:
    data, key = secrets.token_bytes(size), derived_key(DIGEST, "metadata-1")
    remote.put(key, data)

    assert store.read(key) == data
    remote.is_away = True
    assert store.read(key) == data


@pytest.mark.parametrize("many", [False, True])
def test_what_was_just_put_is_not_downloaded(remote: Remote, store: CachedStore, tmp_path: Path, many: bool) -> None:
    upload = spooled(tmp_path, FILE)
    if many:
        assert store.put_files([upload]) == [None]
    else:
        store.put_file(upload)
    upload.path.unlink()
    remote.is_away = True

    assert store.read(KEY) == FILE


def test_what_could_not_be_put_is_not_served(remote: Remote, store: CachedStore, root: Path, tmp_path: Path) -> None:
    remote.put("instances/aa/other", b"other")
    uploads = [spooled(tmp_path, FILE), spooled(tmp_path, b"mine", "instances/aa/other")]

    assert [error is None for error in store.put_files(uploads)] == [True, False]
    assert len(copies(root)) == 1
    assert store.read("instances/aa/other") == b"other"


def test_all_processes_of_a_node_share_the_copies(remote: Remote, store: CachedStore, root: Path) -> None:
    remote.put(KEY, FILE)
    store.read(KEY)
    remote.is_away = True

    assert CachedStore(remote, config(root)).read(KEY) == FILE


def test_who_asks_at_the_same_time_waits_for_one_download(remote: Remote, store: CachedStore) -> None:
    key = derived_key(DIGEST, "large")
    remote.put(key, bytes(2 * CHUNK_SIZE))
    remote.may_give.clear()
    barrier = Barrier(8)

    def read(_: int) -> int:
        barrier.wait(30)
        return len(store.read(key))

    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(read, range(8))
        remote.may_give.set()
        assert set(sizes) == {2 * CHUNK_SIZE}
    assert remote.opened == [key]


def test_the_store_is_asked_about_the_store(remote: Remote, store: CachedStore) -> None:
    remote.put(KEY, FILE)
    store.read(KEY)
    store._remote.delete(KEY)

    assert list(store.list()) == []
    assert not store.exists(KEY)
    with pytest.raises(NotFoundError):
        store.checksum(KEY)


def test_what_is_deleted_is_not_served(remote: Remote, store: CachedStore, root: Path) -> None:
    remote.put(KEY, FILE)
    store.read(KEY)
    store.delete(KEY)

    assert copies(root) == []
    with pytest.raises(NotFoundError):
        store.read(KEY)


# -- only whole objects


def test_bytes_that_are_not_the_keys_are_not_kept(remote: Remote, store: CachedStore, root: Path) -> None:
    remote.put(KEY, FILE[:-2] + b"\1\1")
    store.read(KEY)

    assert copies(root) == []


@pytest.mark.parametrize("data", [b"", b"no Part 10 file", FILE[:200]])
def test_what_is_no_instance_is_not_kept_as_one(remote: Remote, store: CachedStore, root: Path, data: bytes) -> None:
    remote.put(KEY, data)

    assert store.read(KEY) == data
    assert copies(root) == []


def test_a_download_that_breaks_off_leaves_nothing(remote: Remote, store: CachedStore, root: Path) -> None:
    key, data = derived_key(DIGEST, "large"), secrets.token_bytes(3 * CHUNK_SIZE)
    remote.put(key, data)
    remote.breaks_after = 2 * CHUNK_SIZE
    with pytest.raises(UnavailableError):
        store.read(key)
    assert copies(root) == []

    remote.breaks_after = None
    assert store.read(key) == data


def test_a_process_that_dies_while_it_copies_leaves_nothing(root: Path) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from pacs_gateway.storage.cached_store import CacheConfig, CachedStore
from pacs_gateway.storage.memory_store import MemoryStore
store = CachedStore(MemoryStore(), CacheConfig(Path(sys.argv[1]), {100 * MIB}, keep_free_fraction=0.0))
store.put("derived/a", bytes(5000))
os.fdatasync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
store.read("derived/a")
"""
    died = subprocess.run([sys.executable, "-c", script, str(root)], cwd=ROOT, check=False)

    assert died.returncode == -signal.SIGKILL
    assert copies(root) == []


def test_a_copy_is_synced_before_it_has_a_name(
    remote: Remote, store: CachedStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, list[Path]]] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append((os.fstat(fd).st_size, copies(root))))
    remote.put(KEY, FILE)
    store.read(KEY)

    assert synced == [(len(FILE), [])]
    assert len(copies(root)) == 1


@pytest.mark.parametrize("broken", ["open", "link", "fdatasync", "statvfs"])
def test_a_cache_that_does_not_work_is_no_reason_not_to_read_or_put(
    remote: Remote, store: CachedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(5, "input/output error")

    upload = spooled(tmp_path, FILE)
    remote.put("derived/a", b"data")
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        assert store.read("derived/a") == b"data"
    with monkeypatch.context() as patch:
        patch.setattr(remote, "put_file", lambda _: None)
        patch.setattr(os, broken, fail)
        store.put_file(upload)


# -- bounds


def put_all(remote: Remote, n: int, size: int) -> list[str]:
    keys = [derived_key(DIGEST, f"n-{number}") for number in range(n)]
    for key in keys:
        remote.put(key, secrets.token_bytes(size))
    return keys


def total(root: Path) -> int:
    return sum(path.stat().st_size for path in copies(root))


def test_what_was_not_read_for_longest_goes_first(remote: Remote, root: Path) -> None:
    store = CachedStore(remote, config(root, 100_000))
    keys = put_all(remote, 12, 10_000)
    for number, key in enumerate(keys[:10]):
        store.read(key)
        os.utime(store._path(key), (number, number))
    store.read(keys[0])  # used again: the oldest is now the second
    store.read(keys[10])

    assert total(root) <= 100_000
    remote.is_away = True
    assert store.read(keys[0])
    assert store.read(keys[10])
    with pytest.raises(UnavailableError):
        store.read(keys[1])


def test_the_cache_keeps_within_its_limit_whoever_fills_it(remote: Remote, root: Path, tmp_path: Path) -> None:
    stores = [CachedStore(remote, config(root, 100_000)) for _ in range(3)]
    for number, key in enumerate(put_all(remote, 60, 5_000)):
        stores[number % 3].read(key)
        stores[number % 3].put_file(spooled(tmp_path, secrets.token_bytes(5_000), f"instances/aa/{number}"))
    stores[0].tidy()

    assert 0 < total(root) <= 100_000


def test_large_objects_are_read_from_the_store(remote: Remote, root: Path, tmp_path: Path) -> None:
    store = CachedStore(remote, config(root, 100_000))
    (key,) = put_all(remote, 1, 20_000)
    store.put_file(spooled(tmp_path, bytes(20_000)))

    assert len(store.read(key)) == 20_000
    assert copies(root) == []


def test_the_disk_is_left_as_free_as_the_spool_needs_it(remote: Remote, root: Path, tmp_path: Path) -> None:
    (key,) = put_all(remote, 1, 1000)
    CachedStore(remote, config(root)).read(key)
    assert len(copies(root)) == 1

    store = CachedStore(remote, CacheConfig(root, 100 * MIB, keep_free_fraction=1.0, keep_free_bytes=1 << 62))
    store.tidy()
    assert copies(root) == []
    store.put_file(spooled(tmp_path, FILE))
    assert store.read(KEY) == FILE
    assert copies(root) == []


@pytest.mark.parametrize("use", [lambda store: store.read("derived/a"), lambda store: store.tidy()])
def test_what_another_process_drops_meanwhile_is_no_trouble(
    remote: Remote, root: Path, use: Callable[[CachedStore], object]
) -> None:
    store = CachedStore(remote, config(root))
    remote.put("derived/a", b"data")
    with store.open("derived/a") as reader:
        for path in copies(root):
            path.unlink()
        assert reader.read(0, 4) == b"data"
    use(store)
