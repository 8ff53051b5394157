"""Mutations of recorded conversations: no crash, no hang, nothing half stored (promises R25)."""

import logging
import random
import socket
from contextlib import suppress

import pytest

from tests.pacs_gateway.dimse.conftest import Serve, wait_until
from tests.support.mutation import spoil_bytes
from tests.support.scripted_peer import (
    CT_IMAGE,
    ScriptedPeer,
    associate_rq,
    context,
    echo_rq,
    p_data,
    pdu,
    pdv,
    role,
    store_rq,
    user_information,
)

RELEASE, ABORT = pdu(5, bytes(4)), pdu(7, bytes(4))
REQUEST = associate_rq()
STORE = p_data(pdv(3, 3, store_rq())) + p_data(pdv(3, 0, b"abc" * 50)) + p_data(pdv(3, 2, b"def" * 50))
ECHO = p_data(pdv(1, 3, echo_rq()))
IDENTITY = bytes.fromhex("58000009") + b"\x01\x00\x00\x03abc\x00\x00"
SEEDS = (
    REQUEST + ECHO + STORE + RELEASE,
    REQUEST + STORE + STORE + ABORT,
    REQUEST + p_data(pdv(3, 1, store_rq()[:40]), pdv(3, 3, store_rq()[40:]), pdv(3, 2, b"x" * 99)) + RELEASE,
    associate_rq(
        [context(2 * n + 1, CT_IMAGE) for n in range(20)],
        user=user_information(extra=role(CT_IMAGE, scu=True, scp=True) + IDENTITY),
    )
    + ECHO
    + RELEASE,
)


def spoilt(rng: random.Random) -> bytes:
    """Return a spoilt conversation; half of them leave the request alone, so that they get past it."""
    seed = rng.choice(SEEDS)
    return spoil_bytes(seed, rng, len(REQUEST) if rng.random() < 0.5 and seed.startswith(REQUEST) else 0)


@pytest.mark.parametrize("block", range(5))
def test_mutated_conversations_end_and_leave_nothing_behind(
    serve: Serve, block: int, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(artim_s=1, pdu_deadline_s=1, message_s=1)
    running.devices.idle_s = 1
    rng = random.Random(block)
    for _ in range(100):
        with ScriptedPeer(running.port, timeout_s=5) as peer:
            with suppress(OSError):  # it may have had enough already
                peer.send(spoilt(rng))
                peer.sock.shutdown(socket.SHUT_WR)
            assert peer.is_closed()

    wait_until(lambda: running.server.n_associations == 0)
    assert running.ingest.n_begun == running.ingest.n_discarded + len(running.ingest.published)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(ECHO)
        assert peer.receive_status()[0] == 0
