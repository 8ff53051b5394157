"""Rejection notes: what they name is gone, within what their sender may, once, whenever it comes."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sqlalchemy import select

from pacs_gateway.access import Actor, Scope
from pacs_gateway.archive.archive import Archive
from pacs_gateway.archive.remove import Removal, Target
from pacs_gateway.database.schema.access import audit
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.domain.rejection import Reach, RejectionReason
from pacs_gateway.gateway import Gateway
from pacs_gateway.storage.spool import Spool
from tests.support.builders import Identity, image, part10, rejection_note, uid
from tests.support.gateways import ORIGIN, Clock, open_test_gateway, put, put_file, work_all

ALL = Scope(None)
QUALITY_DESK = replace(ORIGIN, source="QC", address="192.0.2.9", reach=Reach.OWN)
ADMINISTRATOR = replace(ORIGIN, source="boss", reach=Reach.ALL)
NOTE = Identity(series=9, instance=9)


def named(*numbers: tuple[int, int, int]) -> list[tuple[str, str, str]]:
    return [(uid(one[0]), uid(*one[:2]), uid(*one)) for one in numbers]


def note(*numbers: tuple[int, int, int], title: str = "113001", scheme: str = "DCM", at: Identity = NOTE) -> Dataset:
    return rejection_note(at, named(*numbers), title=title, scheme=scheme)


def images(*numbers: int, study: int = 1) -> Sequence[Dataset]:
    return [image(Identity(study=study, instance=number)) for number in numbers]


def fill(gateway: Gateway, *objects: Dataset) -> None:
    for one in objects:
        put(gateway, one)


def shown(gateway: Gateway, study: int = 1) -> list[str]:
    query = Query.build(Level.IMAGE, {"StudyInstanceUID": uid(study), "Modality": "CT"})
    found = gateway.archive.search.find(query, ALL).matches
    return sorted(one.values["SOPInstanceUID"].rpartition(".")[2] for one in found)


def removals(gateway: Gateway) -> tuple[Removal, ...]:
    return gateway.archive.removals.list()


@pytest.mark.parametrize("reason", list(RejectionReason))
def test_what_a_note_names_goes_into_the_trash(gateway: Gateway, reason: RejectionReason) -> None:
    fill(gateway, *images(1, 2, 3))
    put(gateway, note((1, 1, 1), (1, 1, 3), title=reason), origin=QUALITY_DESK)
    work_all(gateway)
    assert shown(gateway) == ["2"]
    (removal,) = removals(gateway)
    assert (removal.target, removal.n_instances) == (Target(uid(1), uid(1, 1)), 2)
    assert (removal.actor, removal.reason) == ("QC", reason)
    with gateway.database.read() as connection:
        (row,) = connection.execute(select(audit)).all()
    assert (row.actor, row.address, row.action, row.outcome) == ("QC", "192.0.2.9", "reject", "success")
    assert row.subject == f"{uid(1)}/{uid(1, 1)} {reason}"


def test_the_note_itself_stays_to_be_read(gateway: Gateway) -> None:
    fill(gateway, *images(1))
    put(gateway, note((1, 1, 1)), origin=QUALITY_DESK)
    work_all(gateway)
    (left,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    assert left.sop_uid == uid(1, 9, 9)


def test_a_deflated_note_counts(gateway: Gateway) -> None:
    fill(gateway, *images(1, 2))
    put(gateway, note((1, 1, 1)), DeflatedExplicitVRLittleEndian, origin=QUALITY_DESK)
    work_all(gateway)
    assert shown(gateway) == ["2"]
    assert removals(gateway)[0].target == Target(uid(1), uid(1, 1), uid(1, 1, 1))


@pytest.mark.parametrize(("title", "scheme"), [("113000", "DCM"), ("113001", "99X"), ("", "DCM")])
def test_another_title_rejects_nothing(gateway: Gateway, title: str, scheme: str) -> None:
    fill(gateway, *images(1))
    put(gateway, note((1, 1, 1), title=title, scheme=scheme), origin=ADMINISTRATOR)
    work_all(gateway)
    assert (shown(gateway), removals(gateway)) == (["1"], ())


def test_a_sender_that_may_not_delete_hides_nothing_and_that_is_said(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    fill(gateway, *images(1))
    with caplog.at_level(logging.WARNING, "pacs_gateway.archive.rejection_note"):
        put(gateway, note((1, 1, 1)))
        work_all(gateway)
    assert (shown(gateway), removals(gateway)) == (["1"], ())
    assert caplog.messages == ["a rejection note of CT1 hides nothing: its sender may not delete"]
    assert len(gateway.archive.retrieve.instances(ALL, study_uid=uid(1))) == 2
    with gateway.database.read() as connection:
        (row,) = connection.execute(select(audit)).all()
    assert (row.actor, row.action, row.subject, row.outcome) == ("CT1", "reject", uid(1), "failure")


def test_a_device_reaches_its_own_facility_alone(gateway: Gateway) -> None:
    fill(gateway, *images(1))
    elsewhere = replace(QUALITY_DESK, facility="ELSEWHERE")
    put(gateway, note((1, 1, 1), at=Identity(study=5)), origin=elsewhere)
    work_all(gateway)
    assert (shown(gateway), removals(gateway)) == (["1"], ())
    put(gateway, note((1, 1, 1), at=Identity(study=6)), origin=replace(ADMINISTRATOR, facility="ELSEWHERE"))
    work_all(gateway)
    assert shown(gateway) == []


def test_a_note_may_name_several_studies(gateway: Gateway) -> None:
    fill(gateway, *images(1, 2), *images(1, study=2))
    put(gateway, note((1, 1, 1), (2, 1, 1)), origin=QUALITY_DESK)
    work_all(gateway)
    assert (shown(gateway), shown(gateway, 2)) == (["2"], [])
    assert {removal.target.study_uid for removal in removals(gateway)} == {uid(1), uid(2)}


def test_an_instance_is_named_by_its_study_too(gateway: Gateway) -> None:
    fill(gateway, *images(1))
    put(gateway, rejection_note(NOTE, [(uid(2), uid(1, 1), uid(1, 1, 1))]), origin=ADMINISTRATOR)
    work_all(gateway)
    assert shown(gateway) == ["1"]


def test_what_comes_after_its_note_is_hidden_when_it_comes(gateway: Gateway, clock: Clock) -> None:
    put(gateway, note((1, 1, 1), (1, 1, 2), (2, 1, 1)), origin=QUALITY_DESK)
    work_all(gateway)
    clock.move(60)
    work_all(gateway)
    for n, expected in ((1, []), (3, ["3"]), (2, ["3"])):
        fill(gateway, *images(n))
        work_all(gateway)
        assert shown(gateway) == expected
    fill(gateway, *images(1, 4, study=2))
    work_all(gateway)
    assert shown(gateway, 2) == ["4"]


def test_a_study_that_was_being_made_while_its_note_was_read_is_looked_at_again(gateway: Gateway, clock: Clock) -> None:
    """Its batch could not see the note, and the note not the batch; here the batch's look is taken away."""
    put(gateway, note((2, 1, 1)), origin=QUALITY_DESK)
    assert work_all(gateway) == 1
    notes = gateway.archive._rejection_notes
    unseen, notes.follow_up = notes.follow_up, lambda *_, **__: None  # type: ignore[method-assign]
    fill(gateway, *images(1, study=2))
    notes.follow_up = unseen  # type: ignore[method-assign]
    work_all(gateway)
    assert shown(gateway, 2) == ["1"]
    clock.move(11)
    work_all(gateway)
    assert shown(gateway, 2) == []


