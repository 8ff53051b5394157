"""Peers that stall, lie and break off: each is closed, everybody else is served."""

import socket
import struct
import subprocess
import time
from contextlib import ExitStack

import pytest

from pacs_gateway.dimse.pdu import LIMIT_EXCEEDED, AbortReason, encode_rejection
from tests.pacs_gateway.dimse.conftest import Running, Serve, wait_until
from tests.support.scripted_peer import (
    CT_IMAGE,
    VERIFICATION,
    ScriptedPeer,
    associate_rq,
    context,
    context_results,
    echo_rq,
    item,
    p_data,
    pdu,
    pdv,
    store_rq,
    title,
    user_information,
)

COMMAND, LAST = 1, 2
CT = 3
"""Context ID of CT Image Storage in the standard proposal."""


def abort_reason(answer: bytes) -> int:
    assert answer[:1] == b"\x07", f"expected A-ABORT, got {answer[:10]!r}"
    return answer[9]


def echo(port: int, deadline_s: float = 5) -> None:
    subprocess.run(
        ["echoscu", "-aec", "PACSGW", "127.0.0.1", str(port)], check=True, timeout=deadline_s, capture_output=True
    )


@pytest.mark.peer("dcmtk")
def test_two_hundred_stalled_connections_do_not_keep_anybody_out(running: Running) -> None:
    with ExitStack() as peers:
        for _ in range(200):
            peers.enter_context(ScriptedPeer(running.port)).send(b"\x01\x00\x00")

        echo(running.port)

        assert running.server.n_associations == 0


def test_a_connection_without_a_request_is_closed(serve: Serve) -> None:
    running = serve(artim_s=0.3)
    with ScriptedPeer(running.port) as silent, ScriptedPeer(running.port) as slow:
        slow.send(associate_rq()[:50])

        assert silent.is_closed()
        assert slow.is_closed()


def test_the_oldest_half_open_connection_makes_room(serve: Serve) -> None:
    running = serve(half_open_per_address=3)
    with ExitStack() as peers:
        first = peers.enter_context(ScriptedPeer(running.port))
        first.send(b"\x01")
        time.sleep(0.3)  # the age at which a connection is no longer new
        others = [peers.enter_context(ScriptedPeer(running.port)) for _ in range(3)]

        assert first.is_closed()
        others[0].associate()


def test_a_burst_of_fresh_connections_is_not_cut(serve: Serve) -> None:
    running = serve(half_open_per_address=2)
    with ExitStack() as peers:
        burst = [peers.enter_context(ScriptedPeer(running.port)) for _ in range(20)]
        for peer in burst:
            peer.send(associate_rq())

        assert [peer.receive_pdu()[0] for peer in burst] == [2] * 20


def test_more_callers_than_the_cap_wait_for_their_turn(serve: Serve) -> None:
    running = serve(max_associations=2)
    with ExitStack() as peers:
        served = [peers.enter_context(ScriptedPeer(running.port)) for _ in range(2)]
        for peer in served:
            peer.associate()
        third = peers.enter_context(ScriptedPeer(running.port, timeout_s=0.3))
        third.send(associate_rq())
        with pytest.raises(TimeoutError):
            third.receive_pdu()

        served[0].send(pdu(5, bytes(4)))

        third.sock.settimeout(10)
        assert third.receive_pdu()[0] == 2


def test_a_device_at_its_cap_is_told_to_come_again_and_others_are_served(serve: Serve) -> None:
    running = serve(max_per_device=2)
    with ExitStack() as peers:
        served = [peers.enter_context(ScriptedPeer(running.port)) for _ in range(2)]
        for peer in served:
            peer.associate(calling="CT1")
        third = peers.enter_context(ScriptedPeer(running.port))
        third.send(associate_rq(calling="CT1"))
        assert third.receive_pdu() == encode_rejection(LIMIT_EXCEEDED)
        other = peers.enter_context(ScriptedPeer(running.port))
        other.associate(calling="CT2")

        served[0].send(pdu(5, bytes(4)))

        assert served[0].receive_pdu()[0] == 6
        assert served[0].is_closed()
        wait_until(lambda: _is_let_in(running, "CT1"))


def _is_let_in(running: Running, calling: str) -> bool:
    with ScriptedPeer(running.port) as peer:
        peer.send(associate_rq(calling=calling))
        return peer.receive_pdu()[0] == 2


@pytest.mark.parametrize("kind", [1, 4])
def test_a_huge_first_pdu_is_refused_before_it_is_read(running: Running, kind: int) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.send(struct.pack(">BBL", kind, 0, 0xFFFFFFFF))

        assert abort_reason(peer.receive_pdu()) == AbortReason.INVALID_PARAMETER
        assert peer.is_closed()


