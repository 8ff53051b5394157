"""Which contexts are proposed for what a peer will send back."""

from itertools import islice

from pacs_gateway.dimse.negotiation import STORED_SYNTAXES
from pacs_gateway.peers.fetch import storage_proposals
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT, IMPLICIT

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def test_known_classes_may_come_in_every_syntax_as_they_are_stored() -> None:
    proposals = list(storage_proposals([CT_IMAGE, MR_IMAGE]))

    assert {proposal.transfer_syntaxes for proposal in proposals} == {(uid,) for uid in STORED_SYNTAXES}
    assert {proposal.abstract_syntax for proposal in proposals} == {CT_IMAGE, MR_IMAGE}
    assert all(proposal.as_scp and not proposal.as_scu for proposal in proposals)


def test_what_every_peer_can_send_is_proposed_for_all_classes_first() -> None:
    first = list(islice(storage_proposals([CT_IMAGE, MR_IMAGE]), 4))

    assert [proposal.transfer_syntaxes[0] for proposal in first] == [EXPLICIT, EXPLICIT, IMPLICIT, IMPLICIT]


def test_where_the_classes_are_not_known_the_usual_ones_are_proposed() -> None:
    proposals = list(storage_proposals([]))

    assert CT_IMAGE in {proposal.abstract_syntax for proposal in proposals}
    assert {proposal.transfer_syntaxes for proposal in proposals} == {(EXPLICIT, IMPLICIT)}
