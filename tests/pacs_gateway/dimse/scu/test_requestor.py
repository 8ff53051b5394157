"""Associations we ask for: with real peers, and with peers that answer anything but what they should."""

import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.scu.requestor import MAX_CONTEXTS, Proposal, Remote, associate
from pacs_gateway.errors import RefusedError, UnavailableError
from tests.pacs_gateway.dimse.conftest import Running
from tests.support.scripted_destination import (
    COMMAND,
    LAST,
    CalledPeer,
    associate_ac,
    associate_rj,
    called_peer,
    context_answer,
    find_rsp,
)
from tests.support.scripted_peer import (
    CT_IMAGE,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    command,
    p_data,
    pdu,
    pdv,
    role,
    us,
    user_information,
)
from tests.support.storescp import storescp

CONFIG = DimseConfig(ae_titles=("PACSGW",))
HASTY = DimseConfig(ae_titles=("PACSGW",), connect_s=0.3, artim_s=0.3, pdu_deadline_s=0.3, message_s=0.3)
IMPATIENT = DimseConfig(ae_titles=("PACSGW",), pdu_deadline_s=2.0, message_s=2.0)
ECHO = Proposal(VERIFICATION, (IMPLICIT,))
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def remote(port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Remote:
    return Remote("PEER", host, port, "PACSGW", tls)


def ours(port: int) -> Remote:
    return Remote("PACSGW", "127.0.0.1", port, "ASKER")


def test_our_own_gateway_answers_an_echo(running: Running) -> None:
    with associate(ours(running.port), [ECHO], CONFIG) as association:
        assert [association.echo() for _ in range(3)] == [0, 0, 0]
    assert association.is_released


def test_as_many_contexts_as_there_can_be_are_proposed(running: Running) -> None:
    proposals = [Proposal(f"1.2.3.{number}", (EXPLICIT, IMPLICIT)) for number in range(MAX_CONTEXTS)]

    with associate(ours(running.port), proposals, CONFIG) as association:
        assert [context.abstract_syntax for context in association.contexts.values()] == [
            proposal.abstract_syntax for proposal in proposals
        ]
        assert {context.transfer_syntax for context in association.contexts.values()} == {EXPLICIT}


def test_the_thread_that_asks_is_the_only_one(running: Running) -> None:
    with associate(ours(running.port), [ECHO], CONFIG) as association:
        association.echo()
        assert not association.is_alive()
        assert association not in threading.enumerate()


def test_an_exception_aborts(running: Running) -> None:
    with pytest.raises(KeyError), associate(ours(running.port), [ECHO], CONFIG) as association:
        raise KeyError
    assert not association.is_released
    assert not association.is_established


def test_peers_are_reached_by_name_and_over_ipv6() -> None:
    def script(peer: CalledPeer) -> None:
        peer.accept({1: IMPLICIT})
        peer.release()

    with called_peer(script, family=socket.AF_INET6) as port, associate(remote(port, "::1"), [ECHO], CONFIG) as one:
        assert one.contexts[1].abstract_syntax == VERIFICATION
    with called_peer(script) as port, associate(remote(port, "localhost"), [ECHO], CONFIG) as two:
        assert two.contexts[1].transfer_syntax == IMPLICIT


@pytest.mark.peer("dcmtk")
def test_storescp_answers_an_echo(tmp_path: Path) -> None:
    with storescp(tmp_path) as destination, associate(remote(destination.port), [ECHO], CONFIG) as association:
        assert association.echo() == 0
    assert association.is_released


def test_roles_are_negotiated(running: Running) -> None:
    proposals = [Proposal(CT_IMAGE, (EXPLICIT,), as_scu=False, as_scp=True), ECHO]

    with associate(ours(running.port), proposals, CONFIG) as association:
        context = association.contexts[1]
        assert (context.is_user, context.is_provider) == (False, True)
        assert association.contexts[3].is_user


def test_a_peer_that_ignores_roles_is_a_provider() -> None:
    def script(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT})
        peer.release()

    proposal = Proposal(CT_IMAGE, (EXPLICIT,), as_scp=True)
    with called_peer(script) as port, associate(remote(port), [proposal], CONFIG) as association:
        assert (association.contexts[1].is_user, association.contexts[1].is_provider) == (True, False)


