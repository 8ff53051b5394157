"""Requests and those who ask: nothing is done for somebody who has gone."""

import logging
import socket
import threading

import pytest
from pynetdicom.dimse_primitives import C_FIND

from pacs_gateway.dimse.negotiation import STUDY_ROOT_FIND
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.dimse.service import Exchange
from tests.pacs_gateway.dimse.conftest import CONFIG, wait_until
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest
from tests.support.conversations import Message, query
from tests.support.scripted_peer import ScriptedPeer, context, pdu

_FIND = 0x20
_ABORT = pdu(7, bytes(4))


class Patient:
    """A service that works until it is cancelled."""

    def __init__(self) -> None:
        self.n_served = 0

    def serve(self, exchange: Exchange) -> None:
        self.n_served += 1
        wait_until(lambda: exchange.is_cancelled)

    def fail(self, exchange: Exchange, error: Exception) -> None:
        raise error


def test_a_request_that_waits_when_its_sender_breaks_off_is_not_served(caplog: pytest.LogCaptureFixture) -> None:
    service = Patient()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = DicomServer(CONFIG, MemoryIngest(), MemoryDevices(), [listener], {C_FIND: service})
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        with ScriptedPeer(listener.getsockname()[1]) as peer:
            peer.associate(context(1, STUDY_ROOT_FIND))
            requests = [Message(1, query(STUDY_ROOT_FIND, _FIND, number), b"\0" * 8).encoded() for number in (1, 2)]
            peer.send(*requests, _ABORT)
            assert peer.is_closed()
        wait_until(lambda: server.n_associations == 0)
        server.stop(grace_s=0)
        thread.join(10)

    assert service.n_served == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