@pytest.mark.parametrize("first", [pdu(2, bytes(80)), pdu(4, bytes(20)), pdu(5, bytes(4))])
def test_only_a_request_may_come_first(running: Running, first: bytes) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.send(first)

        assert abort_reason(peer.receive_pdu()) == AbortReason.UNEXPECTED_PDU


@pytest.mark.parametrize("length", [0xFFFFFFFF, 2 * 131072 + 1])
def test_a_pdu_longer_than_twice_the_agreed_is_refused(running: Running, length: int) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(struct.pack(">BBL", 4, 0, length))

        assert abort_reason(peer.receive_pdu()) == AbortReason.INVALID_PARAMETER
        assert peer.is_closed()


def test_a_pdu_up_to_twice_the_agreed_is_taken(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        data = bytes(range(256)) * 1023
        peer.send(p_data(pdv(CT, COMMAND | LAST, store_rq())), p_data(pdv(CT, LAST, data)))

        assert peer.receive_status()[0] == 0
    assert running.ingest.published[0].data == data


def test_a_pdu_that_dribbles_is_aborted(serve: Serve) -> None:
    running = serve(pdu_deadline_s=0.4)
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, COMMAND | LAST, store_rq())))
        peer.send(struct.pack(">BBL", 4, 0, 1000))
        wait_until(lambda: _dribble(peer))
    wait_until(lambda: running.ingest.n_discarded == 1)
    assert running.ingest.published == []


def _dribble(peer: ScriptedPeer) -> bool:
    """Send one byte; return whether the other side has had enough."""
    try:
        peer.sock.settimeout(0.02)
        peer.send(b"\0")
        return bool(peer.sock.recv(100)) or True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_message_below_the_slowest_rate_is_aborted(serve: Serve) -> None:
    running = serve(message_s=0.4)
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, COMMAND | LAST, store_rq())))
        # Whole PDUs, so that only the message's own clock can run out.
        wait_until(lambda: _send_fragment(peer))
    wait_until(lambda: running.ingest.n_discarded == 1)


def _send_fragment(peer: ScriptedPeer) -> bool:
    try:
        peer.sock.settimeout(0.05)
        peer.send(p_data(pdv(CT, 0, b"x")))
        return bool(peer.sock.recv(100)) or True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_silence_between_messages_ends_the_association(serve: Serve) -> None:
    running = serve()
    running.devices.idle_s = 0.3
    with ScriptedPeer(running.port) as peer:
        peer.associate()

        assert peer.receive_pdu()[:1] == b"\x07"
        assert peer.is_closed()


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(pdu(9, bytes(4)), id="unknown PDU type"),
        pytest.param(pdu(0, bytes(4)), id="PDU type zero"),
        pytest.param(associate_rq(), id="second request"),
        pytest.param(pdu(2, bytes(80)), id="A-ASSOCIATE-AC"),
        pytest.param(pdu(6, bytes(4)), id="release response nobody asked for"),
        pytest.param(pdu(4, b""), id="P-DATA without PDV"),
        pytest.param(pdu(4, b"\0\0\0"), id="truncated PDV header"),
        pytest.param(p_data(pdv(CT, 3, b"abcd", length=1000)), id="PDV longer than its PDU"),
        pytest.param(p_data(pdv(CT, 3, b"abcd", length=0xFFFFFFFF)), id="PDV of 4 GiB"),
        pytest.param(p_data(pdv(CT, 3, b"abcd", length=0)), id="PDV length zero"),
        pytest.param(p_data(pdv(CT, 3, b"abcd", length=1)), id="PDV without control header"),
        pytest.param(p_data(pdv(CT, LAST, b"abcd")), id="data set without command"),
        pytest.param(p_data(pdv(99, COMMAND | LAST, echo_rq())), id="context never proposed"),
        pytest.param(p_data(pdv(CT, COMMAND | LAST, b"abc")), id="command set truncated"),
        pytest.param(p_data(pdv(CT, COMMAND | LAST, b"")), id="command set empty"),
        pytest.param(p_data(pdv(CT, COMMAND | LAST, b"\x08\0\x18\0\x02\0\0\0ab")), id="no command group"),
        pytest.param(
            p_data(pdv(1, COMMAND, echo_rq()[:20]), pdv(CT, COMMAND | LAST, echo_rq()[20:])), id="two contexts mixed"
        ),
        pytest.param(
            p_data(pdv(CT, COMMAND | LAST, store_rq()), pdv(CT, COMMAND | LAST, echo_rq())), id="command for data"
        ),
        pytest.param(p_data(pdv(CT, COMMAND | LAST, echo_rq())), id="echo under a storage context"),
        pytest.param(p_data(pdv(1, COMMAND, bytes(100_000))), id="endless command set"),
    ],
)
def test_garbage_is_answered_with_an_abort(running: Running, garbage: bytes) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(garbage)

        assert peer.receive_pdu()[:1] == b"\x07"
        assert peer.is_closed()
    wait_until(lambda: running.server.n_associations == 0)
    assert running.ingest.published == []
    assert running.ingest.n_discarded == running.ingest.n_begun