@pytest.mark.parametrize(
    ("rejection", "words"),
    [
        ((1, 1, 7), "application rejected the association permanently: called AE title not recognised"),
        ((1, 1, 3), "application rejected the association permanently: calling AE title not recognised"),
        ((1, 1, 1), "application rejected the association permanently: no reason given"),
        ((2, 3, 2), "presentation layer rejected the association for now: limit of associations exceeded"),
        ((1, 2, 2), "association control rejected the association permanently: protocol version not supported"),
        ((1, 1, 9), "application rejected the association permanently: no reason given"),
        ((7, 8, 255), "unknown part rejected the association permanently: no reason given"),
    ],
)
def test_a_rejection_is_said_in_words(rejection: tuple[int, int, int], words: str) -> None:
    def script(peer: CalledPeer) -> None:
        peer.receive_pdu()
        peer.send(associate_rj(*rejection))

    with called_peer(script) as port, pytest.raises(RefusedError, match=words), associate(remote(port), [ECHO], CONFIG):
        pass


def test_a_stranger_is_rejected_by_our_own_gateway(running: Running) -> None:
    running.devices.known = {}

    with (
        pytest.raises(RefusedError, match="permanently: no reason given"),
        associate(ours(running.port), [ECHO], CONFIG),
    ):
        pass


