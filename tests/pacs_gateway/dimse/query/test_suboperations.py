"""Counts and the last word of a retrieval."""

from io import BytesIO

import pytest
from pydicom.filereader import read_dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_gateway.dimse.query.suboperations import RetrieveStatus, SubOperations


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], RetrieveStatus.COMPLETE),
        ([0x0000, 0x0000], RetrieveStatus.COMPLETE),
        ([0x0000, 0xB007], RetrieveStatus.SOME_FAILED),
        ([0xB000, 0xB006], RetrieveStatus.SOME_FAILED),
        ([0x0000, 0xA700], RetrieveStatus.SOME_FAILED),
        ([0xB000, 0x0122], RetrieveStatus.SOME_FAILED),
        ([0xA700, 0xC123], RetrieveStatus.ALL_FAILED),
    ],
)
def test_the_end_says_what_happened(statuses: list[int], expected: RetrieveStatus) -> None:
    operations = SubOperations(len(statuses))
    for number, status in enumerate(statuses):
        operations.count(f"1.2.{number}", status)

    assert operations.n_remaining == 0
    assert operations.final_status() is expected


@pytest.mark.parametrize("n_failed", [1, 2, 5000], ids=["one", "two", "more-than-64-KiB"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_failed_is_listed_in_every_transfer_syntax(syntax: UID, n_failed: int) -> None:
    operations = SubOperations(n_failed)
    uids = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(n_failed)]
    for uid in uids:
        operations.count(uid, 0xA700)

    encoded = operations.failed_list(syntax)

    ds = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
    value = ds[0x00080058].value
    listed = value.decode().rstrip("\0").split("\\") if isinstance(value, bytes) else value
    assert ([listed] if isinstance(listed, str) else list(listed)) == uids
    assert len(encoded) % 2 == 0


def test_nothing_failed_is_no_list() -> None:
    assert SubOperations(3).failed_list(ExplicitVRLittleEndian) == b""
