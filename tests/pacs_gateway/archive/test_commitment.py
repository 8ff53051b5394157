"""Storage commitment: positive only for what the object store has, intact, now; every transaction ends."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pacs_gateway.archive.commitment import (
    COMMITMENT_CHECK,
    COMMITMENT_REPORT,
    CommitmentState,
    Report,
    Requester,
)
from pacs_gateway.archive.commitment_check import CommitmentCheck
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.database.schema.commitment import commitment, commitment_instance
from pacs_gateway.domain.commitment import CommitmentRequest, Reference
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.errors import ConflictError, NotFoundError, UnavailableError
from pacs_gateway.gateway import Gateway
from pacs_gateway.jobs.queue import Job, JobState
from pacs_gateway.storage.cached_store import CacheConfig, CachedStore
from pacs_gateway.storage.store import object_key
from tests.support.builders import Identity, encode, image, part10, report, uid
from tests.support.faulty_store import FaultyStore, away
from tests.support.gateways import ORIGIN, Clock, put, ship_all, work_all
from tests.support.synthetic_ct import data_set_of

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
CT1 = Requester("CT1", "PACSGW", "LOCAL")
TRANSACTION = "2.25.1"
HOLD_S = 10.0
DAY_S = 24 * 3600.0


def ref(instance: int = 1, *, sop_class: str = CT, study: int = 1) -> Reference:
    return Reference(sop_class, uid(study, 1, instance))


def ask(gateway: Gateway, *references: Reference, requester: Requester = CT1, transaction: str = TRANSACTION) -> int:
    request = CommitmentRequest(transaction, references)
    return gateway.archive.commitments.receive(request, requester, holder=transaction, hold_s=HOLD_S)


def keep(gateway: Gateway, *instances: int, origin: Origin = ORIGIN, study: int = 1) -> None:
    """Take images in and wait until the last of them, which is committed with or after the others, is indexed."""
    for number in instances:
        reception = gateway.archive.ingest.receive_part10(origin)
        reception.write(part10(image(Identity(study=study, instance=number))))
        reception.finish(wait_for_index=number == instances[-1])


def decide(gateway: Gateway, clock: Clock) -> None:
    """Do what is to be done, and again after the moment that an instance may take to be indexed."""
    work_all(gateway)
    clock.move(4)
    work_all(gateway)


def outcome(gateway: Gateway, key: int) -> Report:
    taken = gateway.archive.commitments.take(key, holder=TRANSACTION, hold_s=HOLD_S)
    assert taken is not None
    return taken


def failures(gateway: Gateway, key: int) -> dict[str, int]:
    return {failure.reference.sop_uid: failure.reason for failure in outcome(gateway, key).result.failed}


def object_path(gateway: Gateway, number: int) -> Path:
    """Return the file of an object in the local store."""
    with gateway.database.read() as connection:
        digest = select(instance.c.digest).where(instance.c.sop_uid == uid(1, 1, number))
        path = gateway.store.local_path(object_key(connection.execute(digest).scalar_one()))
    assert path is not None
    return path


def damage(path: Path) -> None:
    """Change the last byte of an object: a pixel."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o640)
    path.write_bytes(content)


def run_check(check: CommitmentCheck, key: int) -> int | None:
    return check.run(Job(1, COMMITMENT_CHECK, str(key), JobState.RUNNING, 0, 1, 0, ""))


def test_what_the_store_has_is_committed_to(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1, 2)
    ship_all(gateway)
    key = ask(gateway, ref(1), ref(2))

    work_all(gateway)

    assert gateway.archive.commitments.state(key) is CommitmentState.DECIDED
    found = outcome(gateway, key)
    assert found.requester == CT1
    assert found.result.transaction_uid == TRANSACTION
    assert list(found.result.committed) == [ref(1), ref(2)]
    assert list(found.result.failed) == []


def test_of_many_exactly_the_damaged_and_the_missing_object_fail(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    keep(gateway, *range(1, 301))
    ship_all(gateway)
    damage(object_path(gateway, 77))
    object_path(gateway, 205).unlink()
    key = ask(gateway, *(ref(number) for number in range(1, 301)))

    with caplog.at_level(logging.ERROR):
        work_all(gateway)

    assert failures(gateway, key) == {uid(1, 1, 77): 0x0110, uid(1, 1, 205): 0x0110}
    assert len(outcome(gateway, key).result.committed) == 298
    assert sum("integrity fault" in message for message in caplog.messages) == 2


def test_a_truncated_object_fails(gateway: Gateway) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    path = object_path(gateway, 1)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:100])
    key = ask(gateway, ref(1))

    work_all(gateway)

    assert failures(gateway, key) == {uid(1, 1, 1): 0x0110}


