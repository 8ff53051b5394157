import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_gateway.errors import CapacityError, NotFoundError, UnavailableError
from pacs_gateway.storage import spool as spool_module
from pacs_gateway.storage.spool import Spool, SpoolConfig, SpoolDirectory

DIGEST = "ab" * 32


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(SpoolConfig(tmp_path / "spool"))


@pytest.fixture
def directory(spool: Spool) -> Iterator[SpoolDirectory]:
    opened = spool.open_directory()
    yield opened
    opened.close()


def publish(directory: SpoolDirectory, data: bytes, name: str = DIGEST) -> str:
    fd = directory.create_file()
    try:
        os.write(fd, data)
        directory.begin_sync(fd)
        directory.sync(fd)
        return directory.publish(fd, name)
    finally:
        os.close(fd)


def test_an_entry_appears_whole_or_not_at_all(spool: Spool, directory: SpoolDirectory) -> None:
    fd = directory.create_file()
    os.write(fd, b"whole")
    directory.sync(fd)
    assert directory.entries() == []
    entry = directory.publish(fd, DIGEST)
    os.close(fd)
    assert directory.entries() == [entry]
    with spool.open(entry) as reader:
        assert reader.read(0, reader.size_bytes) == b"whole"


def test_nothing_is_overwritten(spool: Spool, directory: SpoolDirectory) -> None:
    entry = publish(directory, b"first")
    with pytest.raises(UnavailableError):
        publish(directory, b"second")
    assert spool.path(entry).read_bytes() == b"first"


def test_reading_goes_on_when_the_entry_is_removed(spool: Spool, directory: SpoolDirectory) -> None:
    entry = publish(directory, b"bytes")
    with spool.open(entry) as reader:
        spool.remove([entry, entry])
        assert reader.read(1, 3) == b"yte"
    with pytest.raises(NotFoundError), spool.open(entry):
        pass


@pytest.mark.parametrize(
    "entry",
    ["", "a", "a/b", "../x.dcm", "a/../x.dcm", "/etc/passwd.dcm", "a/.x.dcm", "a/b/c.dcm", "./x.dcm", "a\0/x.dcm"],
)
def test_hostile_entries_name_nothing(spool: Spool, entry: str) -> None:
    with pytest.raises(NotFoundError):
        spool.path(entry)


def test_the_directories_of_the_living_are_not_adopted(spool: Spool, directory: SpoolDirectory) -> None:
    publish(directory, b"mine")
    assert list(spool.orphans()) == []


def test_the_directories_of_the_dead_are_adopted_once(spool: Spool) -> None:
    dead = spool.open_directory()
    entry = publish(dead, b"left")
    dead.close()
    (orphan,) = spool.orphans()
    assert orphan.entries() == [entry]
    assert list(spool.orphans()) == []
    orphan.close(remove=True)
    assert dead.path.exists()
    (orphan,) = spool.orphans()
    spool.remove([entry])
    orphan.close(remove=True)
    assert not dead.path.exists()


def _die(root: Path) -> None:
    publish(Spool(SpoolConfig(root)).open_directory(), b"left")
    os._exit(9)


def test_a_process_that_dies_leaves_an_orphan(spool: Spool) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(spool.root,))
    process.start()
    process.join(60)
    (orphan,) = spool.orphans()
    assert len(orphan.entries()) == 1
    orphan.close()


def test_a_directory_that_is_taken_for_an_orphans_while_made_is_made_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SpoolDirectory.adopt
    taken: list[Path] = []

    def adopt_late(path: Path) -> SpoolDirectory | None:
        if not taken:
            taken.append(path)
            thief = real(path)
            assert thief is not None
            thief.close(remove=True)
            assert not path.exists()
        return real(path)

    monkeypatch.setattr(SpoolDirectory, "adopt", adopt_late)
    directory = spool.open_directory()
    assert directory.path.exists()
    assert directory.path not in taken
    directory.close(remove=True)


def test_many_processes_of_a_node_open_while_others_adopt(spool: Spool) -> None:
    stop, errors = threading.Event(), []

    def adopt() -> None:
        while not stop.is_set():
            for orphan in spool.orphans():
                orphan.close(remove=True)

    adopter = threading.Thread(target=adopt)
    adopter.start()
    try:
        for _ in range(100):
            directory = spool.open_directory()
            try:
                publish(directory, b"x")
            except (NotFoundError, UnavailableError) as error:
                errors.append(error)
            directory.close()
    finally:
        stop.set()
        adopter.join()
    assert errors == []
    assert sum(1 for _ in spool.root.rglob("*.dcm")) == 100


def test_the_low_water_mark_is_a_part_of_the_disk_or_an_amount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(SpoolConfig(tmp_path, refuse_free_fraction=0.10, refuse_free_bytes=20))
    for total, free, accepts in ((100, 9, False), (100, 10, True), (1000, 19, False), (1000, 20, True)):
        usage = spool_module.shutil._ntuple_diskusage(total, total - free, free)  # type: ignore[attr-defined]
        monkeypatch.setattr(spool_module.shutil, "disk_usage", lambda _, usage=usage: usage)  # type: ignore[attr-defined]
        assert spool.accepts() is accepts


def test_a_full_disk_is_a_matter_of_capacity(directory: SpoolDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(CapacityError):
        publish(directory, b"x")
    assert directory.entries() == []
