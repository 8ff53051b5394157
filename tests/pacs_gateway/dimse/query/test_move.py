"""C-MOVE: what goes where, what the requester is told at every step, and how it ends when something is in the way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom.presentation import AllStoragePresentationContexts

from pacs_gateway.access.device import Right
from pacs_gateway.dimse.negotiation import PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE
from pacs_gateway.dimse.query import retrieval
from tests.pacs_gateway.dimse.query.retrieving import (
    CLIENT,
    DESTINATION,
    Served,
    Storage,
    associated,
    destination,
    identifier,
    move,
    put_study,
    responses,
    served_gateway,
)
from tests.support.builders import Identity, encode, image, uid
from tests.support.gateways import put
from tests.support.ports import free_port
from tests.support.scripted_destination import CalledPeer, called_peer
from tests.support.storescp import storescp
from tests.support.waiting import wait_until

PENDING, SUCCESS, WARNING, ALL_FAILED, CANCELLED = 0xFF00, 0x0000, 0xB000, 0xA702, 0xFE00


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_gateway(tmp_path) as served:
        yield served


@pytest.fixture
def target(served: Served) -> Iterator[Storage]:
    """A registered destination that takes CT images in explicit little endian."""
    storage = Storage()
    with destination(storage) as port:
        served.register(DESTINATION, port)
        yield storage


def test_a_study_arrives_as_it_is_stored(served: Served, target: Storage) -> None:
    uids = put_study(served.gateway, 3)

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == SUCCESS
    assert target.uids == uids
    originals = [encode(image(Identity(instance=n))) for n in (1, 2, 3)]
    assert [one.data for one in target.received] == originals
    assert {one.transfer_syntax for one in target.received} == {ExplicitVRLittleEndian}


def test_counts_are_right_at_every_step(served: Served, target: Storage) -> None:
    uids = put_study(served.gateway, 5)
    statuses = {uids[1]: 0xA700, uids[3]: 0xB007}
    target.answer = lambda sop_uid: statuses.get(sop_uid, 0)

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert [answer.status for answer in answers] == [PENDING] * 5 + [WARNING]
    assert [answer.counts for answer in answers] == [
        (4, 1, 0, 0),
        (3, 1, 1, 0),
        (2, 2, 1, 0),
        (1, 2, 1, 1),
        (0, 3, 1, 1),
        (None, 3, 1, 1),
    ]
    assert answers[-1].failed_uids == [uids[1]]
    assert not any(answer.failed_uids for answer in answers[:-1])


def test_nothing_found_is_a_success_of_nothing(served: Served, target: Storage) -> None:
    answers = move(served, identifier(StudyInstanceUID=uid(99)))

    assert [(answer.status, answer.counts) for answer in answers] == [(SUCCESS, (None, 0, 0, 0))]
    assert target.titles == []


def test_the_destination_is_told_on_whose_behalf(served: Served, target: Storage) -> None:
    put_study(served.gateway, 2)

    move(served, identifier(StudyInstanceUID=uid(1)), priority=1)

    assert target.titles == [("PACSGW", DESTINATION)]
    assert {one.originator for one in target.received} == {(CLIENT, 7)}
    assert {one.priority for one in target.received} == {1}
    assert len({one.message_id for one in target.received}) == 2


def test_the_destination_is_called_by_the_title_that_was_called(tmp_path: Path) -> None:
    storage = Storage()
    with served_gateway(tmp_path, ae_title="PACSGW,SECOND") as served, destination(storage) as port:
        served.register(DESTINATION, port)
        put_study(served.gateway, 1)

        answers = move(served, identifier(StudyInstanceUID=uid(1)), called="SECOND")

        assert answers[-1].status == SUCCESS
        assert storage.titles == [("SECOND", DESTINATION)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"StudyInstanceUID": uid(1)}, [uid(1, s, n) for s in (1, 2) for n in (1, 2)]),
        ({"StudyInstanceUID": [uid(1), uid(2)]}, [uid(t, s, n) for t in (1, 2) for s in (1, 2) for n in (1, 2)]),
        ({"StudyInstanceUID": uid(1), "SeriesInstanceUID": uid(1, 2)}, [uid(1, 2, 1), uid(1, 2, 2)]),
        (
            {
                "StudyInstanceUID": uid(1),
                "SeriesInstanceUID": uid(1, 2),
                "SOPInstanceUID": [uid(1, 2, 2), uid(1, 1, 1)],
            },
            [uid(1, 2, 2)],
        ),
    ],
    ids=["study", "studies", "series", "image"],
)
def test_study_root_at_every_level(
    served: Served, target: Storage, keys: dict[str, str | list[str]], expected: list[str]
) -> None:
    for study in (1, 2):
        put_study(served.gateway, 2, study=study, n_series=2)

    answers = move(served, identifier(**keys))

    assert answers[-1].status == SUCCESS
    assert target.uids == expected


@pytest.mark.parametrize(
    ("keys", "n_expected"),
    [
        ({"PatientID": "BN0001"}, 4),
        ({"PatientID": "BN0001", "StudyInstanceUID": uid(1)}, 2),
        ({"PatientID": "BN0002", "StudyInstanceUID": uid(1)}, 0),
    ],
    ids=["patient", "study", "study-of-another"],
)
def test_patient_root(served: Served, target: Storage, keys: dict[str, str | list[str]], n_expected: int) -> None:
    for study in (1, 2):
        put_study(served.gateway, 2, study=study)
    put(served.gateway, image(Identity(study=3, patient_id="BN0002")))

    answers = move(served, identifier(**keys), model=PATIENT_ROOT_MOVE)

    assert answers[-1].status == SUCCESS
    assert len(target.uids) == n_expected


def test_a_missing_key_above_is_refused_unless_relational(served: Served, target: Storage) -> None:
    put_study(served.gateway, 2)
    wanted = identifier(SOPInstanceUID=uid(1, 1, 2))

    refused = move(served, wanted)
    answered = move(served, wanted, is_relational=True)

    assert [answer.status for answer in refused] == [0xA900]
    assert answered[-1].status == SUCCESS
    assert target.uids == [uid(1, 1, 2)]


def test_more_than_can_be_counted_is_refused(served: Served, target: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "MOST_SUBOPERATIONS", 2)
    put_study(served.gateway, 3)

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert [(answer.status, answer.comment) for answer in answers] == [(0xA701, "more than 2 instances: ask for less")]
    assert target.titles == []


def test_an_unknown_destination_is_named(served: Served) -> None:
    put_study(served.gateway, 1)
    served.register("NOWHERE")

    unknown = move(served, identifier(StudyInstanceUID=uid(1)), to="NOBODY")
    without_address = move(served, identifier(StudyInstanceUID=uid(1)), to="NOWHERE")

    assert [answer.status for answer in unknown + without_address] == [0xA801, 0xA801]


def test_a_destination_is_not_called_in_clear_where_it_is_registered_with_tls(served: Served) -> None:
    put_study(served.gateway, 1)
    storage = Storage()
    with destination(storage) as port:
        served.register(DESTINATION, port, is_tls=True)

        answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert [answer.status for answer in answers] == [0xC000]
    assert storage.titles == []


def test_a_destination_that_cannot_be_reached_fails_everything(served: Served) -> None:
    uids = put_study(served.gateway, 3)
    served.register(DESTINATION, free_port())

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == ALL_FAILED
    assert answers[-1].counts == (None, 0, 3, 0)
    assert answers[-1].failed_uids == uids
    assert answers[-1].comment == "the destination cannot be reached"


def test_a_destination_that_rejects_us_fails_everything(served: Served) -> None:
    uids = put_study(served.gateway, 2)
    storage = Storage()
    with destination(storage, contexts={MRImageStorage: [ExplicitVRLittleEndian]}) as port:
        served.register(DESTINATION, port)

        answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == ALL_FAILED
    assert answers[-1].failed_uids == uids


def test_what_the_destination_does_not_take_fails_alone(served: Served, target: Storage) -> None:
    taken = put_study(served.gateway, 2)
    put(served.gateway, image(Identity(series=2, extra={"SOPClassUID": MRImageStorage, "Modality": "MR"})))

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == WARNING
    assert answers[-1].failed_uids == [uid(1, 2, 1)]
    assert target.uids == taken


def test_where_the_destination_breaks_off_the_rest_goes_on_another_association(served: Served, target: Storage) -> None:
    uids = put_study(served.gateway, 5)
    target.aborts_at = {uids[2]}

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == WARNING
    assert answers[-1].counts == (None, 4, 1, 0)
    assert answers[-1].failed_uids == [uids[2]]
    assert len(target.titles) == 2


def test_a_destination_that_takes_nothing_is_not_asked_for_ever(served: Served, target: Storage) -> None:
    uids = put_study(served.gateway, 8)
    target.aborts_at = uids

    answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == ALL_FAILED
    assert answers[-1].failed_uids == uids
    assert len(target.titles) == 3


@pytest.mark.peer("dcmtk")
def test_a_destination_that_is_killed_ends_it_cleanly(served: Served, tmp_path: Path) -> None:
    n_images = 200
    put_study(served.gateway, n_images)
    with storescp(tmp_path / "received", ae_title=DESTINATION, is_forking=False) as scp:
        served.register(DESTINATION, scp.port)
        with associated(served, STUDY_ROOT_MOVE) as assoc:
            answers = responses(assoc.send_c_move(identifier(StudyInstanceUID=uid(1)), DESTINATION, STUDY_ROOT_MOVE))
            seen = [next(answers)]
            scp.process.kill()
            seen += answers

    remaining, completed, failed, warned = seen[-1].counts
    assert seen[-1].status == WARNING
    assert (remaining, warned) == (None, 0)
    assert completed
    assert failed
    assert completed + failed == n_images
    assert len(seen[-1].failed_uids) == failed


def test_cancel_stops_after_the_object_under_way(served: Served, target: Storage) -> None:
    put_study(served.gateway, 20)

    answers = move(served, identifier(StudyInstanceUID=uid(1)), cancel_after=3)

    final = answers[-1]
    assert final.status == CANCELLED
    remaining, completed, failed, warned = final.counts
    assert (failed, warned) == (0, 0)
    assert completed == len(target.uids)
    assert remaining == 20 - len(target.uids)
    assert remaining


def test_what_another_facility_owns_does_not_exist(served: Served, target: Storage) -> None:
    put_study(served.gateway, 1)
    served.register("ELSEWHERE", facility="OTHER")

    answers = move(served, identifier(StudyInstanceUID=uid(1)), calling="ELSEWHERE")

    assert [(answer.status, answer.counts) for answer in answers] == [(SUCCESS, (None, 0, 0, 0))]
    assert target.uids == []


def test_a_destination_of_another_facility_gets_nothing(served: Served) -> None:
    put_study(served.gateway, 2)
    storage = Storage()
    with destination(storage) as port:
        served.register(DESTINATION, port, facility="OTHER")

        answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert [answer.status for answer in answers] == [0x0124]
    assert storage.titles == []


def test_who_has_no_right_gets_no_context(served: Served, target: Storage) -> None:
    served.register("MODALITY", rights=frozenset({Right.ECHO, Right.STORE}))

    with pytest.raises(AssertionError):
        move(served, identifier(StudyInstanceUID=uid(1)), calling="MODALITY")


def test_more_contexts_than_an_association_holds_take_another(served: Served) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:70]]
    for number, sop_class in enumerate(classes):
        put(served.gateway, image(Identity(instance=number, extra={"SOPClassUID": sop_class})))
    storage = Storage()
    with destination(storage, contexts=dict.fromkeys(classes, (ExplicitVRLittleEndian,))) as port:
        served.register(DESTINATION, port)

        answers = move(served, identifier(StudyInstanceUID=uid(1)))

    assert answers[-1].status == SUCCESS
    assert len(set(storage.uids)) == 70
    assert len(storage.titles) == 2


def test_a_cancel_in_the_middle_of_an_object_ends_it_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_SILENCE_S", 0.0)
    put(served.gateway, large_image(24 << 20))
    has_cancelled, received = threading.Event(), []

    def stall(peer: CalledPeer) -> None:
        peer.accept({1: ExplicitVRLittleEndian})
        assert has_cancelled.wait(30)
        received.append(peer.drain())

    with called_peer(stall) as port:
        served.register(DESTINATION, port)
        with associated(served, STUDY_ROOT_MOVE) as assoc:
            wanted = identifier(StudyInstanceUID=uid(1))
            answers = responses(assoc.send_c_move(wanted, DESTINATION, STUDY_ROOT_MOVE, msg_id=7))
            # It is told that we still live, before there is anything to count.
            first = next(answers)
            assoc.send_c_cancel(7, query_model=UID(STUDY_ROOT_MOVE))
            has_cancelled.set()
            *_, final = answers

    assert (first.status, first.counts) == (PENDING, (1, 0, 0, 0))
    assert (final.status, final.counts) == (CANCELLED, (1, 0, 0, 0))
    assert received[0] < 24 << 20


def test_a_requester_that_leaves_is_sent_for_no_longer(served: Served, target: Storage) -> None:
    put_study(served.gateway, 100)
    with associated(served, STUDY_ROOT_MOVE) as assoc:
        next(assoc.send_c_move(identifier(StudyInstanceUID=uid(1)), DESTINATION, STUDY_ROOT_MOVE))
        assoc.abort()
    wait_until(lambda: not served.server.n_associations, 30, "the association to end")

    assert 1 <= len(target.received) < 100


def large_image(size_bytes: int) -> Dataset:
    """Return an image that travels in many pieces."""
    ds = image()
    ds.Rows = ds.Columns = 1024
    ds.NumberOfFrames = size_bytes // (1024 * 1024 * 2)
    ds.PixelData = bytes(size_bytes)
    return ds
