"""Titles and addresses as they come, and who is let in by them."""

import pytest

from pacs_gateway.access.certificates import Certificate
from pacs_gateway.dimse.admission import Admission, parse_title, plain_address
from pacs_gateway.dimse.pdu import CONGESTED, LIMIT_EXCEEDED, REJECTED, PduError, pad_titles
from pacs_gateway.dimse.places import Places
from tests.pacs_gateway.dimse.doubles import DeviceEntry, MemoryDevices
from tests.support.scripted_peer import associate_rq, title


def admitting(devices: MemoryDevices, *, max_per_device: int = 2) -> Admission:
    return Admission(("PACSGW",), devices, Places(max_per_device))


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
    admission = admitting(devices)

    assert admission.admit(associate_rq(calling="CT1"), "10.0.0.7") == DeviceEntry("CT1")
    assert admission.admit(associate_rq(calling="CT2"), "10.0.0.7") == REJECTED
    # Without a reason of ours the register, which knows more, finds its own.
    assert devices.rejections == [{"calling": "CT2", "called": "PACSGW", "address": "10.0.0.7", "reason": ""}]


def test_a_device_has_only_so_many_associations_at_once() -> None:
    devices = MemoryDevices()
    admission = admitting(devices, max_per_device=2)
    first, _ = (admission.admit(associate_rq(calling="CT1"), "10.0.0.7") for _ in range(2))

    assert admission.admit(associate_rq(calling="CT1"), "10.0.0.8") == LIMIT_EXCEEDED
    assert admission.admit(associate_rq(calling="CT2"), "10.0.0.7") == DeviceEntry("CT2")
    assert [one["reason"] for one in devices.rejections] == ["had 2 associations with one process at once"]

    assert isinstance(first, DeviceEntry)
    admission.places.leave(first.ae_title)
    assert admission.admit(associate_rq(calling="CT1"), "10.0.0.7") == DeviceEntry("CT1")


def test_a_fault_of_ours_is_no_reason_to_reject_for_good() -> None:
    class Broken(MemoryDevices):
        def identify(
            self, *, calling: str, called: str, address: str, certificate: Certificate | None
        ) -> DeviceEntry | None:
            raise ZeroDivisionError

    assert admitting(Broken()).admit(associate_rq(), "10.0.0.7") == CONGESTED


def test_a_request_too_short_for_titles_is_no_request() -> None:
    with pytest.raises(PduError):
        admitting(MemoryDevices()).admit(bytes(73), "10.0.0.7")


def test_nul_padding_of_titles_becomes_spaces_and_nothing_else_changes() -> None:
    request = associate_rq(called=b"PACSGW" + bytes(10), calling=b"CT1" + bytes(13))

    assert pad_titles(request) == associate_rq(called=title("PACSGW"), calling=title("CT1"))