@pytest.mark.parametrize("end", [pdu(7, bytes(4)), b""], ids=["abort", "close"])
def test_an_end_in_the_middle_of_a_data_set_leaves_nothing(running: Running, end: bytes) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, COMMAND | LAST, store_rq()), pdv(CT, 0, b"half a data set")))
        wait_until(lambda: running.ingest.n_begun == 1)
        peer.send(end)
    wait_until(lambda: running.server.n_associations == 0)

    assert running.ingest.published == []
    assert running.ingest.n_discarded == 1


def test_a_release_within_a_data_set_leaves_nothing(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, COMMAND | LAST, store_rq()), pdv(CT, 0, b"half")), pdu(5, bytes(4)))

        assert peer.receive_pdu()[0] in (6, 7)
        assert peer.is_closed()
    wait_until(lambda: running.ingest.n_discarded == 1)
    assert running.ingest.published == []


def test_data_after_a_release_is_not_stored(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(pdu(5, bytes(4)), p_data(pdv(CT, COMMAND | LAST, store_rq()), pdv(CT, LAST, b"late")))

        assert peer.receive_pdu()[0] == 6
        assert peer.is_closed()
    assert running.ingest.n_begun == 0


def test_two_release_requests_end_the_association(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(pdu(5, bytes(4)), pdu(5, bytes(4)))

        assert peer.receive_pdu()[0] == 6
        assert peer.is_closed()


def test_a_request_with_128_contexts_of_every_syntax_is_served(running: Running) -> None:
    syntaxes = [f"1.2.840.10008.1.2.4.{n}" for n in range(50, 112)]
    contexts = [context(2 * n + 1, CT_IMAGE, syntaxes) for n in range(128)]
    with ScriptedPeer(running.port) as peer:
        results = context_results(peer.associate(*contexts))

    assert len(results) == 128
    assert {result for result, _ in results.values()} == {0}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(pdu(1, bytes(10)), id="too short for titles"),
        pytest.param(associate_rq()[:-3], id="cut"),
        pytest.param(associate_rq((context(2, VERIFICATION),)), id="even context ID"),
        pytest.param(associate_rq((item(0x20, bytes(4)),)), id="context without syntaxes"),
        pytest.param(associate_rq((context(1, "not a uid"),)), id="abstract syntax is no UID"),
        pytest.param(associate_rq((item(0x77, b"what"),)), id="unknown item"),
        pytest.param(associate_rq(user=b"\x50\x00\xff\xff"), id="item longer than the PDU"),
        pytest.param(associate_rq(()), id="no contexts"),
        pytest.param(associate_rq(version=0), id="no protocol version"),
        pytest.param(associate_rq(user=user_information(7)), id="PDUs too short for anything"),
    ],
)
@pytest.mark.peer("dcmtk")
def test_a_malformed_request_is_answered_or_closed(running: Running, broken: bytes) -> None:
    with ScriptedPeer(running.port) as peer:
        if len(broken) != int.from_bytes(broken[2:6], "big") + 6:
            broken = broken[:2] + (len(broken) - 6).to_bytes(4, "big") + broken[6:]
        peer.send(broken)
        answer = peer.receive_pdu()
        if answer[:1] != b"\x02":
            assert answer[:1] in (b"\x03", b"\x07")
            assert peer.is_closed()
    wait_until(lambda: running.server.n_associations == 0)
    echo(running.port)


@pytest.mark.parametrize(
    ("called", "calling"),
    [
        ("pacsgw", "SCRIPTED"),
        ("OTHER", "SCRIPTED"),
        ("PACSGW", "UNKNOWN"),
        ("PACSGW", b"BACK\\SLASH"),
        ("PACSGW", b"NEW\nLINE"),
        ("PACSGW", b"\xe9\xff"),
        ("PACSGW", b""),
        (b"", "SCRIPTED"),
        (b"PACSGW\x00X", "SCRIPTED"),
    ],
)
def test_every_rejection_looks_the_same(running: Running, called: str | bytes, calling: str | bytes) -> None:
    running.devices.known = {}
    with ScriptedPeer(running.port) as peer:
        peer.send(associate_rq(called=called, calling=calling))

        assert peer.receive_pdu() == bytes.fromhex("03000000000400010101")
        assert peer.is_closed()
    (rejection,) = running.devices.rejections
    assert rejection["address"] == "127.0.0.1"
    assert rejection["calling"].isprintable()


def test_padding_is_no_part_of_a_title(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        assert title("  PACSGW") == b"  PACSGW        "
        peer.associate(called="  PACSGW", calling=b"SCRIPTED\0\0\0")


def test_a_closing_peer_frees_its_place(running: Running) -> None:
    for _ in range(20):
        with ScriptedPeer(running.port) as peer:
            peer.associate()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: running.server.n_associations == 0)
