"""Which contexts are accepted, in which syntax and role."""

import pytest
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext, build_context

from pacs_gateway.dimse.negotiation import (
    SERVICES,
    STORAGE_CLASSES,
    STORED_SYNTAXES,
    Agreement,
    choose_syntax,
    is_storage_class,
    is_storage_only,
    negotiate,
)
from tests.pacs_gateway.dimse.doubles import DeviceEntry
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT, IMPLICIT, VERIFICATION

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
STORE = frozenset({"echo", "store"})


def propose(abstract: str, *syntaxes: str, context_id: int = 1) -> PresentationContext:
    cx = build_context(abstract, list(syntaxes) or [IMPLICIT])
    cx.context_id = context_id
    return cx


def agree(
    *contexts: PresentationContext,
    rights: frozenset[str] = STORE,
    device: DeviceEntry | None = None,
    roles: dict[UID, tuple[bool, bool]] | None = None,
    extended: dict[UID, bytes] | None = None,
) -> Agreement:
    device = device or DeviceEntry("CT1", rights=rights)
    return negotiate(contexts, roles or {}, device, SERVICES, extended=extended or {})


def results(agreement: Agreement) -> list[int | None]:
    return [cx.result for cx in agreement.contexts]


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        ([IMPLICIT, BIG_ENDIAN], IMPLICIT),
        ([JPEG_BASELINE, IMPLICIT, JPEG_LOSSLESS], JPEG_LOSSLESS),
        ([J2K_LOSSLESS, JPEG_LOSSLESS], J2K_LOSSLESS),
        ([IMPLICIT, DEFLATED, JPEG_BASELINE], JPEG_BASELINE),
        ([IMPLICIT, DEFLATED], DEFLATED),
        (["1.2.3.4", BIG_ENDIAN], BIG_ENDIAN),
        (["1.2.3.4"], None),
    ],
)
def test_the_best_of_the_proposed_syntaxes_is_chosen(proposed: list[str], chosen: str | None) -> None:
    assert choose_syntax(proposed, STORED_SYNTAXES) == chosen


def test_every_transfer_syntax_pydicom_knows_is_stored() -> None:
    # SMPTE ST 2110 streams over IP; no object is encoded in it.
    missing = {str(uid) for uid in AllTransferSyntaxes} - set(STORED_SYNTAXES)

    # Nor is a deflated data set with JPIP references read by the archive.
    assert {uid for uid in missing if not uid.startswith("1.2.840.10008.1.2.7.")} == {"1.2.840.10008.1.2.4.205"}


def test_every_storage_class_pynetdicom_knows_is_accepted() -> None:
    assert {str(cx.abstract_syntax) for cx in AllStoragePresentationContexts} <= STORAGE_CLASSES


@pytest.mark.parametrize(
    ("uid", "is_storage"),
    [
        (CT_IMAGE, True),
        ("1.2.840.10008.5.1.4.1.1.6", True),  # ultrasound, retired
        ("1.2.840.10008.5.1.1.30", True),  # hardcopy colour, retired
        ("1.3.46.670589.5.0.1", True),  # private
        ("1.2.840.10008.5.1.4.1.1.99999", True),  # newer than this program
        (VERIFICATION, False),
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # study root find
        ("1.2.840.10008.5.1.4.31", False),  # worklist
        ("1.2.840.10008.1.20.1", False),  # commitment
        ("1.2.840.10008.5.1.1.9", False),  # print
        ("1.2.840.10008.1.3.10", False),  # media directory
        ("1.2.840.10008.9999", False),
        ("not a uid", False),
    ],
)
def test_what_belongs_to_another_service_is_not_storage(uid: str, is_storage: bool) -> None:
    assert is_storage_class(uid) is is_storage


def test_storage_and_verification_are_accepted_by_right() -> None:
    contexts = propose(VERIFICATION, context_id=1), propose(CT_IMAGE, context_id=3)

    assert results(agree(*contexts)) == [0, 0]
    assert results(agree(*contexts, rights=frozenset({"echo"}))) == [0, 1]
    assert results(agree(*contexts, rights=frozenset({"store"}))) == [1, 0]


def test_what_is_not_offered_is_said_to_be_so() -> None:
    answer = agree(
        propose("1.2.840.10008.5.1.4.31", context_id=1),
        propose(CT_IMAGE, "1.2.3.4", context_id=3),
        propose(VERIFICATION, JPEG_BASELINE, context_id=5),
    )

    assert results(answer) == [3, 4, 4]
    assert [cx.context_id for cx in answer.contexts] == [1, 3, 5]


