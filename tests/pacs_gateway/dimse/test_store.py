"""C-STORE as its sender sees it: statuses, comments, and an association that stays in step."""

import logging

import pytest

from pacs_gateway.dimse.command import StoreRequest, encode_store_response
from pacs_gateway.dimse.pdu import encode_data
from pacs_gateway.errors import (
    CapacityError,
    GatewayError,
    InvalidInstanceError,
    MismatchError,
    RefusedError,
    UnavailableError,
)
from tests.pacs_gateway.dimse.conftest import Running
from tests.pacs_gateway.dimse.doubles import DeviceEntry
from tests.support.scripted_peer import (
    CT_IMAGE,
    VERIFICATION,
    ScriptedPeer,
    associate_rq,
    context,
    context_results,
    echo_rq,
    p_data,
    parse_command,
    pdv,
    role,
    store_rq,
    user_information,
)

COMMAND, LAST = 1, 2
CT = 3
ERROR_COMMENT, AFFECTED_INSTANCE = 0x902, 0x1000


def store(peer: ScriptedPeer, uid: str = "1.2.3", **options: int | str) -> tuple[int, dict[int, bytes]]:
    request = store_rq(uid, **options)  # type: ignore[arg-type]
    peer.send(p_data(pdv(CT, COMMAND | LAST, request)), p_data(pdv(CT, 0, b"abc"), pdv(CT, LAST, b"def")))
    return peer.receive_status()


def test_fragments_in_any_shape_make_the_same_object(running: Running) -> None:
    request = store_rq("1.2.3")
    shapes = [
        [p_data(pdv(CT, 3, request), pdv(CT, 2, b"abcdef"))],
        [p_data(pdv(CT, 1, request[:7])), p_data(pdv(CT, 1, request[7:50])), p_data(pdv(CT, 3, request[50:])),
         p_data(pdv(CT, 0, b"abc")), p_data(pdv(CT, 2, b"def"))],
        [p_data(pdv(CT, 1, request[:30]), pdv(CT, 3, request[30:]), pdv(CT, 0, b"a"), pdv(CT, 0, b"bcdef"),
                pdv(CT, 2, b""))],
        [p_data(pdv(CT, 1, b""), pdv(CT, 3, request)), p_data(pdv(CT, 0, b"")), p_data(pdv(CT, 0, b"abcdef")),
         p_data(pdv(CT, 2, b""))],
    ]  # fmt: skip
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        for shape in shapes:
            peer.send(*shape)
            assert peer.receive_status()[0] == 0

    assert [received.data for received in running.ingest.published] == [b"abcdef"] * len(shapes)


