from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements
from tests.pacs_gateway.imaging.samples import as_received, grey_header


@settings(deadline=None)
@given(st.binary(max_size=64), st.sampled_from([1, 2, 4, 8]))
def test_swapping_twice_changes_nothing(data: bytes, size: int) -> None:
    assert elements.swap(elements.swap(data, size), size) == data


@pytest.mark.parametrize("size", [2, 4, 8])
def test_swapping_is_a_change_of_byte_order(size: int) -> None:
    values = np.arange(5, dtype=f"<u{size}") * 3 + 1
    assert elements.swap(values.tobytes(), size) == values.astype(f">u{size}").tobytes()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_values_are_the_same_raw_and_converted(syntax: str) -> None:
    header = grey_header(PixelSpacing=["0.5", "0.25"], PixelRepresentation=1, PixelPaddingValue=-5)
    for read in (header, as_received(header, syntax)):
        assert elements.numbers(read, "PixelSpacing") == (0.5, 0.25)
        assert elements.integer(read, "PixelPaddingValue") == -5
        assert elements.text(read, "PhotometricInterpretation") == "MONOCHROME2"
        assert elements.values(read, "WindowCenter") == ()


@settings(deadline=None)
@given(
    vr=st.sampled_from(["US", "SS", "DS", "IS", "CS", "SQ", "UN", "OW", "PN", "ZZ", "FD"]),
    value=st.binary(max_size=40),
    keyword=st.sampled_from(["Rows", "RescaleSlope", "NumberOfFrames", "PixelPaddingValue", "VOILUTSequence"]),
)
def test_no_bytes_raise_anything_but_our_error(vr: str, value: bytes, keyword: str) -> None:
    header = Dataset()
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    for read in (elements.integer, elements.numbers, elements.text, elements.words):
        with suppress(InvalidInstanceError):
            read(header, keyword)


@pytest.mark.parametrize(
    "value", [b"", b"\xfe\xff", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\x08\0\0\0\1"]
)
def test_a_broken_sequence_is_refused_or_empty(value: bytes) -> None:
    header = Dataset()
    tag = Tag("VOILUTSequence")
    header[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    try:
        found = elements.items(header, "VOILUTSequence")
    except InvalidInstanceError:
        return
    assert all(not len(item) for item in found)
