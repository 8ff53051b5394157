"""Titles and addresses as they come, and who is let in by them."""

import pytest

from pacs_gateway.dimse.admission import Admission, parse_title, plain_address
from pacs_gateway.dimse.pdu import CONGESTED, REJECTED, PduError, pad_titles
from tests.pacs_gateway.dimse.doubles import DeviceEntry, MemoryDevices
from tests.support.scripted_peer import associate_rq, title


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (b"PACSGW          ", "PACSGW"),
        (b"  CT 1          ", "CT 1"),
        (b"CT1\0\0\0\0\0\0\0\0\0\0\0\0\0", "CT1"),
        (b"EXACTLY16LETTERS", "EXACTLY16LETTERS"),
        (b"                ", None),
        (b"A\\B             ", None),
        (b"A\nB             ", None),
        (b"A\0B             ", None),
        (b"\xc4\x90          ", None),
    ],
)
def test_a_title_is_printable_ascii_without_its_padding(raw: bytes, parsed: str | None) -> None:
    assert parse_title(raw) == parsed


@pytest.mark.parametrize(
    ("reported", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_written_one_way(reported: str, address: str) -> None:
    assert plain_address(reported) == address


def test_the_known_are_admitted_and_strangers_recorded() -> None:
    devices = MemoryDevices({"CT1": DeviceEntry("CT1")})
    admission = Admission(("PACSGW",), devices)

    assert admission.admit(associate_rq(calling="CT1"), "10.0.0.7") == DeviceEntry("CT1")
    assert admission.admit(associate_rq(calling="CT2"), "10.0.0.7") == REJECTED
    # Without a reason of ours the register, which knows more, finds its own.
    assert devices.rejections == [{"calling": "CT2", "called": "PACSGW", "address": "10.0.0.7", "reason": ""}]


def test_a_fault_of_ours_is_no_reason_to_reject_for_good() -> None:
    class Broken(MemoryDevices):
        def identify(self, *, calling: str, called: str, address: str) -> DeviceEntry | None:
            raise ZeroDivisionError

    assert Admission(("PACSGW",), Broken()).admit(associate_rq(), "10.0.0.7") == CONGESTED


def test_a_request_too_short_for_titles_is_no_request() -> None:
    with pytest.raises(PduError):
        Admission(("PACSGW",), MemoryDevices()).admit(bytes(73), "10.0.0.7")


def test_nul_padding_of_titles_becomes_spaces_and_nothing_else_changes() -> None:
    request = associate_rq(called=b"PACSGW" + bytes(10), calling=b"CT1" + bytes(13))

    assert pad_titles(request) == associate_rq(called=title("PACSGW"), calling=title("CT1"))
