"""C-GET: objects come back on the association they were asked for on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

from pacs_gateway.dimse.negotiation import PATIENT_ROOT_GET, STUDY_ROOT_GET
from tests.pacs_gateway.dimse.query.retrieving import (
    Served,
    Storage,
    associated,
    get,
    identifier,
    put_study,
    responses,
    served_gateway,
)
from tests.support.builders import Identity, encode, image, jpeg2000, uid
from tests.support.gateways import put

PENDING, SUCCESS, WARNING, ALL_FAILED, CANCELLED = 0xFF00, 0x0000, 0xB000, 0xA702, 0xFE00


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_gateway(tmp_path) as served:
        yield served


def test_a_study_comes_back_as_it_is_stored(served: Served) -> None:
    uids, storage = put_study(served.gateway, 3), Storage()

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage)

    assert [answer.status for answer in answers] == [PENDING] * 3 + [SUCCESS]
    assert storage.uids == uids
    assert [one.data for one in storage.received] == [encode(image(Identity(instance=n))) for n in (1, 2, 3)]
    assert {one.originator for one in storage.received} == {(None, None)}
    assert len({one.message_id for one in storage.received}) == 3


def test_counts_are_right_at_every_step(served: Served) -> None:
    uids, storage = put_study(served.gateway, 4), Storage()
    statuses = {uids[0]: 0xB000, uids[2]: 0xC000}
    storage.answer = lambda sop_uid: statuses.get(sop_uid, 0)

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage)

    assert [answer.counts for answer in answers] == [
        (3, 0, 0, 1),
        (2, 1, 0, 1),
        (1, 1, 1, 1),
        (0, 2, 1, 1),
        (None, 2, 1, 1),
    ]
    assert answers[-1].status == WARNING
    assert answers[-1].failed_uids == [uids[2]]


def test_patient_root(served: Served) -> None:
    put_study(served.gateway, 2, study=1)
    put_study(served.gateway, 2, study=2)
    storage = Storage()

    answers = get(served, identifier(PatientID="BN0001"), storage, model=PATIENT_ROOT_GET)

    assert answers[-1].status == SUCCESS
    assert len(storage.uids) == 4


def test_what_the_requester_takes_in_no_context_fails_alone(served: Served) -> None:
    put_study(served.gateway, 2)
    put(served.gateway, image(Identity(series=2, extra={"SOPClassUID": MRImageStorage, "Modality": "MR"})))
    storage = Storage()

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage)

    assert answers[-1].status == WARNING
    assert answers[-1].failed_uids == [uid(1, 2, 1)]
    assert len(storage.uids) == 2


def test_a_requester_that_takes_nothing_gets_the_list(served: Served) -> None:
    uids = put_study(served.gateway, 2)

    answers = get(
        served, identifier(StudyInstanceUID=uid(1)), Storage(), contexts=[(MRImageStorage, ExplicitVRLittleEndian)]
    )

    assert answers[-1].status == ALL_FAILED
    assert answers[-1].failed_uids == uids


def test_the_stored_transfer_syntax_goes_first(served: Served) -> None:
    put(served.gateway, jpeg2000(), JPEG2000Lossless)
    put(served.gateway, image(Identity(instance=2)))
    storage = Storage()
    contexts = [(CTImageStorage, syntax) for syntax in (ExplicitVRLittleEndian, JPEG2000Lossless)]

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage, contexts=contexts)

    assert answers[-1].status == SUCCESS
    assert [one.transfer_syntax for one in storage.received] == [JPEG2000Lossless, ExplicitVRLittleEndian]
    assert storage.received[0].data == encode(jpeg2000(), JPEG2000Lossless)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_is_stored_otherwise_is_decoded(served: Served, syntax: str) -> None:
    put(served.gateway, jpeg2000(), JPEG2000Lossless)
    put(served.gateway, image(Identity(instance=2)), ExplicitVRBigEndian)
    storage = Storage()

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage, contexts=[(CTImageStorage, syntax)])

    assert answers[-1].status == SUCCESS
    assert [one.data for one in storage.received] == [encode(image(Identity(instance=n)), syntax) for n in (1, 2)]


def test_a_cancel_between_the_answers_to_the_objects(served: Served) -> None:
    put_study(served.gateway, 20)
    storage = Storage()

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage, cancel_after=3)

    remaining, completed, failed, warned = answers[-1].counts
    assert answers[-1].status == CANCELLED
    assert (failed, warned) == (0, 0)
    assert completed == len(storage.uids)
    assert remaining == 20 - len(storage.uids)
    assert remaining


def test_what_another_facility_owns_does_not_exist(served: Served) -> None:
    put_study(served.gateway, 1)
    served.register("ELSEWHERE", facility="OTHER")
    storage = Storage()

    answers = get(served, identifier(StudyInstanceUID=uid(1)), storage, calling="ELSEWHERE")

    assert [answer.status for answer in answers] == [SUCCESS]
    assert storage.uids == []


def test_the_association_goes_on_after_a_retrieval(served: Served) -> None:
    put_study(served.gateway, 2)
    storage, wanted = Storage(), identifier(StudyInstanceUID=uid(1))

    with associated(served, STUDY_ROOT_GET, storage=storage) as assoc:
        finals = [list(responses(assoc.send_c_get(wanted, STUDY_ROOT_GET)))[-1].status for _ in range(2)]

    assert finals == [SUCCESS, SUCCESS]
    assert len(storage.uids) == 4


def test_a_missing_key_above_is_refused(served: Served) -> None:
    wanted = identifier(SeriesInstanceUID=uid(1, 1))

    answers = get(served, wanted, Storage())

    assert [answer.status for answer in answers] == [0xA900]
