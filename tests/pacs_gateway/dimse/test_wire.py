"""One connection's end: what it reads, what it waits for, and whom it gives up on."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic

import pytest

from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.dimse.wire import StopSignal, Wire
from tests.pacs_gateway.dimse.conftest import CONFIG
from tests.support.scripted_peer import pdu

LIMIT = 2 * CONFIG.max_pdu
Connect = Callable[..., tuple[Wire, socket.socket]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    ends: list[socket.socket] = []

    def make(stop: StopSignal | None = None, **limits: float) -> tuple[Wire, socket.socket]:
        near, far = socket.socketpair()
        ends.extend((near, far))
        return Wire(near, replace(CONFIG, **limits), stop=stop), far  # type: ignore[arg-type]

    yield make
    for end in ends:
        end.close()


def test_pdus_come_out_whole_whatever_the_pieces(connect: Connect) -> None:
    wire, far = connect()
    sent = [pdu(4, bytes([n % 256]) * size) for n, size in enumerate((0, 1, 5, 70_000, 200_000, LIMIT, 3, 100_000))]
    stream = b"".join(sent * 3)

    def pour() -> None:
        for start in range(0, len(stream), 33_333):
            far.sendall(stream[start : start + 33_333])

    thread = threading.Thread(target=pour)
    thread.start()
    received = [bytes(wire.next_pdu(LIMIT, 10) or b"") for _ in range(3 * len(sent))]
    thread.join()
    assert received == sent * 3


def test_without_waiting_half_a_pdu_is_kept_for_later(connect: Connect) -> None:
    wire, far = connect()
    assert wire.next_pdu(LIMIT, 0) is None
    far.sendall(pdu(5, bytes(4))[:7])
    assert wire.next_pdu(LIMIT, 0) is None
    far.sendall(pdu(5, bytes(4))[7:])
    assert bytes(wire.next_pdu(LIMIT, 0) or b"") == pdu(5, bytes(4))


def test_a_peer_that_never_reads_is_given_up(connect: Connect) -> None:
    wire, _ = connect(pdu_deadline_s=0.2)
    begun = monotonic()
    with pytest.raises(TimeoutError):
        wire.send(bytes(64 << 20))
    assert monotonic() - begun < 5


def test_a_pdu_that_stays_incomplete_is_given_up(connect: Connect) -> None:
    wire, far = connect(pdu_deadline_s=0.2)
    far.sendall(b"\x04\0\0")
    with pytest.raises(PduError):
        wire.next_pdu(LIMIT, 60)


def test_within_a_message_silence_uses_up_its_time(connect: Connect) -> None:
    wire, _ = connect(message_s=0.2)
    wire.begin_message()
    assert wire.next_pdu(LIMIT, None) is None


def test_between_messages_a_stop_wakes_the_waiting(connect: Connect) -> None:
    stop = StopSignal()
    wire, _ = connect(stop)
    threading.Timer(0.05, stop.set).start()
    begun = monotonic()
    assert wire.next_pdu(LIMIT, 60, is_interruptible=True) is None
    assert monotonic() - begun < 10
    stop.close()


def test_a_stop_does_not_tear_a_pdu(connect: Connect) -> None:
    stop = StopSignal()
    wire, far = connect(stop)
    far.sendall(b"\x05\0\0\0\0\x04\0")
    stop.set()
    threading.Timer(0.05, far.sendall, [bytes(3)]).start()
    assert bytes(wire.next_pdu(LIMIT, 60, is_interruptible=True) or b"") == pdu(5, bytes(4))
    stop.close()


def test_an_impossible_header_is_told_from_a_closed_connection(connect: Connect) -> None:
    wire, far = connect()
    far.sendall(struct.pack(">BBL", 4, 0, LIMIT + 1))
    with pytest.raises(PduError) as caught:
        wire.next_pdu(LIMIT, 1)
    assert caught.value.reason is AbortReason.INVALID_PARAMETER

    other, far = connect()
    far.close()
    with pytest.raises(ConnectionError):
        other.next_pdu(LIMIT, 1)
