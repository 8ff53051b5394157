"""``PACS_ACK=object``: Success means that the object store has it, whatever becomes of this node."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import select

from pacs_gateway.access import Scope
from pacs_gateway.archive.archive import Archive
from pacs_gateway.archive.config import ArchiveConfig
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.errors import CapacityError, IntegrityError, UnavailableError
from pacs_gateway.gateway import Gateway
from pacs_gateway.index.rows import Outcome
from pacs_gateway.index.writer import IndexWriter, Stored
from pacs_gateway.storage.store import object_key
from tests.support.builders import encode, image, part10, uid
from tests.support.faulty_store import FaultyStore, away
from tests.support.gateways import ORIGIN, Clock, open_test_gateway

ALL = Scope(None)
# A longer head than the usual origin's: the same data set lies elsewhere in its file.
ELSEWHERE = Origin(Method.DIMSE, "A_FACILITY_WITH_A_LONG_NAME", "CT1", "127.0.0.1")


class CrashError(BaseException):
    """The process is gone: nothing behind this line happens."""


@pytest.fixture
def gateway(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[Gateway]:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url, ack="object") as opened:
        yield opened


@pytest.fixture
def store(gateway: Gateway) -> FaultyStore:
    return FaultyStore(gateway.store)


@pytest.fixture
def archive(gateway: Gateway, store: FaultyStore) -> Iterator[Archive]:
    """An archive over a store that fails when told to."""
    opened = Archive(
        gateway.database,
        store,
        gateway.spool,
        gateway.archive.retrieve.guard,
        clock=gateway.clock,
        config=ArchiveConfig(is_object_first=True),
    )
    yield opened
    opened.close()


def take(archive: Archive, *, origin: Origin = ORIGIN) -> Stored:
    """Take an image in as a C-STORE does, which does not ask for the index."""
    reception = archive.ingest.receive_part10(origin)
    try:
        reception.write(part10(image()))
        return reception.finish()
    finally:
        reception.discard()


def in_spool(gateway: Gateway) -> list[Path]:
    return list(gateway.config.spool.root.rglob("*.dcm"))


def rows(gateway: Gateway) -> list[tuple[bool, str | None, str | None]]:
    columns = (instance.c.archived_at, instance.c.spool_entry, instance.c.spool_node)
    with gateway.database.read() as connection:
        return [(at is not None, entry, node) for at, entry, node in connection.execute(select(*columns))]


def assert_kept(gateway: Gateway, archive: Archive) -> StoredInstance:
    """Check that there is one instance, in the store alone, and that it reads as it was sent."""
    assert rows(gateway) == [(True, None, None)]
    assert in_spool(gateway) == []
    (stored,) = archive.retrieve.instances(ALL, study_uid=uid(1))
    assert b"".join(archive.retrieve.stream(stored, stored.dataset_offset)) == encode(image())
    frame = archive.retrieve.frame(stored, 0)
    assert frame == image().PixelData[: len(frame)]
    return stored


def test_success_means_that_store_and_index_have_it(gateway: Gateway, archive: Archive) -> None:
    stored = take(archive)

    assert stored.outcome is Outcome.STORED
    assert gateway.store.exists(object_key(stored.record.digest))
    assert_kept(gateway, archive)


def test_a_store_that_is_away_is_no_success_and_leaves_nothing(
    gateway: Gateway, archive: Archive, store: FaultyStore
) -> None:
    store.before_put = away
    with pytest.raises(UnavailableError):
        take(archive)
    assert (rows(gateway), in_spool(gateway)) == ([], [])

    store.before_put = lambda _: None
    take(archive)
    assert_kept(gateway, archive)


def test_a_full_store_is_said_to_be_full(archive: Archive, store: FaultyStore) -> None:
    def full(_key: str) -> NoReturn:
        raise CapacityError("full")

    store.before_put = full
    with pytest.raises(CapacityError):
        take(archive)


def test_storage_is_not_accepted_while_the_store_is_away(
    gateway: Gateway, archive: Archive, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "probe", lambda: away(""))

    assert not archive.ingest.accepts_storage()
    with pytest.raises(UnavailableError):
        archive.ingest.receive_part10(ORIGIN)
    assert gateway.archive.ingest.accepts_storage()


def test_the_same_again_changes_nothing_and_is_not_sent_to_the_store(
    gateway: Gateway, archive: Archive, store: FaultyStore
) -> None:
    take(archive)
    store.before_put = away

    assert take(archive, origin=ELSEWHERE).outcome is Outcome.DUPLICATE
    assert_kept(gateway, archive)


@pytest.mark.parametrize("sent_again_first", [False, True])
def test_a_crash_between_store_and_index_loses_nothing(
    gateway: Gateway, archive: Archive, monkeypatch: pytest.MonkeyPatch, sent_again_first: bool
) -> None:
    def crash(*_: object, **__: object) -> NoReturn:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(IndexWriter, "submit", crash)
        with pytest.raises(CrashError):
            take(archive)
    assert (len(in_spool(gateway)), rows(gateway)) == (1, [])
    archive.close()

    if sent_again_first:  # nobody has told the sender that it is there
        take(gateway.archive, origin=ELSEWHERE)
        assert rows(gateway) == [(True, None, None)]
    with gateway.archive.recovery(facility="LOCAL") as recovery:
        assert recovery.adopt() == 1
        while gateway.archive.shipper().ship():
            pass
        recovery.adopt()
    assert_kept(gateway, gateway.archive)


def test_what_waits_in_the_spool_is_in_the_store_once_it_is_sent_again(
    tmp_path: Path, database_url: str, clock: Clock
) -> None:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url) as before:
        take(before.archive)
        before.archive.ingest.writer.close()
        assert len(in_spool(before)) == 1
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url, ack="object") as gateway:
        take(gateway.archive, origin=ELSEWHERE)
        with gateway.archive.recovery(facility="LOCAL") as recovery:
            recovery.adopt()
        assert_kept(gateway, gateway.archive)


def test_another_data_set_under_the_digest_is_no_success(gateway: Gateway, archive: Archive) -> None:
    digest = take(archive).record.digest
    key = object_key(digest)
    other = gateway.store.read(key)[:-1] + b"\1"
    gateway.store.delete(key)
    gateway.store.put(key, other)
    gateway.database.transact(lambda connection: connection.execute(instance.delete()))

    with pytest.raises(IntegrityError):
        take(archive)
    assert in_spool(gateway) == []
