"""The data sets of storage commitment: as pydicom writes and reads them, and never more than an error for the rest."""

from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_gateway.dimse.commitment.message import (
    decode_request,
    decode_result,
    encode_request,
    encode_result,
)
from pacs_gateway.domain.commitment import CommitmentRequest, CommitmentResult, Failure, Reference
from pacs_gateway.errors import CapacityError, InvalidMessageError

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
REFERENCES = [Reference(CT, f"2.25.{number}") for number in range(1, 4)]
RESULT = CommitmentResult("2.25.9", REFERENCES[:2], [Failure(REFERENCES[2], 0x0112)])
uids = st.lists(st.integers(0, 10**8), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts)))
references = st.builds(Reference, uids, uids)
every_syntax = pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit", "big endian"])


def written(ds: Dataset, syntax: UID) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(file, ds)
    return file.getvalue()


def data_set() -> Dataset:
    ds = Dataset()
    ds.TransactionUID = "2.25.9"
    ds.ReferencedSOPSequence = [item(one) for one in REFERENCES[:2]]
    ds.FailedSOPSequence = [item(REFERENCES[2])]
    ds.FailedSOPSequence[0].FailureReason = 0x0112
    return ds


def item(reference: Reference) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_uid
    return ds


def as_it_is(ds: Dataset) -> None:
    """Leave lengths defined and items bare."""


def undefined_lengths(ds: Dataset) -> None:
    for keyword in ("ReferencedSOPSequence", "FailedSOPSequence"):
        ds[keyword].is_undefined_length = True
        for one in ds[keyword].value:
            one.is_undefined_length_sequence_item = True


def nested(ds: Dataset) -> None:
    """Put sequences that mean nothing here around and into the items."""
    undefined_lengths(ds)
    ds.RequestAttributesSequence = [data_set()]
    ds["RequestAttributesSequence"].is_undefined_length = True
    ds.StorageMediaFileSetID = "DISC 1"
    for one in ds.ReferencedSOPSequence:
        one.PurposeOfReferenceCodeSequence = [Dataset(), data_set()]
        one["PurposeOfReferenceCodeSequence"].is_undefined_length = True


@every_syntax
@pytest.mark.parametrize("change", [as_it_is, undefined_lengths, nested])
def test_what_pydicom_writes_is_read(syntax: UID, change: Callable[[Dataset], None]) -> None:
    ds = data_set()
    change(ds)

    assert decode_result(written(ds, syntax), syntax) == RESULT
    assert decode_request(written(ds, syntax), syntax) == CommitmentRequest("2.25.9", REFERENCES[:2])


@every_syntax
def test_pydicom_reads_what_is_written(syntax: UID) -> None:
    encoded = encode_result(RESULT, syntax, retrieve_ae_title="PACSGW1")

    ds = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)

    expected = data_set()
    expected.RetrieveAETitle = "PACSGW1"
    assert ds == expected


@every_syntax
@settings(max_examples=40)
@given(transaction=uids, asked=st.lists(references, min_size=1, max_size=5))
def test_a_request_that_is_written_is_read_back(syntax: UID, transaction: str, asked: list[Reference]) -> None:
    request = CommitmentRequest(transaction, asked)
    assert decode_request(encode_request(request, syntax), syntax) == request


@every_syntax
@settings(max_examples=40)
@given(transaction=uids, committed=st.lists(references, max_size=3), failed=st.lists(references, max_size=3))
def test_a_result_that_is_written_is_read_back(
    syntax: UID, transaction: str, committed: list[Reference], failed: list[Reference]
) -> None:
    result = CommitmentResult(transaction, committed, [Failure(one, 0x0110) for one in failed])
    assert decode_result(encode_result(result, syntax, retrieve_ae_title="PACSGW"), syntax) == result


@every_syntax
@settings(max_examples=40)
@given(data=st.data())
def test_whatever_comes_is_read_or_refused(syntax: UID, data: st.DataObject) -> None:
    encoded = bytearray(encode_result(RESULT, syntax, retrieve_ae_title="PACSGW"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    for spoilt in (bytes(encoded), bytes(encoded[:cut])):
        try:
            decode_result(spoilt, syntax)
        except InvalidMessageError:
            continue


@pytest.mark.parametrize(
    "missing", ["TransactionUID", "ReferencedSOPSequence", "ReferencedSOPClassUID", "ReferencedSOPInstanceUID"]
)
def test_what_a_request_must_have_is_asked_for(missing: str) -> None:
    ds = data_set()
    holder = ds if missing in ds else ds.ReferencedSOPSequence[1]
    delattr(holder, missing)

    with pytest.raises(InvalidMessageError):
        decode_request(written(ds, ExplicitVRLittleEndian), ExplicitVRLittleEndian)


def test_sequences_may_not_be_nested_without_end() -> None:
    opened = b"\x08\x00\x40\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(InvalidMessageError, match="too deeply"):
        decode_request(opened * 100_000, ImplicitVRLittleEndian)


def test_as_many_references_as_are_allowed_are_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs_gateway.dimse.commitment.message.MAX_REFERENCES", 50)
    asked = [REFERENCES[0]] * 50
    encoded = encode_request(CommitmentRequest("2.25.9", asked), ImplicitVRLittleEndian)
    assert len(decode_request(encoded, ImplicitVRLittleEndian).references) == len(asked)

    encoded = encode_request(CommitmentRequest("2.25.9", [*asked, REFERENCES[0]]), ImplicitVRLittleEndian)
    with pytest.raises(CapacityError):
        decode_request(encoded, ImplicitVRLittleEndian)


def test_items_without_uids_are_refused_at_the_first() -> None:
    sequence = b"\x08\x00\x99\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 1_000_000
    with pytest.raises(InvalidMessageError):
        decode_request(sequence, ImplicitVRLittleEndian)
