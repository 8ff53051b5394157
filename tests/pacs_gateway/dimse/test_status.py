"""Every error of the tree has a status of its own, and a comment that fits and gives nothing away."""

import pytest

from pacs_gateway import errors
from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.dimse.status import (
    MAX_COMMENT_LENGTH,
    NORMALIZED_STATUSES,
    QUERY_STATUSES,
    STORE_STATUSES,
    StoreStatus,
    error_comment,
    normalized_failure,
    query_failure,
    store_status,
)


def tree(root: type[errors.GatewayError] = errors.GatewayError) -> list[type[errors.GatewayError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


@pytest.mark.parametrize("kind", [kind for kind in tree() if kind.__module__ == errors.__name__])
def test_every_error_has_a_row(kind: type[errors.GatewayError]) -> None:
    assert kind in STORE_STATUSES
    assert kind in QUERY_STATUSES
    assert kind in NORMALIZED_STATUSES


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInstanceError("x"), 0xC000),
        (errors.InvalidUidError("x"), 0xC000),
        (errors.MismatchError("x"), 0xA900),
        (errors.CapacityError("x"), 0xA700),
        (errors.RefusedError("x"), 0x0124),
        (errors.UnsupportedSyntaxError("x"), 0x0122),
        (errors.UnavailableError("x"), 0x0110),
        (errors.IntegrityError("x"), 0x0110),
        (PduError(AbortReason.NOT_SPECIFIED, "x"), 0xC000),
    ],
)
def test_errors_are_answered_as_settled(error: errors.GatewayError, status: int) -> None:
    assert store_status(error) == status


def test_a_comment_is_one_short_ascii_value() -> None:
    comment = error_comment(errors.InvalidInstanceError("bad\\value\nở đây " + "x" * 100))

    assert len(comment) == MAX_COMMENT_LENGTH
    assert comment.isascii()
    assert comment.isprintable()
    assert "\\" not in comment


def test_our_own_troubles_are_not_told() -> None:
    assert "db.internal" not in error_comment(errors.UnavailableError("db.internal refused"))
    assert store_status(errors.UnavailableError("x")) is StoreStatus.PROCESSING_FAILURE


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidQueryError("x"), 0xC000),
        (errors.UnfitQueryError("x"), 0xA900),
        (errors.RefusedError("x"), 0x0124),
        (errors.CapacityError("x"), 0xA700),
        (errors.UnsupportedSyntaxError("x"), 0x0122),
        (errors.UnavailableError("x"), 0xC000),
        (ValueError("x"), 0xC000),
    ],
)
def test_queries_fail_as_settled(error: Exception, status: int) -> None:
    assert query_failure(error)[Field.STATUS] == status


def test_a_failed_query_names_the_element_at_fault_and_none_of_our_troubles() -> None:
    failure = query_failure(errors.UnfitQueryError("StudyInstanceUID is missing", tag=0x0020000D))

    assert failure[Field.OFFENDING_ELEMENT] == 0x0020000D
    assert failure[Field.ERROR_COMMENT] == "StudyInstanceUID is missing"
    for trouble in (errors.UnavailableError("db.internal refused"), ValueError("Nguyen")):
        assert query_failure(trouble)[Field.ERROR_COMMENT] == "the gateway cannot answer this for now"


@pytest.mark.parametrize(
    ("error", "status", "comment"),
    [
        (errors.InvalidMessageError("there is no Transaction UID"), 0x0115, "there is no Transaction UID"),
        (errors.NotFoundError("no such transaction"), 0x0115, "no such transaction"),
        (errors.ConflictError("used before"), 0x0131, "used before"),
        (errors.CapacityError("db.internal is full"), 0x0213, "resource limitation"),
        (errors.UnavailableError("db.internal refused"), 0x0110, "processing failure"),
        (KeyError("x"), 0x0110, "processing failure"),
    ],
)
def test_commitment_is_refused_as_settled(error: Exception, status: int, comment: str) -> None:
    assert normalized_failure(error) == {Field.STATUS: status, Field.ERROR_COMMENT: comment}
