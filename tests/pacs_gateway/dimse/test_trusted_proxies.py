"""Behind a balancer a connection is its caller's: known, counted, rejected and kept by the address in the header."""

import logging
import random
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from pacs_gateway.access.networks import Networks
from pacs_gateway.dimse.proxy_protocol import MAX_HEADER_LENGTH
from tests.pacs_gateway.dimse.conftest import Serve, wait_until
from tests.support.proxy_header import local_header, proxy_header
from tests.support.scripted_peer import CT_IMAGE, ScriptedPeer, associate_rq, p_data, pdv, store_rq

HERE = Networks.parse("127.0.0.1")
ELSEWHERE = Networks.parse("192.0.2.0/24")


@pytest.mark.parametrize("source", ["192.0.2.7", "2001:db8::7"])
def test_the_address_in_the_header_is_the_origin_of_what_is_stored(serve: Serve, source: str) -> None:
    running = serve(trusted_proxies=HERE)
    with ScriptedPeer(running.port) as peer:
        peer.send(proxy_header(source, extensions=b"\x04\0\x03abc"))
        peer.associate()
        peer.send(p_data(pdv(3, 3, store_rq())), p_data(pdv(3, 2, b"data")))

        assert peer.receive_status()[0] == 0
    assert [one.origin.address for one in running.ingest.published] == [source]
    assert [one.sop_class_uid for one in running.ingest.published] == [CT_IMAGE]


def test_ipv4_inside_ipv6_is_ipv4(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE)
    running.devices.known = {}
    with ScriptedPeer(running.port) as peer:
        peer.send(proxy_header("::ffff:192.0.2.7"), associate_rq())

        assert peer.receive_pdu()[0] == 3
    assert running.devices.rejections[0]["address"] == "192.0.2.7"


def test_header_and_request_may_come_in_any_pieces(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE)
    message = proxy_header(extensions=bytes(7)) + associate_rq()
    for step in (1, 15, 16, 17, 50, len(message)):
        with ScriptedPeer(running.port) as peer:
            for start in range(0, len(message), step):
                peer.send(message[start : start + step])

            assert peer.receive_pdu()[0] == 2


def test_a_rejection_is_kept_with_the_callers_address(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE)
    running.devices.known = {}
    with ScriptedPeer(running.port) as peer:
        peer.send(proxy_header("192.0.2.9"), associate_rq())

        assert peer.receive_pdu()[0] == 3
    assert [rejection["address"] for rejection in running.devices.rejections] == ["192.0.2.9"]


@pytest.mark.parametrize(
    "first_bytes",
    [
        pytest.param(associate_rq(), id="no header"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 50104 104\r\n" + associate_rq(), id="version 1"),
        pytest.param(proxy_header(family=0) + associate_rq(), id="without addresses"),
        pytest.param(proxy_header(extensions=bytes(MAX_HEADER_LENGTH)), id="too long"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="another protocol"),
    ],
)
def test_without_a_valid_header_a_proxys_connection_is_closed_and_the_log_says_why(
    serve: Serve, caplog: pytest.LogCaptureFixture, first_bytes: bytes
) -> None:
    running = serve(trusted_proxies=HERE)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with ScriptedPeer(running.port) as peer:
                peer.send(first_bytes)

                assert peer.is_closed()

    assert running.devices.rejections == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert "127.0.0.1" in line
    assert "PACS_TRUSTED_PROXIES" in line


def test_from_anybody_else_a_header_is_no_association_request(serve: Serve) -> None:
    running = serve(trusted_proxies=ELSEWHERE)
    with ScriptedPeer(running.port) as liar, ScriptedPeer(running.port) as peer:
        liar.send(proxy_header(), associate_rq())
        assert liar.receive_pdu()[0] == 7

        peer.associate()


def test_health_checks_are_not_worth_a_word(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    running = serve(trusted_proxies=HERE)
    with caplog.at_level(logging.DEBUG, "pacs_gateway"):
        for first_bytes in (b"", local_header(), local_header(b"\x04\0\0"), proxy_header(), proxy_header()[:5]):
            for _ in range(20):
                with ScriptedPeer(running.port) as peer:
                    peer.send(first_bytes)
        with ScriptedPeer(running.port) as peer:
            peer.send(local_header())
            peer.associate()
        wait_until(lambda: running.server.n_associations == 0)

    said = [record for record in caplog.records if record.levelno > logging.INFO]
    assert said == []


def test_a_balancers_own_association_has_the_balancers_address(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE)
    running.devices.known = {}
    with ScriptedPeer(running.port) as peer:
        peer.send(local_header(), associate_rq())

        assert peer.receive_pdu()[0] == 3
    assert running.devices.rejections[0]["address"] == "127.0.0.1"


def test_stalled_connections_are_held_down_for_their_caller_not_for_the_balancer(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE, half_open_per_address=3)
    with ExitStack() as peers:

        def connect(first_bytes: bytes) -> ScriptedPeer:
            peer = peers.enter_context(ScriptedPeer(running.port))
            peer.send(first_bytes)
            return peer

        unknown = [connect(b"\r\n") for _ in range(10)]
        others = [connect(proxy_header(f"192.0.2.{n}")) for n in range(10)]
        greedy = [connect(proxy_header("198.51.100.9")) for _ in range(3)]
        time.sleep(0.3)  # the age at which a connection is no longer new
        late = connect(proxy_header("198.51.100.9"))

        assert greedy[0].is_closed()
        for peer in (*others, *greedy[1:], late):
            peer.associate()
        for peer in unknown:
            peer.send(proxy_header("203.0.113.1")[2:])
            peer.associate()


def test_mutated_headers_let_nobody_in_and_harm_nobody(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE)
    rng = random.Random(2026)
    for _ in range(300):
        first_bytes = bytearray(proxy_header(extensions=rng.randbytes(rng.randrange(40))))
        first_bytes[rng.randrange(16)] ^= 1 << rng.randrange(8)
        with ScriptedPeer(running.port) as peer:
            peer.send(bytes(first_bytes) + rng.randbytes(rng.randrange(100)))
            with suppress(OSError):  # it has been closed already
                peer.sock.shutdown(socket.SHUT_WR)

            assert peer.is_closed()
    with ScriptedPeer(running.port) as peer:
        peer.send(proxy_header())
        peer.associate()


def test_a_balancer_that_says_nothing_is_closed_in_time(serve: Serve) -> None:
    running = serve(trusted_proxies=HERE, artim_s=0.3)
    with ScriptedPeer(running.port) as silent, ScriptedPeer(running.port) as slow:
        slow.send(proxy_header() + associate_rq()[:50])

        assert silent.is_closed()
        assert slow.is_closed()
