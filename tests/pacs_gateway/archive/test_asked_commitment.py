"""What other archives were asked for is kept until they answer, and their answer belongs to them alone."""

import pytest

from pacs_gateway.domain.commitment import CommitmentResult, Failure, Reference
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from tests.support.gateways import Clock

CT = "1.2.840.10008.5.1.4.1.1.2"
REFERENCES = [Reference(CT, f"2.25.{number}") for number in range(1, 2_501)]


def test_an_answer_is_kept_instance_by_instance(gateway: Gateway, clock: Clock) -> None:
    asked = gateway.archive.asked_commitments
    request = asked.begin("ARCHIVE", REFERENCES)
    before = asked.show(request.transaction_uid)
    assert (before.asked_at, before.answered_at, list(before.unanswered)) == (clock(), None, REFERENCES)

    clock.move(60)
    failures = [Failure(REFERENCES[7], 0x0112), Failure(Reference(CT, "2.25.9999"), 0x0110)]
    asked.answer("ARCHIVE", CommitmentResult(request.transaction_uid, REFERENCES[8:], failures))

    after = asked.show(request.transaction_uid)
    assert after.answered_at == clock()
    assert list(after.committed) == REFERENCES[8:]
    assert list(after.failed) == failures[:1]
    assert list(after.unanswered) == REFERENCES[:7]


def test_only_who_was_asked_can_answer(gateway: Gateway) -> None:
    asked = gateway.archive.asked_commitments
    request = asked.begin("ARCHIVE", REFERENCES[:1])
    for ae_title, transaction_uid in (("OTHER", request.transaction_uid), ("ARCHIVE", "2.25.9999")):
        with pytest.raises(NotFoundError):
            asked.answer(ae_title, CommitmentResult(transaction_uid, REFERENCES[:1], []))
    assert asked.show(request.transaction_uid).answered_at is None


def test_what_was_refused_or_is_old_is_forgotten(gateway: Gateway, clock: Clock) -> None:
    asked = gateway.archive.asked_commitments
    refused, old = (asked.begin("ARCHIVE", REFERENCES[:2]).transaction_uid for _ in range(2))
    asked.forget(refused)
    clock.move(60)
    young = asked.begin("ARCHIVE", REFERENCES[:2]).transaction_uid

    asked.prune(before=round(clock().timestamp() * 1e6))

    assert list(asked.show(young).unanswered) == REFERENCES[:2]
    for transaction_uid in (refused, old):
        with pytest.raises(NotFoundError):
            asked.show(transaction_uid)
