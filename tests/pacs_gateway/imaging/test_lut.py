import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.imaging.lut import palette_colours, read_palette, read_table
from tests.pacs_gateway.imaging.samples import BIG, LITTLE, as_received, grey_header

_COLOURS = ("Red", "Green", "Blue")


def _segmented(units: list[int], n_entries: int, bits: int) -> Dataset:
    header = grey_header(PhotometricInterpretation="PALETTE COLOR")
    data = np.array(units, "<u2" if bits == 16 else "u1").tobytes()
    for colour in _COLOURS:
        setattr(header, f"{colour}PaletteColorLookupTableDescriptor", [n_entries % 65536, 0, bits])
        setattr(header, f"Segmented{colour}PaletteColorLookupTableData", data + bytes(len(data) % 2))
    return header


# Discrete 3 entries, linear 5 to 1000, discrete 1; then the first two segments again (offset 0, 2 segments)
_SEGMENTS_16 = [0, 3, 10, 20, 30, 1, 5, 1000, 0, 1, 65535, 2, 2, 0, 0]
_SEGMENTS_8 = [0, 3, 10, 20, 30, 1, 5, 200, 0, 1, 255, 2, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(("units", "bits"), [(_SEGMENTS_16, 16), (_SEGMENTS_8, 8)])
def test_segments_expand_as_pydicom_expands_them(units: list[int], bits: int) -> None:
    header = _segmented(units, 17, bits)
    header.set_original_encoding(False, True)
    frame = np.arange(20, dtype=np.uint8).reshape(4, 5)
    expected = apply_color_lut(frame, header) >> (bits - 8)
    np.testing.assert_array_equal(palette_colours(frame, as_received(header), is_signed=False), expected)


@pytest.mark.parametrize(
    "units",
    [
        [],
        [0],
        [0, 2],
        [0, 1, 5],
        [1, 5, 100],
        [3, 1, 1],
        [2, 1, 0, 0],
        [0, 1, 5, 2, 60000, 0, 0],
        [0, 1, 5, 2, 1, 9999, 9999],
        [0, 1, 5, 1, 60000],
        [0, 1, 5, 1, 0, 100],
        [0, 0, 2, 65535, 0, 0],
    ],
)
def test_segments_that_do_not_fill_the_table_are_refused(units: list[int]) -> None:
    with pytest.raises(InvalidInstanceError):
        read_palette(as_received(_segmented(units, 17, 16)), is_signed=False)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3) | st.integers(0, 65535), max_size=40), st.integers(1, 65536))
def test_no_segments_crash_or_swell(units: list[int], n_entries: int) -> None:
    try:
        tables = read_palette(_segmented(units, n_entries, 16), is_signed=False)
    except GatewayError:
        return
    assert all(len(table.entries) == n_entries for table in tables)


def _table(descriptor: list[int], entries: bytes) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [value % 65536 for value in descriptor])
    item.add_new("LUTData", "OW", entries)
    return item


@pytest.mark.parametrize("syntax", [LITTLE, BIG, "1.2.840.10008.1.2"])
def test_entries_are_the_same_in_every_encoding(syntax: str) -> None:
    entries = np.array([1, 500, 40000], "<u2")
    item = _table([3, -2, 16], entries.astype(">u2" if syntax == BIG else "<u2").tobytes())
    table = read_table(as_received(item, syntax), "LUTDescriptor", "LUTData", is_signed=True)
    assert table.first == -2
    assert table.apply(np.array([-5, -2, -1.0, 0, 7])).tolist() == [1, 1, 500, 40000, 40000]


def test_no_entries_stand_for_65536() -> None:
    table = read_table(_table([0, 0, 16], bytes(131072)), "LUTDescriptor", "LUTData", is_signed=False)
    assert len(table.entries) == 65536


@pytest.mark.parametrize(
    ("descriptor", "entries"),
    [([3, 0, 16], b"12345"), ([3, 0, 0], bytes(6)), ([3, 0, 17], bytes(6)), ([3, 0], bytes(6))],
)
def test_a_table_that_contradicts_its_descriptor_is_refused(descriptor: list[int], entries: bytes) -> None:
    with pytest.raises(InvalidInstanceError):
        read_table(_table(descriptor, entries), "LUTDescriptor", "LUTData", is_signed=False)