def test_what_a_person_restores_stays(gateway: Gateway, clock: Clock) -> None:
    fill(gateway, *images(1, 2))
    put(gateway, note((1, 1, 1), (1, 1, 9)), origin=QUALITY_DESK)
    work_all(gateway)
    gateway.archive.removals.restore(removals(gateway)[0].id, by=Actor("boss"))
    clock.move(60)
    work_all(gateway)
    fill(gateway, *images(3))
    put(gateway, note((1, 1, 1), (1, 1, 9)), origin=QUALITY_DESK)  # and so it does when the note is sent again
    work_all(gateway)
    assert shown(gateway) == ["1", "2", "3"]


def test_a_note_that_was_removed_itself_awaits_nothing(gateway: Gateway) -> None:
    put(gateway, note((1, 1, 1)), origin=QUALITY_DESK)
    work_all(gateway)
    gateway.archive.removals.remove(ALL, Target(uid(1), uid(1, 9)), by=Actor("boss"))
    fill(gateway, *images(1))
    work_all(gateway)
    assert shown(gateway) == ["1"]


def test_a_rejected_image_sent_again_stays_away(gateway: Gateway) -> None:
    fill(gateway, *images(1, 2))
    put(gateway, note((1, 1, 1)), origin=QUALITY_DESK)
    work_all(gateway)
    fill(gateway, *images(1))
    work_all(gateway)
    assert shown(gateway) == ["2"]
    assert removals(gateway)[0].n_sent_again == 1