def test_what_is_not_kept_or_of_another_class_fails(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1, 2)
    put(gateway, report(Identity(instance=3)))
    ship_all(gateway)
    key = ask(gateway, ref(1), ref(2, sop_class=SR), ref(3, sop_class=SR), ref(4))

    decide(gateway, clock)

    assert failures(gateway, key) == {uid(1, 1, 2): 0x0119, uid(1, 1, 4): 0x0112}
    assert list(outcome(gateway, key).result.committed) == [ref(1), ref(3, sop_class=SR)]


def test_an_instance_that_is_not_indexed_yet_is_waited_for(gateway: Gateway, clock: Clock) -> None:
    key = ask(gateway, ref(1))
    work_all(gateway)
    assert gateway.archive.commitments.state(key) is CommitmentState.CHECKING

    keep(gateway, 1)
    ship_all(gateway)
    clock.move(1)
    work_all(gateway)

    assert failures(gateway, key) == {}


def test_another_facility_has_no_such_instance(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    key = ask(gateway, ref(1), requester=Requester("CT9", "PACSGW", "HUE"))

    decide(gateway, clock)

    assert failures(gateway, key) == {uid(1, 1, 1): 0x0112}


def test_what_a_facility_sent_to_a_study_of_another_is_committed_to(gateway: Gateway) -> None:
    keep(gateway, 1)
    keep(gateway, 2, origin=Origin(Method.DIMSE, "HUE", "CT9", "127.0.0.1"))
    ship_all(gateway)
    key = ask(gateway, ref(2), requester=Requester("CT9", "PACSGW", "HUE"))

    work_all(gateway)

    assert failures(gateway, key) == {}


def test_every_content_under_a_uid_must_be_intact(gateway: Gateway) -> None:
    keep(gateway, 1)
    other = image(Identity(instance=1, extra={"StudyDescription": "other"}))
    put(gateway, other)
    ship_all(gateway)
    (path,) = [
        path
        for path in (gateway.config.data_dir / "objects" / "instances").rglob("*.dcm")
        if data_set_of(path.read_bytes()) == encode(other)
    ]
    damage(path)
    key = ask(gateway, ref(1))

    work_all(gateway)

    assert failures(gateway, key) == {uid(1, 1, 1): 0x0110}


def test_what_is_only_in_the_spool_is_waited_for(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1, 2)
    key = ask(gateway, ref(1), ref(2))
    for _ in range(10):
        clock.move(60)
        work_all(gateway)
        assert gateway.archive.commitments.state(key) is CommitmentState.CHECKING

    ship_all(gateway)
    clock.move(60)
    work_all(gateway)

    assert failures(gateway, key) == {}


def test_what_does_not_get_to_the_store_within_a_day_fails(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    keep(gateway, 2)
    key = ask(gateway, ref(1), ref(2))
    work_all(gateway)

    clock.move(DAY_S)
    work_all(gateway)

    assert failures(gateway, key) == {uid(1, 1, 2): 0x0110}


def test_a_store_that_is_away_is_waited_for(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1, 2)
    ship_all(gateway)
    store = FaultyStore(gateway.store)
    check = CommitmentCheck(gateway.database, store, clock=clock.shared)
    key = ask(gateway, ref(1), ref(2))
    store.before_read = away
    with pytest.raises(UnavailableError):
        run_check(check, key)
    assert gateway.archive.commitments.state(key) is CommitmentState.CHECKING

    store.before_read = lambda _: None
    assert run_check(check, key) is None

    assert failures(gateway, key) == {}


def test_what_was_decided_before_the_store_went_away_stays_decided(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1, 2)
    ship_all(gateway)
    store = FaultyStore(gateway.store)
    check = CommitmentCheck(gateway.database, store, clock=clock.shared)
    key = ask(gateway, ref(1), ref(2))
    first_read: list[str] = []

    def fail_after_first(object_name: str) -> None:
        first_read.append(object_name)
        if object_name != first_read[0]:
            away(object_name)

    store.before_read = fail_after_first
    with pytest.raises(UnavailableError):
        run_check(check, key)
    read_again: list[str] = []
    store.before_read = read_again.append
    run_check(check, key)

    assert len(read_again) == 1
    assert read_again[0] != first_read[0]
    assert failures(gateway, key) == {}


def test_a_copy_on_the_local_disk_proves_nothing(gateway: Gateway, clock: Clock, tmp_path: Path) -> None:
    keep(gateway, 1, 2)
    ship_all(gateway)
    store = CachedStore(gateway.store, CacheConfig(tmp_path / "cache", 1 << 30, keep_free_fraction=0.0))
    for path in (object_path(gateway, 1), object_path(gateway, 2)):
        store.read(object_key(path.stem))
    damage(object_path(gateway, 1))
    object_path(gateway, 2).unlink()
    assert len(list((tmp_path / "cache").glob("*/*"))) == 2
    key = ask(gateway, ref(1), ref(2))

    run_check(CommitmentCheck(gateway.database, store, clock=clock.shared), key)

    assert failures(gateway, key) == {uid(1, 1, 1): 0x0110, uid(1, 1, 2): 0x0110}


def test_a_transaction_uid_counts_once_for_a_requester(gateway: Gateway) -> None:
    keep(gateway, 1)
    ask(gateway, ref(1))

    request = CommitmentRequest(TRANSACTION, [ref(1)])
    with pytest.raises(ConflictError):
        gateway.archive.commitments.receive(request, CT1, holder="another", hold_s=HOLD_S)

    other = gateway.archive.commitments.receive(request, replace(CT1, ae_title="CT2"), holder="another", hold_s=HOLD_S)
    assert gateway.archive.commitments.state(other) is CommitmentState.CHECKING


def test_a_request_whose_commit_was_not_confirmed_is_recognised(gateway: Gateway) -> None:
    assert ask(gateway, ref(1)) == ask(gateway, ref(1))

    with gateway.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(commitment_instance)).scalar_one() == 1


def report_due_at(gateway: Gateway) -> Sequence[int]:
    return [job.run_at for job in gateway.jobs.list() if job.kind == COMMITMENT_REPORT]


def test_a_worker_reports_only_when_the_association_has_had_its_time(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    key = ask(gateway, ref(1))
    work_all(gateway)

    commitments = gateway.archive.commitments
    (due_at,) = report_due_at(gateway)
    assert due_at == gateway_now(clock) + round(HOLD_S * 1e6)
    assert commitments.take(key, holder="worker", hold_s=60) is None
    assert commitments.held_until(key) == due_at
    clock.move(HOLD_S)
    assert commitments.take(key, holder="worker", hold_s=60) is not None
    assert commitments.take(key, holder=TRANSACTION, hold_s=60) is None


def gateway_now(clock: Clock) -> int:
    return round(clock().timestamp() * 1e6)


def test_an_association_that_ends_lets_a_worker_report_at_once(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    key = ask(gateway, ref(1))
    gateway.archive.commitments.release(key, holder=TRANSACTION)
    work_all(gateway)
    assert report_due_at(gateway) == [gateway_now(clock)]

    second = ask(gateway, ref(1), transaction="2.25.2")
    work_all(gateway)
    gateway.archive.commitments.release(second, holder="2.25.2")
    assert report_due_at(gateway) == [gateway_now(clock)] * 2


def test_an_acknowledged_report_is_not_sent_again(gateway: Gateway) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    key = ask(gateway, ref(1))
    work_all(gateway)
    outcome(gateway, key)

    commitments = gateway.archive.commitments
    commitments.deliver(key)
    commitments.release(key, holder=TRANSACTION)

    assert commitments.state(key) is CommitmentState.DELIVERED
    assert commitments.held_until(key) is None
    assert commitments.take(key, holder="worker", hold_s=60) is None


def test_a_report_is_tried_with_growing_pauses_for_a_day(gateway: Gateway, clock: Clock) -> None:
    keep(gateway, 1)
    ship_all(gateway)
    key = ask(gateway, ref(1))
    work_all(gateway)
    clock.move(HOLD_S)
    commitments = gateway.archive.commitments
    pauses: list[float] = []
    n_tries = 0
    while commitments.take(key, holder="worker", hold_s=60) is not None:
        n_tries += 1
        again_at = commitments.put_off(key, "away", holder="worker")
        if again_at is None:
            break
        pauses.append((again_at - gateway_now(clock)) / 1e6)
        clock.move(pauses[-1])

    assert commitments.state(key) is CommitmentState.GIVEN_UP
    assert 1.5 <= pauses[0] <= 2
    assert all(450 <= pause <= 600 for pause in pauses[9:])
    assert sum(pauses) >= DAY_S - HOLD_S
    assert n_tries < 220


def test_what_is_old_is_forgotten_with_its_instances(gateway: Gateway, clock: Clock) -> None:
    key = ask(gateway, ref(1))
    clock.move(DAY_S)
    young = ask(gateway, ref(1), transaction="2.25.2")

    gateway.archive.commitments.prune(before=gateway_now(clock))

    with pytest.raises(NotFoundError):
        gateway.archive.commitments.state(key)
    with gateway.database.read() as connection:
        assert connection.execute(select(commitment.c.id)).scalars().all() == [young]
        assert connection.execute(select(commitment_instance.c.commitment_key)).scalars().all() == [young]
    work_all(gateway)


def test_a_request_with_very_many_instances_is_kept(gateway: Gateway) -> None:
    references = [Reference(CT, f"2.25.{number}") for number in range(1, 20_001)]
    key = ask(gateway, *references)

    with gateway.database.read() as connection:
        mine = commitment_instance.c.commitment_key == key
        n_kept = connection.execute(select(func.count()).where(mine)).scalar_one()
    assert n_kept == len(references)
