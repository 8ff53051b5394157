"""Command sets on the hot path: what is read, and what is refused."""

import pytest

from pacs_gateway.dimse.command import C_STORE_RQ, StoreRequest, parse_command, store_request
from pacs_gateway.dimse.pdu import PduError
from tests.support.scripted_peer import CT_IMAGE, command, element, store_rq, us


def test_a_store_request_is_read() -> None:
    parsed = parse_command(store_rq("1.2.3.4", message_id=513))

    assert parsed.field == C_STORE_RQ
    assert store_request(parsed) == StoreRequest(513, CT_IMAGE, "1.2.3.4", True)


def test_a_request_without_a_data_set_says_so() -> None:
    assert not store_request(parse_command(store_rq(data_set_type=0x101))).has_data_set


def test_missing_uids_are_left_to_whoever_checks_them() -> None:
    parsed = parse_command(command(us(0x100, 1), us(0x110, 1), us(0x800, 0)))

    assert store_request(parsed) == StoreRequest(1, "", "", True)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"", id="empty"),
        pytest.param(store_rq()[:-1], id="cut"),
        pytest.param(store_rq() + b"\0", id="a byte too many"),
        pytest.param(command(us(0x110, 1), us(0x800, 0)), id="no command field"),
        pytest.param(command(us(0x100, 1), us(0x110, 1)), id="no data set type"),
        pytest.param(command(element(0x100, b"\1\0\0\0"), us(0x800, 0)), id="command field too long"),
        pytest.param(b"\x08\0\x16\0\2\0\0\0ab" + store_rq(), id="element of another group"),
        pytest.param(b"\0\0\2\0\xff\xff\xff\xff" + store_rq(), id="undefined length"),
    ],
)
def test_what_is_not_a_command_set_is_refused(encoded: bytes) -> None:
    with pytest.raises(PduError):
        parse_command(encoded)


def test_a_request_that_could_not_be_answered_is_refused() -> None:
    with pytest.raises(PduError):
        store_request(parse_command(command(us(0x100, 1), us(0x800, 0))))