def test_a_note_takes_effect_after_a_restart(tmp_path: Path, database_url: str, clock: Clock) -> None:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url) as gateway:
        fill(gateway, *images(1, 2))
        put(gateway, note((1, 1, 1)), origin=QUALITY_DESK)
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url) as gateway:
        work_all(gateway)
        assert shown(gateway) == ["2"]


def test_a_note_that_a_dead_process_left_in_the_spool_takes_effect(gateway: Gateway) -> None:
    fill(gateway, *images(1, 2))
    spool = Spool(gateway.config.spool)
    dead = Archive(gateway.database, gateway.store, spool, gateway.archive.retrieve.guard, clock=gateway.clock)
    dead.ingest.writer.close()
    reception = dead.ingest.receive_part10(QUALITY_DESK)
    reception.write(part10(note((1, 1, 1))))
    reception.finish()
    dead.ingest.directory.close()
    with gateway.archive.recovery(facility="HUE") as recovery:
        recovery.adopt()
    work_all(gateway)
    assert shown(gateway) == ["2"]


@pytest.mark.parametrize("keyword", ["CurrentRequestedProcedureEvidenceSequence", "ConceptNameCodeSequence"])
def test_a_note_that_says_too_little_harms_nothing(gateway: Gateway, keyword: str) -> None:
    fill(gateway, *images(1))
    spoilt = note((1, 1, 1))
    setattr(spoilt, keyword, [])
    put(gateway, spoilt, origin=QUALITY_DESK)
    work_all(gateway)
    assert shown(gateway) == ["1"]


@pytest.mark.parametrize("number", [(1, 1, 3), (7,)], ids=["instance", "study"])
def test_what_is_no_uid_is_passed_over(gateway: Gateway, number: tuple[int, ...]) -> None:
    fill(gateway, *images(1, 2))
    hostile = uid(*number).encode()
    file = part10(rejection_note(NOTE, [*named((1, 1, 1), (1, 1, 3)), (uid(7), uid(7, 1), uid(1, 1, 2))]))
    put_file(gateway, file.replace(hostile, b"' OR 1=1 --".ljust(len(hostile), b"/")), origin=QUALITY_DESK)
    work_all(gateway)
    assert shown(gateway) == ["2"]


def test_a_spoilt_note_is_kept_and_harms_nothing(gateway: Gateway) -> None:
    fill(gateway, *images(1))
    file = part10(note((1, 1, 1)))
    at = file.index(b"\x08\x00\x15\x11SQ")  # a sequence inside the evidence claims to end far outside of it
    put_file(gateway, file[: at + 8] + b"\xf0\xff\xff\x7f" + file[at + 12 :], origin=QUALITY_DESK)
    work_all(gateway)
    assert shown(gateway) == ["1"]
    assert [job.error for job in gateway.jobs.list() if job.error] == []
