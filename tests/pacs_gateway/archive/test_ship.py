"""From the spool into the store: a crash between any two steps loses nothing, and the next round converges."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from pacs_gateway.access import Scope
from pacs_gateway.archive.archive import Archive
from pacs_gateway.archive.ship import Recovery, Shipper
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.errors import UnavailableError
from pacs_gateway.gateway import Gateway
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import object_key
from tests.support.builders import Identity, encode, image, part10, uid
from tests.support.faulty_store import FaultyStore, away
from tests.support.gateways import ORIGIN, put, ship_all

ALL = Scope(None)


class CrashError(BaseException):
    """The process is gone: nothing behind this line happens."""


def crash(*_: object, **__: object) -> None:
    raise CrashError


def in_spool(gateway: Gateway) -> list[Path]:
    return sorted(gateway.config.spool.root.rglob("*.dcm"))


def orphan(gateway: Gateway, *files: bytes) -> Path:
    """Leave entries behind as a killed process does: published, not indexed."""
    spool = Spool(gateway.config.spool)
    archive = Archive(gateway.database, gateway.store, spool, gateway.archive.retrieve.guard, clock=gateway.clock)
    directory = archive.ingest.directory
    archive.ingest.writer.close()
    for file in files:
        reception = archive.ingest.receive_part10(ORIGIN)
        reception.write(file)
        reception.finish()
    directory.close()
    return directory.path


@contextmanager
def recovery(gateway: Gateway) -> Iterator[Recovery]:
    with gateway.archive.recovery(facility="HUE") as opened:
        yield opened


def assert_every_row_has_its_bytes(gateway: Gateway, n: int) -> None:
    with gateway.database.read() as connection:
        rows = connection.execute(select(instance)).mappings().all()
    assert len(rows) == n
    for row in rows:
        holding = gateway.archive.conflicts.part10(row["id"])
        assert b"".join(holding).endswith(encode(image(Identity(instance=row["instance_number"]))))


def test_shipping_moves_bytes_and_marks_rows(gateway: Gateway) -> None:
    stored = put(gateway, image())
    assert ship_all(gateway) == 1
    assert in_spool(gateway) == []
    assert gateway.store.exists(object_key(stored.record.digest))
    assert (
        gateway.store.checksum(object_key(stored.record.digest), stored.record.dataset_offset) == stored.record.digest
    )
    assert ship_all(gateway) == 0
    assert_every_row_has_its_bytes(gateway, 1)


def test_a_store_that_is_away_leaves_everything_in_the_spool(gateway: Gateway) -> None:
    store = FaultyStore(gateway.store)
    shipper = Shipper(gateway.database, gateway.spool, store, clock=gateway.clock)
    put(gateway, image())
    store.before_put = away
    with pytest.raises(UnavailableError):
        shipper.ship()
    assert len(in_spool(gateway)) == 1
    assert_every_row_has_its_bytes(gateway, 1)
    store.before_put = lambda _: None
    assert shipper.ship() == 1


def test_one_object_that_cannot_be_archived_does_not_stop_the_rest(gateway: Gateway) -> None:
    bad = put(gateway, image(Identity(instance=1)))
    put(gateway, image(Identity(instance=2)))
    gateway.store.put(object_key(bad.record.digest), b"other bytes")
    assert ship_all(gateway) == 1
    assert len(in_spool(gateway)) == 1
    assert_every_row_has_its_bytes(gateway, 2)


@pytest.mark.parametrize("step", ["put", "after put", "mark", "remove"])
def test_a_crash_at_any_step_of_shipping_loses_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = FaultyStore(gateway.store)
    shipper = Shipper(gateway.database, gateway.spool, store, clock=gateway.clock)
    for n in (1, 2):
        put(gateway, image(Identity(instance=n)))
    match step:
        case "put":
            store.before_put = crash
        case "after put":
            store.after_put = crash
        case "mark":
            monkeypatch.setattr(shipper, "_mark", crash)
        case _:
            monkeypatch.setattr(gateway.spool, "remove", crash)
    with pytest.raises(CrashError):
        shipper.ship()
    monkeypatch.undo()
    assert_every_row_has_its_bytes(gateway, 2)
    gateway.archive.close()
    with recovery(gateway) as opened:
        opened.adopt()
        ship_all(gateway)
        opened.adopt()
    assert in_spool(gateway) == []
    assert_every_row_has_its_bytes(gateway, 2)


def test_what_a_dead_process_left_is_indexed_with_its_origin(gateway: Gateway) -> None:
    directory = orphan(gateway, *(part10(image(Identity(instance=n))) for n in (1, 2)))
    with recovery(gateway) as opened:
        assert opened.adopt() == 2
        assert opened.adopt() == 0
        assert_every_row_has_its_bytes(gateway, 2)
        ship_all(gateway)
        opened.adopt()
    assert not directory.exists()
    (first, _) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    assert first.facility == "LOCAL"
    with gateway.database.read() as connection:
        assert set(connection.execute(select(instance.c.source, instance.c.method)).all()) == {("CT1", "dimse")}


def test_entries_of_the_living_are_left_alone(gateway: Gateway) -> None:
    put(gateway, image())
    with recovery(gateway) as opened:
        assert opened.adopt() == 0
    assert len(in_spool(gateway)) == 1


def test_a_known_entry_is_not_indexed_twice(gateway: Gateway) -> None:
    put(gateway, image())
    gateway.archive.close()
    with recovery(gateway) as opened:
        assert opened.adopt() == 0
        assert_every_row_has_its_bytes(gateway, 1)


def test_an_orphan_whose_content_is_kept_is_dropped(gateway: Gateway) -> None:
    put(gateway, image())
    orphan(gateway, part10(image()))
    with recovery(gateway) as opened:
        assert opened.adopt() == 1
        assert len(in_spool(gateway)) == 1
        assert_every_row_has_its_bytes(gateway, 1)


def test_a_damaged_entry_is_kept_and_named(gateway: Gateway) -> None:
    directory = orphan(gateway, part10(image(Identity(instance=1))), part10(image(Identity(instance=2))))
    damaged = sorted(directory.glob("*.dcm"))[0]
    os.truncate(damaged, damaged.stat().st_size - 7)
    with recovery(gateway) as opened:
        assert opened.adopt() == 1
        assert opened.damaged == [f"{directory.name}/{damaged.name}"]
    assert damaged.exists()


def test_an_entry_that_is_shipped_meanwhile_is_no_trouble(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = orphan(gateway, *(part10(image(Identity(instance=n))) for n in (1, 2)))
    with recovery(gateway) as opened:
        real = opened._known

        def known(entries: list[str]) -> set[str]:
            sorted(directory.glob("*.dcm"))[0].unlink()
            return real(entries)

        monkeypatch.setattr(opened, "_known", known)
        assert opened.adopt() == 1


def test_an_index_that_is_away_does_not_make_orphans_forgotten(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(gateway, part10(image()))
    with recovery(gateway) as opened:
        monkeypatch.setattr(opened, "_known", lambda _: away(""))
        with pytest.raises(UnavailableError):
            opened.adopt()
        monkeypatch.undo()
        assert opened.adopt() == 1


@pytest.mark.parametrize("step", ["fdatasync", "link", "fsync", "submit"])
def test_a_kill_at_any_step_of_receiving_leaves_a_whole_object_or_nothing(gateway: Gateway, step: str) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from pacs_gateway.index.writer import IndexWriter
from tests.support.builders import image
from tests.support.gateways import open_test_gateway, put
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
with open_test_gateway(Path(sys.argv[1]), database_url=sys.argv[2]) as gateway:
    gateway.archive.ingest
    if {step!r} == "submit":
        IndexWriter.submit = die
    else:
        os.{step if step != "submit" else "link"} = die
    put(gateway, image())
"""
    data = gateway.config.data_dir
    command = [sys.executable, "-c", script, str(data), gateway.config.database.url]
    process = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert process.returncode == -signal.SIGKILL
    with recovery(gateway) as opened:
        assert opened.adopt() == (0 if step in ("fdatasync", "link") else 1)
        ship_all(gateway)
        opened.adopt()
    assert in_spool(gateway) == []
    assert [path for path in gateway.config.spool.root.iterdir() if path.is_dir()] == []
    assert_every_row_has_its_bytes(gateway, 0 if step in ("fdatasync", "link") else 1)