@pytest.mark.parametrize(
    ("proposed", "rights", "result", "answered"),
    [
        ((True, False), STORE, 0, (True, False)),
        ((True, True), STORE, 0, (True, False)),
        ((False, True), STORE, 1, None),
        ((False, True), STORE | {"get"}, 0, (False, True)),
        ((True, True), STORE | {"get"}, 0, (True, True)),
        ((False, False), STORE, 1, None),
    ],
)
def test_roles_follow_the_rights(
    proposed: tuple[bool, bool], rights: frozenset[str], result: int, answered: tuple[bool, bool] | None
) -> None:
    answer = agree(propose(CT_IMAGE), rights=rights, roles={UID(CT_IMAGE): proposed})

    assert results(answer) == [result]
    assert [(item.scu_role, item.scp_role) for item in answer.roles] == ([answered] if answered else [])


@pytest.mark.parametrize(
    ("own", "proposed", "chosen"),
    [
        ((IMPLICIT, EXPLICIT), [EXPLICIT, IMPLICIT], IMPLICIT),
        ((JPEG_BASELINE, EXPLICIT), [IMPLICIT, EXPLICIT, JPEG_BASELINE], JPEG_BASELINE),
        ((EXPLICIT,), [IMPLICIT, JPEG_BASELINE], None),
        (("1.2.3.4",), ["1.2.3.4", IMPLICIT], None),  # its own, but nobody could read it
        ((), [IMPLICIT, EXPLICIT], EXPLICIT),
    ],
)
def test_transfer_syntaxes_of_a_device_go_before_ours(
    own: tuple[str, ...], proposed: list[str], chosen: str | None
) -> None:
    device = DeviceEntry("CT1", transfer_syntaxes=own)
    answer = agree(propose(CT_IMAGE, *proposed), propose(VERIFICATION, context_id=3), device=device)

    assert results(answer) == [0 if chosen else 4, 0]
    assert answer.contexts[0].transfer_syntax[0] == (chosen or proposed[0])


@pytest.mark.parametrize("uid", ["1.3.46.670589.5.0.1", "1.2.840.10008.5.1.4.1.1.99999"])
def test_private_and_unknown_classes_are_taken_from_whom_they_are_allowed(uid: str) -> None:
    contexts = propose(uid, context_id=1), propose(CT_IMAGE, context_id=3)

    assert results(agree(*contexts, device=DeviceEntry("CT1"))) == [0, 0]
    assert results(agree(*contexts, device=DeviceEntry("CT1", takes_private_classes=False))) == [3, 0]


FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.mark.parametrize(
    ("contexts", "roles", "says"),
    [
        ([propose(CT_IMAGE), propose(FIND)], {}, ""),
        ([propose(FIND)], {}, "let in, but has no right to find"),
        ([propose(FIND), propose(CT_IMAGE)], {UID(CT_IMAGE): (False, True)}, "let in, but has no right to find, get"),
        ([propose(CT_IMAGE, "1.2.3.4")], {}, "let in, but proposes no transfer syntax that is taken from it"),
        ([propose("1.2.840.10008.9999")], {}, "let in, but proposes nothing that is offered to it"),
    ],
)
def test_technician_reads_why_nothing_was_agreed(
    contexts: list[PresentationContext], roles: dict[UID, tuple[bool, bool]], says: str
) -> None:
    assert agree(*contexts, roles=roles).obstacle == says


def test_storage_only_is_told_from_mixed_proposals() -> None:
    assert is_storage_only([propose(CT_IMAGE)])
    assert not is_storage_only([propose(CT_IMAGE), propose(VERIFICATION)])


STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


@pytest.mark.parametrize(
    ("uid", "proposed", "agreed"),
    [
        (STUDY_ROOT_FIND, b"\1", b"\1"),
        (STUDY_ROOT_FIND, b"\0\1\1", b"\0\1\1"),
        (STUDY_ROOT_FIND, b"\1\1\1\1\1\1", b"\1\1\1\1"),
        (STUDY_ROOT_FIND, b"", b""),
        (STUDY_ROOT_MOVE, b"\1\1", b"\1"),
    ],
)
def test_options_are_agreed_byte_by_byte(uid: str, proposed: bytes, agreed: bytes) -> None:
    answer = agree(propose(uid), rights=frozenset({"find", "move"}), extended={UID(uid): proposed})

    assert answer.extended == {uid: agreed}


def test_options_are_not_answered_where_they_mean_nothing() -> None:
    contexts = propose(CT_IMAGE, context_id=1), propose(STUDY_ROOT_FIND, context_id=3)

    answer = agree(*contexts, extended={UID(CT_IMAGE): b"\1", UID(STUDY_ROOT_FIND): b"\1"})

    assert results(answer) == [0, 1]
    assert answer.extended == {}
