"""C-STORE as user: every byte arrives, in PDUs the peer takes, and a peer that misbehaves costs a deadline at most."""

import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.pdu import PDV_OVERHEAD
from pacs_gateway.dimse.scu.requestor import Proposal, Remote, RequestedAssociation, associate
from pacs_gateway.dimse.scu.sending import Originator, Outgoing, Priority, data_pdus, store
from pacs_gateway.errors import IntegrityError, UnavailableError
from tests.pacs_gateway.dimse.conftest import Running
from tests.pacs_gateway.dimse.test_peers import data_set_bytes, make_ct
from tests.support.scripted_destination import COMMAND, LAST, CalledPeer, called_peer, store_rsp
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT, command, p_data, pdu, pdv, us
from tests.support.storescp import storescp

CONFIG = DimseConfig(ae_titles=("PACSGW",))
HASTY = DimseConfig(ae_titles=("PACSGW",), pdu_deadline_s=2.0, message_s=2.0)
CT = Proposal(CT_IMAGE, (EXPLICIT,))
MIB = 1 << 20


def remote(port: int, called: str = "PACSGW") -> Remote:
    return Remote(called, "127.0.0.1", port, "PACSGW")


def send(association: RequestedAssociation, *pieces: bytes, uid: str = "1.2.3.4.5") -> int:
    return store(association, 1, Outgoing(CT_IMAGE, uid, pieces), message_id=association.next_message_id())


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072, 1 << 20])
def test_our_own_gateway_gets_every_byte(serve: Callable[..., Running], max_pdu: int) -> None:
    running = serve(max_pdu=max_pdu)
    pieces = [bytes(range(256)) * 4096, b"odd", b"", b"and more", bytes(2 * MIB + 6)]

    with associate(remote(running.port), [CT], CONFIG) as association:
        assert [send(association, *pieces), send(association, b"")] == [0, 0]

    received = running.ingest.published
    assert [entry.data for entry in received] == [b"".join(pieces), b""]
    assert (received[0].sop_class_uid, received[0].sop_instance_uid) == (CT_IMAGE, "1.2.3.4.5")
    assert received[0].transfer_syntax_uid == EXPLICIT


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("max_pdu", [4096, 16382, 131072])
def test_storescp_writes_what_we_sent(tmp_path: Path, max_pdu: int) -> None:
    original, folder = tmp_path / "original.dcm", tmp_path / "received"
    ds = make_ct(side=256)
    ds.save_as(original, enforce_file_format=True)
    data_set = data_set_bytes(original)

    with (
        storescp(folder, options=("--max-pdu", str(max_pdu))) as destination,
        associate(remote(destination.port), [CT], CONFIG) as association,
    ):
        assert send(association, data_set[:MIB], data_set[MIB:], uid=ds.SOPInstanceUID) == 0

    (received,) = folder.iterdir()
    assert data_set_bytes(received) == data_set
    assert dcmread(received) == ds


@pytest.mark.parametrize("max_length", [64, 65, 4097, 16384, 0])
def test_no_pdu_is_longer_than_the_peer_allows(max_length: int) -> None:
    data = bytes(range(251)) * 1200
    received: list[tuple[bytes, list[int]]] = []

    def script(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT}, max_length=max_length)
        request, data_set, lengths = peer.receive_message()
        received.append((data_set, lengths))
        peer.answer_store(request)
        peer.release()

    with called_peer(script) as port, associate(remote(port), [CT], CONFIG) as association:
        assert send(association, data) == 0

    ((data_set, lengths),) = received
    assert data_set == data
    assert max(lengths) <= (max_length or 128 * 1024)
    assert len(lengths) < 2 + len(data) // ((max_length or 128 * 1024) - PDV_OVERHEAD - 1) + 4


@pytest.mark.parametrize("sizes", [(1,), (0,), (), (3, 5), (7, 0, 1, 1), (58, 58), (100, 1, 59), (116,), (117, 174)])
def test_fragments_are_even_and_only_the_last_one_is_marked(sizes: tuple[int, ...]) -> None:
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]

    joined = b"".join(bytes(part) for pdus in data_pdus(5, pieces, 64) for part in pdus)

    data, marks, offset = b"", [], 0
    while offset < len(joined):
        kind, length, pdv_length, context_id, control = struct.unpack_from(">BxLLBB", joined, offset)
        assert (kind, pdv_length, context_id) == (4, length - 4, 5)
        assert length <= 64
        data += joined[offset + 12 : offset + 6 + length]
        marks.append(control)
        offset += 6 + length
        assert length % 2 == 0 or offset == len(joined)
    assert offset == len(joined)
    assert data == b"".join(pieces)
    assert marks == [0] * (len(marks) - 1) + [LAST]