def test_pipelined_messages_are_answered_in_order(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(
            p_data(pdv(CT, 3, store_rq("1.2.1", message_id=7)), pdv(CT, 2, b"one")),
            p_data(pdv(CT, 3, store_rq("1.2.2", message_id=8)), pdv(CT, 2, b"two")),
            p_data(pdv(1, 3, echo_rq(9))),
        )

        assert [peer.receive_status()[1][0x120] for _ in range(3)] == [b"\x07\0", b"\x08\0", b"\x09\0"]


def test_an_answer_fits_the_peers_small_pdus(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate(user=user_information(64))
        peer.send(p_data(pdv(CT, 3, store_rq("1.2.3.4")), pdv(CT, 2, b"x")))

        first = peer.receive_pdu()
        assert len(first) <= 64 + 6
        encoded = first[12:]
        while not first[11] & 2:
            first = peer.receive_pdu()
            encoded += first[12:]
        assert parse_command(encoded)[AFFECTED_INSTANCE] == b"1.2.3.4\0"


@pytest.mark.parametrize("step", ["receive", "write", "finish"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CapacityError("disk full"), 0xA700),
        (UnavailableError("spool"), 0x0110),
        (InvalidInstanceError("StudyInstanceUID is missing"), 0xC000),
        (MismatchError("another instance"), 0xA900),
        (RefusedError("not here"), 0x0124),
    ],
)
def test_a_failing_store_is_answered_and_the_association_goes_on(
    running: Running, step: str, error: GatewayError, status: int
) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        running.ingest.failures[step] = error
        answered, elements = store(peer)
        running.ingest.failures.clear()

        assert answered == status
        assert 0 < len(elements[ERROR_COMMENT]) <= 64
        assert store(peer)[0] == 0
    assert running.ingest.n_begun - running.ingest.n_discarded == 1


def test_an_unforeseen_fault_is_answered_and_logged_without_its_words(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedPeer(running.port) as peer, caplog.at_level(logging.ERROR):
        peer.associate()
        running.ingest.failures["finish"] = ValueError("NGUYEN^VAN A")
        status, elements = store(peer)
        running.ingest.failures.clear()

        assert status == 0x0110
        assert store(peer)[0] == 0
    comment = elements[ERROR_COMMENT].decode().strip()
    assert comment.startswith("internal error ")
    assert comment.split()[-1] in caplog.text
    assert "NGUYEN" not in caplog.text + comment


@pytest.mark.parametrize(
    ("uid", "options", "status"),
    [
        ("../../etc/passwd", {}, 0xC000),
        ("", {}, 0xC000),
        ("1.2.3", {"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, 0x0122),
    ],
)
def test_wrong_commands_are_answered_and_drained(
    running: Running, uid: str, options: dict[str, str], status: int
) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        answered, elements = store(peer, uid, **options)

        assert answered == status
        assert b"passwd" not in elements.get(AFFECTED_INSTANCE, b"")
        assert store(peer)[0] == 0


def test_a_store_without_a_data_set_is_answered_at_once(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(CT, 3, store_rq(data_set_type=0x101))))

        assert peer.receive_status()[0] == 0xC000
        assert store(peer)[0] == 0


def test_below_the_low_water_mark_only_storage_is_refused(running: Running) -> None:
    running.ingest.has_room = False
    with ScriptedPeer(running.port) as peer:
        peer.send(associate_rq((context(1, CT_IMAGE),)))
        assert peer.receive_pdu() == bytes.fromhex("03000000000400020302")
    with ScriptedPeer(running.port) as peer:
        peer.associate()
        assert store(peer)[0] == 0xA700
        peer.send(p_data(pdv(1, 3, echo_rq())))
        assert peer.receive_status()[0] == 0


def test_what_is_set_for_a_device_goes_with_what_it_stores(running: Running) -> None:
    running.devices.known = {"MODALITY": DeviceEntry("MODALITY", "HUE", charset="TCVN3", issuer="BV1")}
    with ScriptedPeer(running.port) as peer:
        peer.associate(calling="MODALITY")
        assert store(peer)[0] == 0
    (received,) = running.ingest.published
    assert (received.origin.facility, received.origin.charset, received.origin.issuer) == ("HUE", "TCVN3", "BV1")


def test_a_device_gets_only_what_it_has_the_right_for(running: Running) -> None:
    running.devices.known = {"SCRIPTED": DeviceEntry("SCRIPTED", "CLINIC", frozenset({"store"}))}
    with ScriptedPeer(running.port) as peer:
        accepted = context_results(peer.associate())
        assert {cid: result for cid, (result, _) in accepted.items()} == {1: 1, 3: 0}
        assert store(peer)[0] == 0
    assert running.ingest.published[0].origin.facility == "CLINIC"


def test_a_device_that_may_only_receive_cannot_store_in_that_role(running: Running) -> None:
    running.devices.known = {"SCRIPTED": DeviceEntry("SCRIPTED", rights=frozenset({"get"}))}
    with ScriptedPeer(running.port) as peer:
        user = user_information(extra=role(CT_IMAGE, scu=True, scp=True))
        accept = peer.associate(context(CT, CT_IMAGE), user=user)
        assert context_results(accept)[CT][0] == 0
        assert role(CT_IMAGE, scu=False, scp=True) in accept

        assert store(peer)[0] == 0x0124
    assert running.ingest.n_begun == 0


def test_while_nobody_can_be_identified_callers_are_asked_to_come_back(running: Running) -> None:
    running.devices.failure = UnavailableError("no register")
    with ScriptedPeer(running.port) as peer:
        peer.send(associate_rq())
        assert peer.receive_pdu() == bytes.fromhex("03000000000400020301")


def test_roles_and_operations_window_are_answered(running: Running) -> None:
    extra = role(CT_IMAGE, scu=True, scp=False) + bytes.fromhex("5300000400050005")
    with ScriptedPeer(running.port) as peer:
        accept = peer.associate(context(1, CT_IMAGE), context(3, VERIFICATION), user=user_information(extra=extra))

    assert role(CT_IMAGE, scu=True, scp=False) in accept
    assert bytes.fromhex("5300000400010001") in accept


def test_a_wrong_application_context_is_named(running: Running) -> None:
    with ScriptedPeer(running.port) as peer:
        peer.send(associate_rq(application="1.2.3"))
        assert peer.receive_pdu() == bytes.fromhex("03000000000400010102")


def test_the_response_is_a_correct_command_set() -> None:
    response = encode_store_response(StoreRequest(258, CT_IMAGE, "1.2.3", True), 0xA700, "odd")

    assert int.from_bytes(response[8:12], "little") == len(response) - 12
    assert parse_command(response) == {
        0x0: response[8:12],
        0x2: CT_IMAGE.encode() + b"\0",
        0x100: b"\x01\x80",
        0x120: b"\x02\x01",
        0x800: b"\x01\x01",
        0x900: b"\x00\xa7",
        0x902: b"odd ",
        0x1000: b"1.2.3\0",
    }


@pytest.mark.parametrize("max_length", [64, 100, 131072])
def test_encoded_data_keeps_to_the_peers_limit(max_length: int) -> None:
    fragments = bytes(range(200))
    encoded = encode_data(5, fragments, is_command=True, max_length=max_length)

    collected, flags = b"", []
    while encoded:
        length = int.from_bytes(encoded[2:6], "big")
        assert length <= max_length
        assert int.from_bytes(encoded[6:10], "big") == length - 4
        assert encoded[10] == 5
        flags.append(encoded[11])
        collected += encoded[12 : 6 + length]
        encoded = encoded[6 + length :]
    assert collected == fragments
    assert flags == [1] * (len(flags) - 1) + [3]
