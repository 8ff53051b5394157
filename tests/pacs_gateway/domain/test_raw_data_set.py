"""Identifiers out of bytes: every transfer syntax, sequences of both kinds, and what strangers make up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_gateway.domain.raw_data_set import RawDataSet
from pacs_gateway.errors import InvalidQueryError
from tests.pacs_gateway.dimse.query.finding import SYNTAXES, encoded

LEVEL, NAME, REQUEST, STEP = 0x00080052, 0x00100010, 0x00400275, 0x00400009


def identifier() -> Dataset:
    ds, item = Dataset(), Dataset()
    ds.QueryRetrieveLevel, ds.PatientName, ds.NumberOfStudyRelatedSeries = "SERIES", "Nguyen*", None
    item.ScheduledProcedureStepID = "S1"
    ds.RequestAttributesSequence = [item]
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("is_delimited", [True, False])
def test_elements_and_items_are_found(syntax: str, is_delimited: bool) -> None:
    ds = identifier()
    ds["RequestAttributesSequence"].is_undefined_length = is_delimited
    ds.RequestAttributesSequence[0].is_undefined_length_sequence_item = is_delimited

    parsed = RawDataSet.parse(encoded(ds, syntax), syntax)

    assert parsed.code(LEVEL) == "SERIES"
    assert parsed.elements[NAME].value == b"Nguyen* "
    (item,) = parsed.elements[REQUEST].items
    assert item.code(STEP) == "S1"


def test_an_empty_identifier_has_no_elements() -> None:
    assert not RawDataSet.parse(b"", ImplicitVRLittleEndian).elements


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
        inner = b"\x40\x00\x75\x02SQ\0\0" + len(item).to_bytes(4, "little") + item
    return inner


@pytest.mark.parametrize(
    "junk",
    [
        b"\x08\x00\x52\x00CS\xff\xffSTUDY ",
        b"\x08\x00\x52\x00CS",
        b"\x08\x00\x52\x00\0\0\0\0\0\0\0\0",
        b"\x10\x00\x10\x00PN\x02\x00AA" * 2,
        b"\x10\x00\x10\x00UN\0\0\xf0\xff\xff\xffAA",
        b"".join(b"\x11\x00" + n.to_bytes(2, "little") + b"LO\0\0" for n in range(1001)),
        b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\x10\x00\x10\x00\0\0\0\0",
        nested(5),
        nested(3000),
        b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000,
        bytes(2 << 20),
    ],
)
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(InvalidQueryError):
        RawDataSet.parse(junk, ExplicitVRLittleEndian)


def refusal_of(encoded: bytes, syntax: str) -> str:
    """Return what an identifier is refused with; empty when it is not."""
    try:
        RawDataSet.parse(encoded, syntax)
    except InvalidQueryError as refusal:
        return str(refusal)
    return ""


@given(junk=st.binary(max_size=200), syntax=st.sampled_from(SYNTAXES))
def test_whatever_comes_is_parsed_or_refused(junk: bytes, syntax: str) -> None:
    assert refusal_of(junk, syntax).isascii()


@given(cut=st.integers(0, 80), at=st.integers(0, 79), byte=st.integers(0, 255), syntax=st.sampled_from(SYNTAXES))
def test_a_damaged_identifier_is_parsed_or_refused(cut: int, at: int, byte: int, syntax: str) -> None:
    damaged = bytearray(encoded(identifier(), syntax))
    damaged[at % len(damaged)] = byte

    assert "Nguyen" not in refusal_of(bytes(damaged[:cut]), syntax)
