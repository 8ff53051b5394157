"""Removal: out of every sight at once, back again whole, and right whatever else happens at the same time."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy import select

from pacs_gateway.access import Actor, Scope
from pacs_gateway.archive.commitment import Requester
from pacs_gateway.archive.conflicts import Choice
from pacs_gateway.archive.remove import Removal, Target
from pacs_gateway.database.schema.access import audit
from pacs_gateway.database.schema.archive import instance, series, study
from pacs_gateway.domain.commitment import CommitmentRequest, Reference
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.domain.rejection import RejectionReason
from pacs_gateway.errors import ConflictError, NotFoundError
from pacs_gateway.gateway import Gateway
from pacs_gateway.index.rows import Outcome
from pacs_gateway.storage.store import REMOVAL_PREFIX
from tests.support.builders import Identity, image, report, uid
from tests.support.gateways import Clock, open_test_gateway, put, ship_all, work_all

ALL = Scope(None)
LOCAL = Scope(frozenset({"LOCAL"}))
BOSS = Actor("boss", "192.0.2.7")
STUDY = Target(uid(1))
CHANGED = {"StudyDescription": "other"}


def fill(gateway: Gateway) -> None:
    """Take in three images of one series, a report in another series, and another study."""
    for number in (1, 2, 3):
        put(gateway, image(Identity(instance=number)))
    put(gateway, report(Identity(series=2)))
    put(gateway, image(Identity(study=2)))


def values(gateway: Gateway, level: Level, study: int = 1) -> list[dict[str, str]]:
    query = Query.build(level, {"StudyInstanceUID": uid(study)})
    return [dict(match.values) for match in gateway.archive.search.find(query, ALL).matches]


def shown(gateway: Gateway, study: int = 1) -> list[str]:
    return sorted(one["SOPInstanceUID"] for one in values(gateway, Level.IMAGE, study))


def counts(gateway: Gateway, study: int = 1) -> list[tuple[str, str]]:
    names = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
    return [(one[names[0]], one[names[1]]) for one in values(gateway, Level.STUDY, study)]


def remove(gateway: Gateway, target: Target = STUDY, *, scope: Scope = ALL) -> int:
    return gateway.archive.removals.remove(scope, target, by=BOSS)


def only_removal(gateway: Gateway) -> Removal:
    (removal,) = gateway.archive.removals.list()
    return removal


def restore(gateway: Gateway) -> int:
    return gateway.archive.removals.restore(only_removal(gateway).id, by=BOSS)


@pytest.mark.parametrize(
    ("target", "n_removed", "left"),
    [
        (STUDY, 4, []),
        (Target(uid(1), uid(1, 1)), 3, [("1", "1")]),
        (Target(uid(1), uid(1, 2)), 1, [("1", "3")]),
        (Target(uid(1), uid(1, 1), uid(1, 1, 2)), 1, [("2", "3")]),
    ],
    ids=["study", "series", "other series", "instance"],
)
def test_what_is_removed_is_gone_and_comes_back_as_it_was(
    gateway: Gateway, target: Target, n_removed: int, left: list[tuple[str, str]]
) -> None:
    fill(gateway)
    before = values(gateway, Level.STUDY), values(gateway, Level.SERIES), shown(gateway)
    assert remove(gateway, target) == n_removed
    assert counts(gateway) == left
    assert counts(gateway, 2) == [("1", "1")]
    assert len(shown(gateway)) == 4 - n_removed
    assert restore(gateway) == n_removed
    assert (values(gateway, Level.STUDY), values(gateway, Level.SERIES), shown(gateway)) == before


def test_modalities_of_a_study_are_those_that_are_shown(gateway: Gateway) -> None:
    fill(gateway)
    remove(gateway, Target(uid(1), uid(1, 2)))
    assert values(gateway, Level.STUDY)[0]["ModalitiesInStudy"] == "CT"


def test_nothing_of_it_is_retrieved(gateway: Gateway) -> None:
    fill(gateway)
    work_all(gateway)
    remove(gateway)
    for read in (gateway.archive.retrieve.instances, gateway.archive.retrieve.metadata):
        with pytest.raises(NotFoundError):
            read(ALL, study_uid=uid(1))
    with pytest.raises(NotFoundError):
        gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1))
    assert gateway.archive.retrieve.by_keys(ALL, {Level.STUDY: [uid(1)]}) == ()
    assert [m.values["PatientID"] for m in gateway.archive.search.find(Query.build(Level.PATIENT, {}), ALL).matches]


def test_a_patient_of_whom_nothing_is_left_is_not_found(gateway: Gateway) -> None:
    put(gateway, image())
    remove(gateway)
    assert gateway.archive.search.find(Query.build(Level.PATIENT, {}), ALL).matches == ()


def test_metadata_and_thumbnail_follow(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image(Identity(instance=1)))
    put(gateway, image(Identity(instance=2)))
    clock.move(10)
    work_all(gateway)
    (blob,) = gateway.archive.retrieve.metadata(ALL, study_uid=uid(1))
    before = gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1))
    shows = dcmread_of(gateway, before.etag)
    remove(gateway, Target(uid(1), uid(1, 1), shows))
    for _ in range(2):  # before the worker has been there, and after
        (now,) = gateway.archive.retrieve.metadata(ALL, study_uid=uid(1))
        assert now.etag != blob.etag
        assert gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1)).etag != before.etag
        work_all(gateway)


def dcmread_of(gateway: Gateway, digest: str) -> str:
    """Return the SOP Instance UID of a content."""
    with gateway.database.read() as connection:
        return str(connection.execute(select(instance.c.sop_uid).where(instance.c.digest == digest)).scalar_one())


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        (ALL, Target(uid(9))),
        (ALL, Target(uid(1), uid(9))),
        (ALL, Target(uid(1), uid(1, 1), uid(9))),
        (Scope(frozenset({"ELSEWHERE"})), STUDY),
        (Scope(frozenset()), STUDY),
    ],
)
def test_what_is_not_there_or_not_seen_cannot_be_removed(gateway: Gateway, scope: Scope, target: Target) -> None:
    fill(gateway)
    with pytest.raises(NotFoundError):
        remove(gateway, target, scope=scope)
    assert gateway.archive.removals.list() == ()
    assert len(shown(gateway)) == 4


def test_removing_twice_finds_nothing(gateway: Gateway) -> None:
    fill(gateway)
    remove(gateway, scope=LOCAL)
    with pytest.raises(NotFoundError):
        remove(gateway)
    assert only_removal(gateway).n_instances == 4


def test_restoring_twice_is_told(gateway: Gateway) -> None:
    fill(gateway)
    remove(gateway)
    removal_id = only_removal(gateway).id
    restore(gateway)
    with pytest.raises(ConflictError):
        gateway.archive.removals.restore(removal_id, by=BOSS)
    with pytest.raises(NotFoundError):
        gateway.archive.removals.restore(removal_id + 1, by=BOSS)
    assert gateway.archive.removals.list() == ()
    (told,) = gateway.archive.removals.list(is_complete=True)
    assert (told.restored_by, told.restored_at is not None) == ("boss", True)


def test_the_record_says_who_what_and_why(gateway: Gateway) -> None:
    fill(gateway)
    target = Target(uid(1), uid(1, 1))
    gateway.archive.removals.remove(ALL, target, by=BOSS, reason=RejectionReason.QUALITY)
    removal = only_removal(gateway)
    assert (removal.target, removal.actor, removal.reason) == (target, "boss", "113001")
    assert (removal.kept_until - removal.at).days == 30
    restore(gateway)
    with gateway.database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id)).all()
    assert [(row.actor, row.address, row.action, row.subject, row.outcome) for row in rows] == [
        ("boss", "192.0.2.7", "reject", f"{uid(1)}/{uid(1, 1)} 113001", "success"),
        ("boss", "192.0.2.7", "restore", f"{uid(1)}/{uid(1, 1)}", "success"),
    ]


def test_the_object_store_is_told(gateway: Gateway) -> None:
    digests = [put(gateway, image(Identity(instance=n))).record.digest for n in (1, 2)]
    remove(gateway)
    work_all(gateway)
    (key,) = list(gateway.store.list(REMOVAL_PREFIX))
    told = orjson.loads(gateway.store.read(key))
    assert told["instances"] == [[uid(1, 1, 1), digests[0]], [uid(1, 1, 2), digests[1]]]
    assert (told["actor"], told["study_uid"]) == ("boss", uid(1))
    restore(gateway)
    work_all(gateway)
    keys = list(gateway.store.list(REMOVAL_PREFIX))
    assert [key.rpartition("/")[2] for key in keys] == ["removed.json", "restored.json"]


def test_the_bytes_stay_and_are_shipped(gateway: Gateway) -> None:
    sent = image()
    put(gateway, sent)
    remove(gateway)
    assert ship_all(gateway) == 1
    restore(gateway)
    (stored,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    assert dcmread(BytesIO(b"".join(gateway.archive.conflicts.part10(stored.id)))).PixelData == sent.PixelData


def test_the_same_sent_again_stays_removed_and_is_counted(gateway: Gateway) -> None:
    put(gateway, image())
    remove(gateway)
    assert [put(gateway, image()).outcome for _ in range(3)] == [Outcome.DUPLICATE] * 3
    work_all(gateway)
    assert shown(gateway) == []
    assert only_removal(gateway).n_sent_again == 3
    assert restore(gateway) == 1


def test_the_same_object_in_another_encoding_stays_removed(gateway: Gateway) -> None:
    put(gateway, image())
    remove(gateway)
    assert put(gateway, image(), ImplicitVRLittleEndian).outcome is Outcome.PENDING
    work_all(gateway)
    assert (shown(gateway), gateway.archive.conflicts.list()) == ([], ())


@pytest.mark.parametrize("policy", ["same-source", "first", "last"])
def test_another_content_under_its_uid_waits_for_a_person(
    tmp_path: Path, database_url: str, clock: Clock, policy: str
) -> None:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url, conflict_policy=policy) as gateway:
        put(gateway, image())
        remove(gateway)
        clock.move(1)
        put(gateway, image(Identity(extra=CHANGED)))
        work_all(gateway)
        assert shown(gateway) == []
        (disputed,) = gateway.archive.conflicts.list()
        gateway.archive.conflicts.resolve(disputed.id, Choice.MAKE_CURRENT)
        assert (shown(gateway), counts(gateway)) == ([uid(1, 1, 1)], [("1", "1")])
        assert restore(gateway) == 0
        (again,) = gateway.archive.conflicts.list()
        assert (again.state, counts(gateway)) == ("conflict", [("1", "1")])


def test_a_content_that_was_being_compared_does_not_bring_it_back(gateway: Gateway) -> None:
    put(gateway, image())
    put(gateway, image(Identity(extra=CHANGED)))
    remove(gateway)
    work_all(gateway)
    assert shown(gateway) == []
    assert [one.state for one in gateway.archive.conflicts.list()] == ["conflict"]


def test_what_is_removed_is_not_committed_to(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image(Identity(instance=1)))
    put(gateway, image(Identity(instance=2)))
    ship_all(gateway)
    remove(gateway, Target(uid(1), uid(1, 1), uid(1, 1, 1)))
    put(gateway, image(Identity(extra=CHANGED)))
    ship_all(gateway)
    references = tuple(Reference("1.2.840.10008.5.1.4.1.1.2", uid(1, 1, number)) for number in (1, 2))
    requester = Requester("CT1", "PACSGW", "LOCAL")
    request = CommitmentRequest("2.25.1", references)
    key = gateway.archive.commitments.receive(request, requester, holder="2.25.1", hold_s=10.0)
    work_all(gateway)
    clock.move(5)
    work_all(gateway)
    decided = gateway.archive.commitments.take(key, holder="2.25.1", hold_s=10.0)
    assert decided is not None
    assert [(one.reference.sop_uid, one.reason) for one in decided.result.failed] == [(uid(1, 1, 1), 0x0112)]


def together(*works: Callable[[], None]) -> None:
    """Do several things at once; what one of them raises is raised."""
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # told to the test below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def wrong_counts(gateway: Gateway) -> list[str]:
    """Return the series and studies whose counts are not the number of what is shown."""
    of_current = select(instance.c.series_key).where(instance.c.state == "current")
    with gateway.database.read() as connection:
        n_current = Counter(connection.execute(of_current).scalars())
        all_series = connection.execute(select(series)).all()
        studies = connection.execute(select(study)).all()
    wrong = [f"series {one.id}" for one in all_series if one.n_instances != n_current[one.id]]
    for one in studies:
        mine = [n_current[row.id] for row in all_series if row.study_key == one.id]
        if (one.n_instances, one.n_series) != (sum(mine), sum(n > 0 for n in mine)):
            wrong.append(f"study {one.id}")
    return wrong


N_EACH, N_SENDERS = 12, 3


def send(gateway: Gateway, sender: int) -> None:
    """Send a series of images, and now and then another content under the UID of one of them."""
    for number in range(1, N_EACH + 1):
        put(gateway, image(Identity(series=sender, instance=number)))
        if number % 4 == 0:
            put(gateway, image(Identity(series=sender, instance=number, extra=CHANGED)))


def restore_all(gateway: Gateway) -> None:
    for removal in gateway.archive.removals.list():
        gateway.archive.removals.restore(removal.id, by=BOSS)


def remove_and_restore(gateway: Gateway, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(NotFoundError):
            remove(gateway, Target(uid(1), uid(1, 1)))
        with suppress(NotFoundError):
            remove(gateway)
        restore_all(gateway)


def ship_and_derive(gateway: Gateway, over: threading.Event) -> None:
    while not over.is_set():
        ship_all(gateway)
        work_all(gateway)


def test_counts_are_right_and_nothing_is_lost_whatever_happens_at_once(gateway: Gateway) -> None:
    over = threading.Event()

    def sending() -> None:
        try:
            together(*(partial(send, gateway, sender) for sender in range(1, N_SENDERS + 1)))
        finally:
            over.set()

    together(sending, partial(remove_and_restore, gateway, over), partial(ship_and_derive, gateway, over))

    restore_all(gateway)
    work_all(gateway)
    ship_all(gateway)
    assert wrong_counts(gateway) == []
    disputed = {version.sop_uid for version in gateway.archive.conflicts.list(limit=1000)}
    assert len(set(shown(gateway)) | disputed) == N_EACH * N_SENDERS
    for stored in gateway.archive.retrieve.instances(ALL, study_uid=uid(1)):
        assert b"".join(gateway.archive.conflicts.part10(stored.id))


def test_one_of_those_who_remove_the_same_does(gateway: Gateway) -> None:
    fill(gateway)
    removed: list[int] = []

    def work() -> None:
        try:
            removed.append(remove(gateway))
        except NotFoundError:
            removed.append(0)

    together(work, work, work)
    assert sorted(removed) == [0, 0, 4]
    assert wrong_counts(gateway) == []
