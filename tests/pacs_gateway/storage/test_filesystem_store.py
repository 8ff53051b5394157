import errno
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacs_gateway.errors import CapacityError, ConflictError, IntegrityError, NotFoundError, UnavailableError
from pacs_gateway.storage import filesystem_store
from pacs_gateway.storage.filesystem_store import FilesystemStore
from pacs_gateway.storage.store import ObjectStore, Upload, object_key
from tests.support.contracts.object_store import DATA, KEY, ObjectStoreContract, uploaded


def files_under(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class FilesystemStoreContract(ObjectStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "data" / "objects"

    @pytest.fixture
    def store(self, root: Path) -> Iterator[ObjectStore]:
        before = open_descriptors()
        with FilesystemStore(root) as store:
            yield store
        assert open_descriptors() <= before

    def raw_keys(self, store: ObjectStore) -> set[str]:
        assert isinstance(store, FilesystemStore)
        return files_under(store._root)

    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        assert isinstance(store, FilesystemStore)
        return (store._root / key).read_bytes()

    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        assert isinstance(store, FilesystemStore)
        (store._root / key).parent.mkdir(parents=True, exist_ok=True)
        (store._root / key).write_bytes(data)


class TestFilesystemStore(FilesystemStoreContract):
    """Nameless files and hard links, as on ext4 and XFS."""


class TestWithoutNamelessFiles(FilesystemStoreContract):
    """As on file systems without O_TMPFILE."""

    @pytest.fixture(autouse=True)
    def _no_nameless_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.open

        def refuse(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE here")
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", refuse)


class TestAcrossFileSystems(FilesystemStoreContract):
    """As when the spool is on another file system: files are copied, never linked."""

    @pytest.fixture(autouse=True)
    def _no_links_of_named_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.link

        def refuse(src: str, dst: str, **options: Any) -> None:
            if os.stat(src).st_nlink:
                raise OSError(errno.EXDEV, "another file system")
            real(src, dst, **options)

        monkeypatch.setattr(os, "link", refuse)

    def test_object_is_a_copy(self, store: ObjectStore, tmp_path: Path, root: Path) -> None:
        upload = uploaded(tmp_path / "spooled", DATA)
        store.put_file(upload)
        assert not (root / KEY).samefile(upload.path)

    def test_file_with_another_checksum_is_not_taken(self, store: ObjectStore, tmp_path: Path, root: Path) -> None:
        with pytest.raises(IntegrityError):
            store.put_file(uploaded(tmp_path / "spooled", DATA, sha256=hashlib.sha256(b"").hexdigest()))
        assert files_under(root) == set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemStore]:
    with FilesystemStore(tmp_path / "objects") as store:
        yield store


@pytest.fixture
def root(store: FilesystemStore) -> Path:
    return store._root


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system on this machine")
def test_copies_from_a_real_other_file_system(store: FilesystemStore, root: Path) -> None:
    spooled = Path(f"/dev/shm/pacs-gateway-test-{os.getpid()}")
    try:
        store.put_file(uploaded(spooled, DATA, sha256=hashlib.sha256(DATA).hexdigest()))
    finally:
        spooled.unlink()
    assert (root / KEY).read_bytes() == DATA


def test_file_on_the_same_file_system_becomes_the_object(store: FilesystemStore, root: Path, tmp_path: Path) -> None:
    upload = uploaded(tmp_path / "spooled", DATA)
    store.put_file(upload)
    assert (root / KEY).samefile(upload.path)
    assert store.local_path(KEY) == root / KEY


def test_nobody_else_may_read(store: FilesystemStore, root: Path) -> None:
    store.put(KEY, DATA)
    assert stat.S_IMODE((root / KEY).stat().st_mode) & 0o027 == 0
    for folder in (root, (root / KEY).parent):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o027 == 0


def test_another_process_sees_the_objects(store: FilesystemStore, root: Path) -> None:
    store.put(KEY, DATA)
    with FilesystemStore(root) as other:
        assert other.read(KEY) == DATA
        other.put("a", b"b")
    assert store.read("a") == b"b"


def test_put_that_meets_a_name_being_deleted_is_not_lost(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def link(src: str, dst: str, **options: Any) -> None:
        monkeypatch.setattr(os, "link", real)
        raise FileExistsError(errno.EEXIST, "it was there, and is gone when looked at")

    monkeypatch.setattr(os, "link", link)
    store.put(KEY, DATA)
    assert store.read(KEY) == DATA


def test_reader_outlives_deletion_and_store(root: Path, store: FilesystemStore) -> None:
    store.put(KEY, DATA)
    with store.open(KEY) as reader:
        store.delete(KEY)
        store.close()
        assert reader.read(0, len(DATA)) == DATA


def test_object_that_shrinks_while_read_is_noticed(store: FilesystemStore, root: Path) -> None:
    store.put(KEY, DATA)
    with store.open(KEY) as reader:
        os.truncate(root / KEY, 10)
        assert reader.read(0, 10) == DATA[:10]
        with pytest.raises(IntegrityError):
            reader.read(0, 11)


def test_closed_store_is_unavailable(store: FilesystemStore) -> None:
    store.close()
    store.close()
    for operation in (lambda: store.put(KEY, DATA), lambda: store.read(KEY), store.probe, store.capacity):
        with pytest.raises(UnavailableError):
            operation()


# -- what is not ours inside the root


def test_symbolic_links_are_not_followed(store: FilesystemStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "linked").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    with pytest.raises(NotFoundError):
        store.read("linked/secret")
    with pytest.raises(IntegrityError):
        store.read("file")
    with pytest.raises(ConflictError):
        store.put("linked/new", DATA)
    with pytest.raises(IntegrityError):
        store.put("file", b"secret")
    store.delete("linked/secret")
    store.delete("file")
    assert list(store.list()) == []
    assert files_under(outside) == {"secret"}


def test_symbolic_link_is_not_taken_for_a_file(store: FilesystemStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(IntegrityError):
        store.put_file(Upload(KEY, tmp_path / "link", len(DATA)))
    assert files_under(root) == set()


def test_folder_is_not_taken_for_a_file(store: FilesystemStore, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        store.put_file(Upload(KEY, tmp_path, tmp_path.stat().st_size))


def test_pipe_neither_blocks_nor_is_an_object(store: FilesystemStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(IntegrityError):
        store.read("pipe")
    assert list(store.list()) == []


def test_key_is_never_the_folder_of_another(store: FilesystemStore) -> None:
    store.put("a/b", DATA)
    with pytest.raises(ConflictError):
        store.put("a", DATA)
    with pytest.raises(ConflictError):
        store.put("a/b/c", DATA)
    assert not store.exists("a/b/c")
    assert list(store.list()) == ["a/b"]


def test_names_that_are_no_keys_are_not_listed(store: FilesystemStore, root: Path) -> None:
    store.put("a/b", DATA)
    for name in (".drafts", "lost+found", "Thumbs.db", "a/.nfs000"):
        (root / name).touch()
    assert list(store.list()) == ["a/b"]


def test_abandoned_drafts_are_removed_and_fresh_ones_kept(tmp_path: Path) -> None:
    drafts = tmp_path / ".drafts"
    drafts.mkdir()
    for name, age_s in (("old", 2 * 86_400), ("fresh", 60)):
        (drafts / name).write_bytes(DATA)
        then = time.time() - age_s
        os.utime(drafts / name, (then, then))
    with FilesystemStore(tmp_path) as store:
        assert list(store.list()) == []
    assert files_under(tmp_path) == {".drafts/fresh"}


# -- order: file synced < named < folder synced < return


class Recorder:
    """Notes each sync and link, and the file or folder it was about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self._root = root
        fsync, link, mkdir = os.fsync, os.link, os.mkdir

        def recorded_fsync(fd: int) -> None:
            fsync(fd)
            self.calls.append(("fsync", self._of(fd)))

        def recorded_link(src: str, dst: str, *, dst_dir_fd: int, follow_symlinks: bool) -> None:
            link(src, dst, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            self.calls.append(("link", f"{self._of(dst_dir_fd)}/{dst}"))

        def recorded_mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            mkdir(path, mode, dir_fd=dir_fd)
            self.calls.append(("mkdir", str(path) if dir_fd is None else f"{self._of(dir_fd)}/{path}"))

        monkeypatch.setattr(os, "fsync", recorded_fsync)
        monkeypatch.setattr(os, "link", recorded_link)
        monkeypatch.setattr(os, "mkdir", recorded_mkdir)

    def _of(self, fd: int) -> str:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            return "file"
        return str(Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(self._root.parent))


def test_put_syncs_file_then_names_it_then_syncs_every_new_folder(
    store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch, root)
    store.put("a/b/1", DATA)
    assert recorder.calls == [
        ("mkdir", "objects/a"),
        ("mkdir", "objects/a/b"),
        ("fsync", "file"),
        ("link", "objects/a/b/1"),
        ("fsync", "objects"),
        ("fsync", "objects/a"),
        ("fsync", "objects/a/b"),
    ]


def test_put_into_a_known_folder_syncs_only_it(
    store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/b/1", DATA)
    recorder = Recorder(monkeypatch, root)
    store.put("a/b/2", DATA)
    assert recorder.calls == [("fsync", "file"), ("link", "objects/a/b/2"), ("fsync", "objects/a/b")]


def test_folder_made_by_another_process_is_not_believed_durable(
    store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a/b").mkdir(parents=True)
    recorder = Recorder(monkeypatch, root)
    store.put("a/b/1", DATA)
    assert recorder.calls[-3:] == [("fsync", "objects"), ("fsync", "objects/a"), ("fsync", "objects/a/b")]


def test_same_bytes_again_are_durable_too_on_return(
    store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/1", DATA)
    recorder = Recorder(monkeypatch, root)
    store.put("a/1", DATA)
    assert recorder.calls[-1] == ("fsync", "objects/a")


def test_put_file_costs_one_link_and_one_sync(
    store: FilesystemStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/1", DATA)
    upload = uploaded(tmp_path / "spooled", DATA, "a/2")
    recorder = Recorder(monkeypatch, root)
    store.put_file(upload)
    assert recorder.calls == [("link", "objects/a/2"), ("fsync", "objects/a")]


def test_put_files_names_all_then_syncs_each_folder_once(
    store: FilesystemStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in "ab":
        store.put(f"{folder}/0", DATA)
    uploads = [uploaded(tmp_path / key.replace("/", "-"), DATA, key) for key in ("a/1", "b/1", "a/2", "b/2")]
    recorder = Recorder(monkeypatch, root)
    store.put_files(uploads)
    links = [("link", f"objects/{upload.key}") for upload in uploads]
    assert recorder.calls == [*links, ("fsync", "objects/a"), ("fsync", "objects/b")]


def test_folder_removed_behind_its_back_is_made_again_and_durable(
    store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/1", DATA)
    (root / "a/1").unlink()
    (root / "a").rmdir()
    recorder = Recorder(monkeypatch, root)
    store.put("a/1", DATA)
    assert store.read("a/1") == DATA
    assert recorder.calls[-2:] == [("fsync", "objects"), ("fsync", "objects/a")]


def test_same_file_again_is_not_read(store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash between link and unlink every entry of a spool is put again."""
    upload = uploaded(tmp_path / "spooled", DATA)
    store.put_file(upload)
    monkeypatch.setattr(os, "pread", None)
    store.put_file(upload)


def test_delete_syncs_the_folder(store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a/1", DATA)
    recorder = Recorder(monkeypatch, root)
    store.delete("a/1")
    assert recorder.calls == [("fsync", "objects/a")]


def test_new_root_is_durable_with_all_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch, tmp_path)
    FilesystemStore(tmp_path / "x" / "y").close()
    name = tmp_path.name
    assert recorder.calls == [
        ("mkdir", str(tmp_path / "x")),
        ("fsync", name),
        ("mkdir", str(tmp_path / "x" / "y")),
        ("fsync", f"{name}/x"),
    ]


# -- disks that fail


REAL_FSYNC = os.fsync


def failing(error: int, when: Callable[[int], bool] = lambda _: True) -> Callable[[int], None]:
    def fsync(fd: int) -> None:
        if when(fd):
            raise OSError(error, os.strerror(error))
        REAL_FSYNC(fd)

    return fsync


def is_folder(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def is_file(fd: int) -> bool:
    return not is_folder(fd)


@pytest.mark.parametrize("when", [is_folder, is_file], ids=["folder", "file"])
def test_failed_sync_is_no_success_and_is_never_tried_again(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]
) -> None:
    store.put("old", DATA)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(errno.EIO, when))
        with pytest.raises(UnavailableError):
            store.put(KEY, DATA)
    refused: list[Callable[[], object]] = [
        lambda: store.put(KEY, DATA),
        lambda: store.put_file(uploaded(tmp_path / "spooled", DATA)),
        lambda: store.delete("old"),
        store.probe,
    ]
    for operation in refused:
        with pytest.raises(UnavailableError):
            operation()
    assert store.read("old") == DATA


def test_put_that_overlaps_a_failed_sync_is_no_success(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        """Let another put meet the error, and with it use up the kernel's only report."""
        monkeypatch.setattr(os, "fsync", failing(errno.EIO, is_folder))
        with pytest.raises(UnavailableError):
            store.put("a/other", DATA)
        monkeypatch.setattr(os, "fsync", REAL_FSYNC)
        REAL_FSYNC(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UnavailableError):
        store.put("a/this", DATA)


@pytest.mark.parametrize("call", ["write", "fsync", "link", "mkdir"])
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, CapacityError),
        (errno.EDQUOT, CapacityError),
        (errno.EIO, UnavailableError),
        (errno.EROFS, UnavailableError),
        (errno.ENOENT, UnavailableError),
    ],
)
def test_failed_put_has_its_name_and_leaves_nothing(
    store: FilesystemStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[Exception],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(error) as caught:
            store.put(KEY, DATA)
    assert isinstance(caught.value.__cause__, OSError)
    assert files_under(root) == set()
    if error is CapacityError:
        store.put(KEY, DATA)
        assert store.read(KEY) == DATA


def test_short_writes_are_finished(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    store.put(KEY, DATA)
    assert store.read(KEY) == DATA


def test_short_reads_are_finished(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, DATA)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 7), offset))
    assert store.read(KEY) == DATA


def test_unreadable_disk_is_unavailable(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, DATA)

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "damaged")

    with store.open(KEY) as reader:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(UnavailableError):
            reader.read(0, 1)


def test_removed_root_is_unavailable(store: FilesystemStore, root: Path, tmp_path: Path) -> None:
    root.rmdir()
    for operation in (
        store.probe,
        lambda: store.put(KEY, DATA),
        lambda: store.put_file(uploaded(tmp_path / "f", DATA)),
    ):
        with pytest.raises(UnavailableError):
            operation()


def test_read_only_disk_is_seen_by_the_probe(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = os.statvfs(store._root)
    values = [*facts[:8], facts.f_flag | os.ST_RDONLY, *facts[9:]]
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(values))
    with pytest.raises(UnavailableError, match="read-only"):
        store.probe()


LIMITED = """
import resource, sys
from pathlib import Path
from pacs_gateway.errors import CapacityError
from pacs_gateway.storage.filesystem_store import FilesystemStore

resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
store = FilesystemStore(Path(sys.argv[1]))
store.put("fits", bytes(65536))
try:
    store.put("too-large", bytes(65537))
except CapacityError:
    print("full")
"""


def test_real_limit_of_the_system_is_a_lack_of_capacity(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "objects")],
        cwd=Path(filesystem_store.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "full\n"
    assert files_under(tmp_path / "objects") == {"fits"}


KILLED = """
import hashlib, sys
from pathlib import Path
from pacs_gateway.storage.filesystem_store import FilesystemStore
from pacs_gateway.storage.store import object_key

store = FilesystemStore(Path(sys.argv[1]))
n = 0
while True:
    data = n.to_bytes(8, "big") * 4096
    store.put(object_key(hashlib.sha256(data).hexdigest()), data)
    print(n, flush=True)
    n += 1
"""


@pytest.mark.parametrize("n_acknowledged", [1, 5, 20])
def test_killed_writer_leaves_whole_objects_only(tmp_path: Path, n_acknowledged: int) -> None:
    root = tmp_path / "objects"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)],
        cwd=Path(filesystem_store.__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        for _ in range(n_acknowledged):
            writer.stdout.readline()
        writer.kill()
        n_acknowledged += len(writer.stdout.readlines())
    with FilesystemStore(root) as store:
        keys = list(store.list())
        assert [object_key(store.checksum(key)) for key in keys] == keys
        for n in range(n_acknowledged):
            data = n.to_bytes(8, "big") * 4096
            assert store.exists(object_key(hashlib.sha256(data).hexdigest()))
    assert files_under(root) == set(keys)