def test_the_request_says_priority_and_whose_move_it_is() -> None:
    requests = []

    def script(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT})
        request, _, _ = peer.receive_message()
        requests.append(request)
        peer.answer_store(request, 0xB000)
        peer.release()

    with called_peer(script) as port, associate(remote(port), [CT], CONFIG) as association:
        outgoing = Outgoing(CT_IMAGE, "1.2.3", [b"12"], Priority.LOW, Originator("ASKER", 513))
        status = store(association, 1, outgoing, message_id=77)

    assert status == 0xB000
    (request,) = requests
    assert request[0x110] == struct.pack("<H", 77)
    assert request[0x700] == struct.pack("<H", 2)
    assert request[0x1030] == b"ASKER "
    assert request[0x1031] == struct.pack("<H", 513)
    assert request[0x1000] == b"1.2.3\0"


def test_a_cancel_that_comes_meanwhile_is_seen() -> None:
    cancel = command(us(0x100, 0x0FFF), us(0x120, 9), us(0x800, 0x101))

    def script(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT})
        request, _, _ = peer.receive_message()
        peer.send(p_data(pdv(1, COMMAND | LAST, cancel)))
        peer.answer_store(request)
        peer.release()

    with called_peer(script) as port, associate(remote(port), [CT], CONFIG) as association:
        assert send(association, b"12") == 0
        assert 9 in association.dimse.cancel_req


def test_a_late_answer_within_the_deadline_counts() -> None:
    def script(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT})
        for _ in range(2):
            request, _, _ = peer.receive_message()
            answer = p_data(pdv(1, COMMAND | LAST, store_rsp(struct.unpack("<H", request[0x110])[0], 0xA700)))
            for byte in answer:
                peer.send(bytes([byte]))
        peer.release()

    with called_peer(script) as port, associate(remote(port), [CT], CONFIG) as association:
        assert [send(association, b"12"), send(association, b"34")] == [0xA700, 0xA700]


def _never_answer(peer: CalledPeer) -> None:
    peer.receive_message()
    assert peer.is_closed()


def _garbage(peer: CalledPeer) -> None:
    peer.receive_message()
    peer.send(b"\x99" * 100)
    assert peer.is_closed()


def _half_an_answer(peer: CalledPeer) -> None:
    peer.receive_message()
    peer.send(p_data(pdv(1, COMMAND | LAST, store_rsp(1)))[:20])
    assert peer.is_closed()


def _half_a_command(peer: CalledPeer) -> None:
    peer.receive_message()
    peer.send(p_data(pdv(1, COMMAND, store_rsp(1)[:20])))
    assert peer.is_closed()


def _another_message_id(peer: CalledPeer) -> None:
    request, _, _ = peer.receive_message()
    peer.answer_store(request, off_by=1)
    assert peer.is_closed()


def _another_context(peer: CalledPeer) -> None:
    request, _, _ = peer.receive_message()
    peer.answer_store(request, context_id=3)
    assert peer.is_closed()


def _abort_within_the_object(peer: CalledPeer) -> None:
    peer.receive_pdu()
    peer.send(pdu(7, bytes(4)))


def _close_within_the_object(peer: CalledPeer) -> None:
    peer.receive_pdu()


def _stop_reading(peer: CalledPeer) -> None:
    peer.receive_pdu()
    assert GIVEN_UP.wait(30)


GIVEN_UP = threading.Event()


@pytest.mark.parametrize(
    ("script", "n_pieces"),
    [
        (_never_answer, 1), (_garbage, 1), (_half_an_answer, 1), (_half_a_command, 1), (_another_message_id, 1),
        (_another_context, 1), (_abort_within_the_object, 30), (_close_within_the_object, 30), (_stop_reading, 30),
    ],
)  # fmt: skip
def test_a_destination_that_misbehaves_is_unavailable(script: Callable[[CalledPeer], None], n_pieces: int) -> None:
    def run(peer: CalledPeer) -> None:
        peer.accept({1: EXPLICIT})
        script(peer)

    with called_peer(run) as port, associate(remote(port), [CT], HASTY) as association:
        with pytest.raises(UnavailableError):
            send(association, *[bytes(MIB)] * n_pieces)
        GIVEN_UP.set()
        assert not association.is_established
        with pytest.raises(UnavailableError):
            send(association, b"12")


def _failing_after(n_pieces: int) -> Iterator[bytes]:
    for _ in range(n_pieces):
        yield bytes(MIB)
    raise IntegrityError("bytes and facts disagree")


def test_an_object_that_cannot_be_read_at_all_costs_no_association(running: Running) -> None:
    with associate(remote(running.port), [CT], CONFIG) as association:
        with pytest.raises(IntegrityError):
            store(association, 1, Outgoing(CT_IMAGE, "1.2.3", _failing_after(1)), message_id=1)

        assert send(association, b"12") == 0
    assert association.is_released
    assert len(running.ingest.published) == 1


def test_an_object_that_breaks_off_is_not_taken_for_whole(running: Running) -> None:
    with associate(remote(running.port), [CT], CONFIG) as association:
        with pytest.raises(IntegrityError):
            store(association, 1, Outgoing(CT_IMAGE, "1.2.3", _failing_after(5)), message_id=1)

        assert not association.is_established
    assert running.ingest.published == []
