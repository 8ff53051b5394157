"""Which contexts are proposed, over how many associations, and which accepted one an object goes under."""

from dataclasses import dataclass

import pytest

from pacs_gateway.dimse.scu.planning import choose_context, plan
from pacs_gateway.dimse.scu.requestor import Proposal
from pacs_gateway.dimse.store import AcceptedContext
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT, IMPLICIT

JPEG = "1.2.840.10008.1.2.4.70"
BOTH = (EXPLICIT, IMPLICIT)


@dataclass(frozen=True)
class Sent:
    sop_class_uid: str
    transfer_syntax_uid: str
    number: int = 0


def test_each_class_and_stored_syntax_has_a_context_and_each_class_a_fallback() -> None:
    instances = [Sent("1.2", EXPLICIT), Sent("1.2", JPEG), Sent("1.3", JPEG), Sent("1.2", JPEG, 2)]

    (batch,) = plan(instances)

    assert batch.instances == tuple(instances)
    assert batch.proposals == (
        Proposal("1.2", (EXPLICIT,)),
        Proposal("1.2", BOTH),
        Proposal("1.2", (JPEG,)),
        Proposal("1.3", (JPEG,)),
        Proposal("1.3", BOTH),
    )


def test_more_contexts_than_an_association_takes_make_another() -> None:
    instances = [Sent(f"1.2.{n}", JPEG, n) for n in range(130)] * 3

    batches = plan(instances)

    assert [len(batch.proposals) for batch in batches] == [128, 128, 4]
    assert [len(batch.instances) for batch in batches] == [192, 192, 6]
    for batch in batches:
        proposed = {proposal.abstract_syntax for proposal in batch.proposals}
        assert {instance.sop_class_uid for instance in batch.instances} == proposed


def test_a_fallback_follows_its_class_into_the_next_association() -> None:
    instances = [Sent("1.2", EXPLICIT), Sent("1.3", EXPLICIT), Sent("1.2", JPEG)]

    first, second = plan(instances, max_contexts=4)

    assert second.proposals == (Proposal("1.2", (JPEG,)), Proposal("1.2", BOTH))
    assert (len(first.instances), len(second.instances)) == (2, 1)


@pytest.mark.parametrize(
    ("taken", "proposals"),
    [
        ({IMPLICIT}, (Proposal("1.2", (IMPLICIT,)),)),
        ({JPEG}, (Proposal("1.2", (JPEG,)),)),
        ({JPEG, IMPLICIT}, (Proposal("1.2", (JPEG,)), Proposal("1.2", (IMPLICIT,)))),
        ({"1.2.840.10008.1.2.5"}, ()),
    ],
)
def test_only_what_the_device_takes_is_proposed(taken: set[str], proposals: tuple[Proposal, ...]) -> None:
    (batch,) = plan([Sent("1.2", JPEG)], taken=taken)

    assert batch.proposals == proposals
    assert len(batch.instances) == 1


def test_nothing_to_send_needs_no_association() -> None:
    assert plan(()) == ()


def test_the_best_form_that_was_accepted_is_chosen() -> None:
    contexts = {
        1: AcceptedContext(CT_IMAGE, IMPLICIT, is_provider=False, is_user=True),
        3: AcceptedContext(CT_IMAGE, JPEG, is_provider=False, is_user=True),
        5: AcceptedContext(CT_IMAGE, EXPLICIT, is_provider=True, is_user=False),
        7: AcceptedContext("1.2", EXPLICIT, is_provider=False, is_user=True),
    }

    assert choose_context(contexts, CT_IMAGE, (JPEG, EXPLICIT, IMPLICIT)) == 3
    assert choose_context(contexts, CT_IMAGE, (EXPLICIT, IMPLICIT)) == 1
    assert choose_context(contexts, CT_IMAGE, (EXPLICIT,)) is None
    assert choose_context(contexts, "1.9", (EXPLICIT,)) is None