def _accept_nothing(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(associate_ac(context_answer(1, IMPLICIT, result=3)))


def _accept_another_syntax(peer: CalledPeer) -> None:
    peer.accept({1: EXPLICIT})


def _accept_what_was_not_proposed(peer: CalledPeer) -> None:
    peer.accept({3: IMPLICIT, 201: IMPLICIT})


@pytest.mark.parametrize("script", [_accept_nothing, _accept_another_syntax, _accept_what_was_not_proposed])
def test_an_association_without_a_usable_context_is_a_refusal(script: Callable[[CalledPeer], None]) -> None:
    with (
        called_peer(script) as port,
        pytest.raises(RefusedError, match="accepts nothing"),
        associate(remote(port), [ECHO], CONFIG),
    ):
        pass


def _say_nothing(peer: CalledPeer) -> None:
    assert peer.is_closed()


def _close(peer: CalledPeer) -> None:
    peer.receive_pdu()


def _garbage(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert peer.is_closed()


def _claim_four_gib(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(struct.pack(">BBL", 2, 0, 0xFFFFFFFF))
    assert peer.is_closed()


def _half_an_answer(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(associate_ac(context_answer(1, IMPLICIT))[:60])
    assert peer.is_closed()


def _items_that_overrun(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(pdu(2, bytes(68) + b"\x21\x00\xff\xff\x01"))
    assert peer.is_closed()


def _abort(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(pdu(7, bytes(4)))


def _data_instead(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(p_data(pdv(1, COMMAND | LAST, b"")))
    assert peer.is_closed()


def _tiny_pdus(peer: CalledPeer) -> None:
    peer.accept({1: IMPLICIT}, max_length=10)
    assert peer.is_closed()


def _short_rejection(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(pdu(3, b"\0\1"))
    assert peer.is_closed()


@pytest.mark.parametrize(
    "script",
    [
        _say_nothing, _close, _garbage, _claim_four_gib, _half_an_answer, _items_that_overrun, _abort, _data_instead,
        _tiny_pdus, _short_rejection,
    ],
)  # fmt: skip
def test_a_peer_that_does_not_answer_properly_is_unavailable(script: Callable[[CalledPeer], None]) -> None:
    with called_peer(script) as port, pytest.raises(UnavailableError), associate(remote(port), [ECHO], HASTY):
        pass


def test_no_answer_makes_anything_but_our_own_errors() -> None:
    chance = random.Random(7)
    role_item = role(CT_IMAGE, scu=False, scp=True)
    whole = associate_ac(
        context_answer(1, IMPLICIT), context_answer(3, EXPLICIT), user=user_information(extra=role_item)
    )
    answers = [bytearray(whole) for _ in range(80)]
    for answer in answers:
        for _ in range(chance.randint(1, 4)):
            answer[chance.randrange(6, len(answer))] = chance.choice(
                [0, 1, 0x21, 0x51, 0x54, 0xFF, chance.randrange(256)]
            )
    pending = iter(answers)

    def script(peer: CalledPeer) -> None:
        peer.receive_pdu()
        peer.send(bytes(next(pending)))
        peer.is_closed()

    proposals = [ECHO, Proposal(CT_IMAGE, (EXPLICIT,), as_scp=True)]
    n_established = 0
    with called_peer(script) as port:
        for _ in answers:
            with suppress(UnavailableError, RefusedError), associate(remote(port), proposals, HASTY) as association:
                assert set(association.contexts) <= {1, 3}
                n_established += 1
                association.abort()
    assert n_established > 5


def test_nobody_there_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = f"127.0.0.1 port {port} cannot be reached: Connection refused"
    with pytest.raises(UnavailableError, match=words), associate(remote(port), [ECHO], CONFIG):
        pass


def test_a_connection_that_nobody_takes_ends_at_its_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        with pytest.raises(UnavailableError, match="timed out"), associate(remote(address[1]), [ECHO], HASTY):
            pass
        for sock in waiting:
            sock.close()


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    for host in ("a" * 70, "nobody.invalid", ""):
        with pytest.raises(UnavailableError, match="cannot be reached"), associate(remote(1, host), [ECHO], HASTY):
            pass


def test_a_peer_that_never_begins_tls_ends_at_the_deadline() -> None:
    with (
        called_peer(_say_nothing) as port,
        pytest.raises(UnavailableError, match="no encrypted connection"),
        associate(remote(port, tls=ssl.create_default_context()), [ECHO], HASTY),
    ):
        pass


def test_a_peer_without_tls_is_not_talked_to_in_plain_text() -> None:
    with (
        called_peer(_garbage) as port,
        pytest.raises(UnavailableError, match="no encrypted connection"),
        associate(remote(port, tls=ssl.create_default_context()), [ECHO], HASTY),
    ):
        pass


def _echo_rsp(message_id: int, *, field: int = 0x8030, status: int | None = 0) -> bytes:
    elements = [us(0x100, field), us(0x120, message_id), us(0x800, 0x101)]
    return command(*elements, *([] if status is None else [us(0x900, status)]))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_echo_rsp(2), id="to another message"),
        pytest.param(_echo_rsp(1, field=0x8001), id="to another command"),
        pytest.param(_echo_rsp(1, status=None), id="without a status"),
        pytest.param(b"\xff" * 20, id="not a command set"),
    ],
)
def test_a_response_that_does_not_fit_ends_the_association(answer: bytes) -> None:
    def script(peer: CalledPeer) -> None:
        peer.accept({1: IMPLICIT})
        peer.receive_message()
        peer.send(p_data(pdv(1, COMMAND | LAST, answer)))
        assert peer.receive_pdu()[:1] == b"\x07"

    with called_peer(script) as port, associate(remote(port), [ECHO], IMPATIENT) as association:
        with pytest.raises(UnavailableError, match="connection to the peer was lost"):
            association.echo()
        assert not association.is_established


@pytest.mark.parametrize(
    ("last_word", "words"),
    [
        (pdu(7, bytes(4)), "aborted the association"),
        (pdu(5, bytes(4)), "released the association too early"),
        (b"", "did not answer within"),
    ],
)
def test_a_peer_that_leaves_instead_of_answering_is_unavailable(last_word: bytes, words: str) -> None:
    def script(peer: CalledPeer) -> None:
        peer.accept({1: IMPLICIT})
        peer.receive_message()
        peer.send(last_word)
        assert peer.is_closed()

    with called_peer(script) as port, associate(remote(port), [ECHO], IMPATIENT) as association:
        with pytest.raises(UnavailableError, match=words):
            association.echo()
        with pytest.raises(UnavailableError):
            association.echo()


def test_every_response_to_a_query_is_read_with_its_data_set() -> None:
    answers = [b"\x08\0\x52\0\x06\0\0\0STUDY ", b"x" * 40000]

    def script(peer: CalledPeer) -> None:
        peer.accept({1: IMPLICIT})
        request, identifier, _ = peer.receive_message()
        assert identifier == b"query"
        (message_id,) = struct.unpack("<H", request[0x110])
        pdvs = []
        for answer in answers:
            pdvs.append(pdv(1, COMMAND | LAST, find_rsp(message_id, 0xFF00, has_data_set=True)))
            pdvs += [pdv(1, 0, answer[:10]), pdv(1, LAST, answer[10:])]
        pdvs.append(pdv(1, COMMAND | LAST, find_rsp(message_id, 0, has_data_set=False)))
        peer.send(p_data(*pdvs[:3]), p_data(*pdvs[3:]))
        peer.release()

    proposal = Proposal(FIND, (IMPLICIT,))
    elements: dict[Field, int | str] = {Field.AFFECTED_SOP_CLASS_UID: FIND, Field.PRIORITY: 0}
    with called_peer(script) as port, associate(remote(port), [proposal], CONFIG) as association:
        responses = list(association.ask(FIND, 0x0020, elements, b"query"))

    assert [(response.status, response.data_set) for response in responses] == [
        (0xFF00, answers[0]),
        (0xFF00, answers[1]),
        (0, b""),
    ]


def test_a_service_the_peer_did_not_accept_is_refused(running: Running) -> None:
    with (
        associate(ours(running.port), [Proposal(CT_IMAGE, (EXPLICIT,))], CONFIG) as association,
        pytest.raises(RefusedError),
    ):
        association.echo()
