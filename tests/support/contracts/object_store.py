"""What every object store must do, whatever is behind it.

A backend's test class inherits `ObjectStoreContract`, gives a ``store`` fixture and the two raw functions that look at
the backend from outside, past the store.
"""

import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pacs_gateway.errors import ConflictError, IntegrityError, NotFoundError
from pacs_gateway.storage.check import CHECK_PREFIX, check_store
from pacs_gateway.storage.store import CHUNK_SIZE, ObjectStore, Upload, derived_key, derived_prefix, object_key

DIGEST = hashlib.sha256(b"a data set").hexdigest()
KEY = object_key(DIGEST)
DATA = bytes(range(256)) * 4

HOSTILE_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/..",
    "a/./b",
    ".",
    "..",
    ".hidden",
    "a/.drafts",
    "a//b",
    "a/",
    "/a",
    "-rf",
    "a b",
    "A",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\n",
    "%2e%2e/a",
    "ａ",
    "đ",
    "a:b",
    "a*",
    "~",
    "a" * 256,
    "/".join(["a" * 100] * 6),
]


def uploaded(path: Path, data: bytes, key: str = KEY, *, sha256: str | None = None) -> Upload:
    path.write_bytes(data)
    return Upload(key, path, len(data), sha256)


class ObjectStoreContract(ABC):
    """The suite; not collected by itself."""

    one_of_many_wins = True
    """Whether of different bytes put under one key at the same time only the first are accepted."""

    @abstractmethod
    def raw_keys(self, store: ObjectStore) -> set[str]:
        """Return all keys the backend holds, leftovers included."""

    @abstractmethod
    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        """Return an object's bytes as the backend holds them."""

    @abstractmethod
    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        """Place or damage an object behind the store's back."""

    # -- putting

    def test_put_keeps_the_bytes(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        assert self.raw_get(store, KEY) == DATA
        assert self.raw_keys(store) == {KEY}

    def test_put_file_keeps_the_bytes_and_leaves_the_file(self, store: ObjectStore, tmp_path: Path) -> None:
        upload = uploaded(tmp_path / "spooled", DATA, sha256=hashlib.sha256(DATA).hexdigest())
        store.put_file(upload)
        assert self.raw_get(store, KEY) == DATA
        assert upload.path.read_bytes() == DATA
        upload.path.unlink()
        assert store.read(KEY) == DATA

    def test_put_files_keeps_all(self, store: ObjectStore, tmp_path: Path) -> None:
        contents = {object_key(hashlib.sha256(bytes([n])).hexdigest()): bytes([n]) * n for n in range(40)}
        uploads = [uploaded(tmp_path / f"{n}", data, key) for n, (key, data) in enumerate(contents.items())]
        assert store.put_files(uploads) == [None] * 40
        assert {key: self.raw_get(store, key) for key in self.raw_keys(store)} == contents
        assert store.put_files(uploads) == [None] * 40
        assert list(store.list()) == sorted(contents)

    def test_put_files_of_nothing_does_nothing(self, store: ObjectStore) -> None:
        assert store.put_files([]) == []
        assert self.raw_keys(store) == set()

    def test_put_files_says_who_the_culprits_are_and_puts_the_rest(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("a/other", b"other")
        uploads = [uploaded(tmp_path / f"{n}", bytes([n]), f"a/{n}") for n in range(4)]
        uploads.insert(1, Upload("a/missing", tmp_path / "missing", 1))
        uploads.insert(3, uploaded(tmp_path / "other", DATA, "a/other"))
        uploads.insert(4, Upload("a/short", uploads[0].path, 2))
        uploads.insert(5, Upload("a/../hostile", uploads[0].path, 1))
        outcomes = [type(error) for error in store.put_files(uploads)]
        none = type(None)
        assert outcomes == [none, NotFoundError, none, ConflictError, IntegrityError, IntegrityError, none, none]
        assert list(store.list()) == ["a/0", "a/1", "a/2", "a/3", "a/other"]
        assert store.read("a/other") == b"other"

    @pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 7])
    def test_any_size_comes_back(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        data = secrets.token_bytes(size)
        store.put("a/put", data)
        store.put_file(uploaded(tmp_path / "file", data, "a/file"))
        for key in ("a/put", "a/file"):
            assert store.read(key) == data
            assert store.stat(key).size_bytes == size
            assert store.stat(key).sha256 in (None, hashlib.sha256(data).hexdigest())
            assert store.checksum(key) == hashlib.sha256(data).hexdigest()
            assert b"".join(store.stream(key)) == data

    def test_same_bytes_again_change_nothing(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put(KEY, DATA)
        store.put(KEY, DATA)
        upload = uploaded(tmp_path / "spooled", DATA)
        store.put_file(upload)
        store.put_file(upload)
        assert self.raw_keys(store) == {KEY}
        assert self.raw_get(store, KEY) == DATA

    @pytest.mark.parametrize("other", [b"", DATA[:-1], DATA + b"\0", DATA[:-1] + b"\0", b"\1" + DATA[1:]])
    def test_other_bytes_are_a_conflict_and_the_old_ones_stay(
        self, store: ObjectStore, tmp_path: Path, other: bytes
    ) -> None:
        store.put(KEY, DATA)
        with pytest.raises(ConflictError):
            store.put(KEY, other)
        with pytest.raises(ConflictError):
            store.put_file(uploaded(tmp_path / "spooled", other))
        assert self.raw_get(store, KEY) == DATA
        assert self.raw_keys(store) == {KEY}

    @pytest.mark.parametrize("claimed", [len(DATA) - 1, len(DATA) + 1, 0])
    def test_file_of_another_size_is_not_taken(self, store: ObjectStore, tmp_path: Path, claimed: int) -> None:
        uploaded(tmp_path / "spooled", DATA)
        with pytest.raises(IntegrityError):
            store.put_file(Upload(KEY, tmp_path / "spooled", claimed))
        assert self.raw_keys(store) == set()

    def test_missing_file_is_not_found(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            store.put_file(Upload(KEY, tmp_path / "nothing", 0))
        assert self.raw_keys(store) == set()

    # -- reading

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 0), (0, 1), (0, 1024), (1, 1023), (1023, 1), (1024, 0), (511, 2), (256, 256)],
    )
    def test_ranges_are_exact(self, store: ObjectStore, offset: int, length: int) -> None:
        store.put(KEY, DATA)
        expected = DATA[offset : offset + length]
        assert store.read(KEY, offset, length) == expected
        assert b"".join(store.stream(KEY, offset, length, chunk_size=100)) == expected
        with store.open(KEY) as reader:
            assert reader.read(offset, length) == expected
            assert b"".join(reader.stream(offset, length, chunk_size=1)) == expected

    @pytest.mark.parametrize(("offset", "length"), [(0, 1025), (1024, 1), (1025, 0), (-1, 1), (5, -1), (0, 1 << 62)])
    def test_ranges_outside_are_refused(self, store: ObjectStore, offset: int, length: int) -> None:
        store.put(KEY, DATA)
        with pytest.raises(IntegrityError):
            store.read(KEY, offset, length)
        with pytest.raises(IntegrityError):
            list(store.stream(KEY, offset, length))
        with store.open(KEY) as reader:
            assert reader.size_bytes == len(DATA)
            with pytest.raises(IntegrityError):
                reader.read(offset, length)

    def test_open_end_reads_to_the_end(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        assert store.read(KEY, 1000) == DATA[1000:]
        assert b"".join(store.stream(KEY, 1000)) == DATA[1000:]
        assert store.checksum(KEY, 1000) == hashlib.sha256(DATA[1000:]).hexdigest()
        assert store.read(KEY, 1024) == b""
        with pytest.raises(IntegrityError):
            store.read(KEY, 1025)

    def test_stream_keeps_to_its_chunk_size(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        assert [len(chunk) for chunk in store.stream(KEY, chunk_size=400)] == [400, 400, 224]

    def test_one_reader_serves_many_threads(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(64 * 1024)
        store.put(KEY, data)
        with store.open(KEY) as reader, ThreadPoolExecutor(8) as pool:
            pieces = list(pool.map(lambda n: reader.read(n * 1024, 1024), range(64)))
        assert b"".join(pieces) == data

    @pytest.mark.parametrize(
        "read",
        [
            lambda s: s.read("a/b"),
            lambda s: s.read("a"),
            lambda s: list(s.stream("a/b")),
            lambda s: s.stat("a/b"),
            lambda s: s.stat("a"),
            lambda s: s.checksum("a/b"),
            lambda s: s.open("a/b").__enter__(),
        ],
    )
    def test_what_is_not_there_is_not_found(self, store: ObjectStore, read: Callable[[ObjectStore], object]) -> None:
        store.put("a/c", DATA)  # so that "a" is a folder, which is no object
        with pytest.raises(NotFoundError):
            read(store)
        assert not store.exists("a/b")
        assert not store.exists("a")
        assert store.exists("a/c")

    def test_errors_of_who_reads_are_not_the_stores(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        with pytest.raises(ConnectionResetError), store.open(KEY):
            raise ConnectionResetError
        with pytest.raises(FileNotFoundError), store.open(KEY):
            raise FileNotFoundError

    def test_truncated_object_is_noticed(self, store: ObjectStore) -> None:
        self.raw_set(store, KEY, DATA[:100])
        with pytest.raises(IntegrityError):
            store.read(KEY, 0, len(DATA))
        assert store.checksum(KEY) != hashlib.sha256(DATA).hexdigest()

    def test_local_path_if_any_is_the_object(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        path = store.local_path(KEY)
        assert path is None or path.read_bytes() == DATA

    # -- listing and deleting

    def test_list_is_sorted_by_the_characters_of_the_whole_key(self, store: ObjectStore) -> None:
        keys = ["a-1", "a.b", "a/b", "a0", "a/b.c", "a/c/d", "a/c-d", "a_b", "b", "0"]
        for key in reversed(keys):
            store.put(key, b"")
        assert list(store.list()) == sorted(keys)

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["x/a", "x/ab", "x/ab.c", "x/abc/d", "xy"]),
            ("x", ["x/a", "x/ab", "x/ab.c", "x/abc/d", "xy"]),
            ("x/", ["x/a", "x/ab", "x/ab.c", "x/abc/d"]),
            ("x/ab", ["x/ab", "x/ab.c", "x/abc/d"]),
            ("x/abc", ["x/abc/d"]),
            ("x/abc/", ["x/abc/d"]),
            ("x/a/", []),
            ("x/a/b", []),
            ("z", []),
            ("z/z/z", []),
        ],
    )
    def test_list_takes_any_beginning(self, store: ObjectStore, prefix: str, expected: list[str]) -> None:
        for key in ("x/abc/d", "x/ab.c", "x/ab", "x/a", "xy"):
            store.put(key, b"")
        assert list(store.list(prefix)) == expected

    def test_derived_objects_are_found_by_their_source(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        store.put(derived_key(DIGEST, "thumbnail-1.jpg"), b"jpeg")
        store.put(derived_key(DIGEST, "metadata-1"), b"json")
        store.put(derived_key(hashlib.sha256(b"another").hexdigest(), "metadata-1"), b"json")
        assert [key.removeprefix(derived_prefix(DIGEST)) for key in store.list(derived_prefix(DIGEST))] == [
            "metadata-1",
            "thumbnail-1.jpg",
        ]

    def test_delete_removes_and_may_be_repeated(self, store: ObjectStore) -> None:
        store.put("a/b", DATA)
        store.put("a/c", DATA)
        store.delete("a/b")
        store.delete("a/b")
        store.delete("a")
        store.delete("x/y/z")
        assert self.raw_keys(store) == {"a/c"}
        assert list(store.list()) == ["a/c"]
        store.put("a/b", b"other")
        assert store.read("a/b") == b"other"

    # -- hostile keys

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
    def test_hostile_keys_are_refused_by_every_operation(self, store: ObjectStore, tmp_path: Path, key: str) -> None:
        operations: list[Callable[[], object]] = [
            lambda: store.put(key, DATA),
            lambda: store.put_file(uploaded(tmp_path / "spooled", DATA, key)),
            lambda: store.read(key),
            lambda: list(store.stream(key)),
            lambda: store.open(key).__enter__(),
            lambda: store.stat(key),
            lambda: store.exists(key),
            lambda: store.delete(key),
        ]
        for operation in operations:
            with pytest.raises(IntegrityError) as caught:
                operation()
            assert not key.strip("./a") or key not in str(caught.value)
        assert self.raw_keys(store) == set()

    @pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../", "a//", "/etc", ".drafts/", "*", "a\0"])
    def test_hostile_prefixes_are_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(IntegrityError):
            list(store.list(prefix))

    def test_longest_keys_are_kept(self, store: ObjectStore) -> None:
        keys = ["a" * 255, "b" * 255 + "/" + "c" * 255, "/".join("d" * 255)]
        for key in keys:
            store.put(key, key.encode())
        assert list(store.list()) == keys
        assert [store.read(key) for key in keys] == [key.encode() for key in keys]

    # -- many at once

    def test_many_threads_put_the_same_object(self, store: ObjectStore, tmp_path: Path) -> None:
        data = secrets.token_bytes(100_000)
        uploads = [uploaded(tmp_path / str(n), data) for n in range(16)]
        barrier = Barrier(16)

        def put(n: int) -> None:
            barrier.wait(30)
            if n % 2:
                store.put_file(uploads[n])
            else:
                store.put(KEY, data)
            assert store.read(KEY) == data

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(put, range(16)))
        assert self.raw_keys(store) == {KEY}
        assert self.raw_get(store, KEY) == data

    def test_one_of_many_different_puts_wins(self, store: ObjectStore) -> None:
        if not self.one_of_many_wins:
            return
        barrier = Barrier(16)

        def put(n: int) -> int | None:
            barrier.wait(30)
            try:
                store.put(KEY, bytes([n]) * 1000)
            except ConflictError:
                return None
            return n

        with ThreadPoolExecutor(16) as pool:
            winners = [n for n in pool.map(put, range(16)) if n is not None]
        assert len(winners) == 1
        assert self.raw_get(store, KEY) == bytes(winners) * 1000

    def test_many_threads_put_many_objects(self, store: ObjectStore) -> None:
        contents = {object_key(hashlib.sha256(bytes([n])).hexdigest()): bytes([n]) * 100 for n in range(64)}
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(store.put, contents, contents.values()))
        assert {key: self.raw_get(store, key) for key in self.raw_keys(store)} == contents

    def test_list_goes_on_while_objects_come_and_go(self, store: ObjectStore) -> None:
        steady = [f"a/{n:02}/steady" for n in range(20)]
        for key in steady:
            store.put(key, DATA)

        def come_and_go() -> None:
            for n in range(100):
                store.put(f"a/{n % 20:02}/coming", DATA)
                store.delete(f"a/{n % 20:02}/coming")

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(come_and_go)
            while not coming.done():
                keys = list(store.list("a/"))
                assert keys == sorted(keys)
                assert [key for key in keys if key.endswith("steady")] == steady
            coming.result()
        assert self.raw_keys(store) == set(steady)

    # -- state and check

    def test_probe_is_quiet_and_capacity_plausible(self, store: ObjectStore) -> None:
        store.probe()
        room = store.capacity()
        assert room is None or 0 <= room.free_bytes <= room.total_bytes

    def test_check_passes_and_leaves_nothing(self, store: ObjectStore) -> None:
        store.put(KEY, DATA)
        steps = check_store(store)
        assert [(step.name, step.error) for step in steps] == [
            ("write", None),
            ("read back", None),
            ("list", None),
            ("range", None),
            ("checksum", None),
            ("never overwrite", None),
            ("delete", None),
        ]
        assert self.raw_keys(store) == {KEY}
        assert list(store.list(CHECK_PREFIX)) == []
