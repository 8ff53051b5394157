"""Look-up tables of a header: modality, VOI, palettes plain and segmented (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements

Entries = NDArray[np.uint16]
_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table and where its first entry maps from."""

    first: int
    entries: Entries
    bits: int

    @property
    def top(self) -> int:
        """Largest output the descriptor allows."""
        return (1 << self.bits) - 1

    def apply(self, values: NDArray[np.number]) -> Entries:
        """Return the entries for `values`; what lies outside gets the first or last entry (PS3.3 C.11.1.1.1)."""
        positions = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        mapped: Entries = self.entries[positions.astype(np.int64)]
        return mapped


def read_table(header: Dataset, descriptor: str, data: str, *, is_signed: bool) -> LookupTable:
    """Read the table described by the element `descriptor`; `is_signed` tells whether it maps from signed values.

    Raises
    ------
    InvalidInstanceError
        The descriptor or the data is malformed, or they do not fit each other.
    """
    n_entries, first, bits = _descriptor(header, descriptor, is_signed=is_signed)
    return LookupTable(first, _entries(elements.words(header, data), n_entries, bits), bits)


def read_palette(header: Dataset, *, is_signed: bool) -> tuple[LookupTable, LookupTable, LookupTable]:
    """Read the red, green and blue palettes, segmented ones expanded.

    Raises
    ------
    InvalidInstanceError
        One is missing or malformed.
    """
    red, green, blue = (_palette(header, colour, is_signed=is_signed) for colour in _COLOURS)
    return red, green, blue


def palette_colours(frame: NDArray[np.number], header: Dataset, *, is_signed: bool) -> NDArray[np.uint8]:
    """Return a frame of palette indices as 8-bit RGB (rows, columns, 3)."""
    return _coloured(frame, read_palette(header, is_signed=is_signed))


def supplemented(shown: NDArray[np.uint8], frame: NDArray[np.number], header: Dataset) -> NDArray[np.uint8]:
    """Return the grey image `shown` with the colours of the supplemental palette (PS3.3 C.7.6.19).

    Stored values from the first one that the palette maps are coloured, those below it stay grey.
    """
    tables = read_palette(header, is_signed=frame.dtype.kind == "i")
    is_coloured = frame >= min(table.first for table in tables)
    if not is_coloured.any():
        return shown
    image = np.repeat(shown[..., np.newaxis], 3, axis=2)
    image[is_coloured] = _coloured(frame[is_coloured], tables)
    return image


def _coloured(values: NDArray[np.number], tables: tuple[LookupTable, LookupTable, LookupTable]) -> NDArray[np.uint8]:
    """Return `values` as 8-bit RGB, in one more dimension."""
    # Palettes said to have 16 bits whose entries all fit into 8 come from real devices and would be black.
    spare = 8 if any(table.entries.max() > 0xFF for table in tables) else 0
    return np.stack([(table.apply(values) >> spare).astype(np.uint8) for table in tables], axis=-1)


def _palette(header: Dataset, colour: str, *, is_signed: bool) -> LookupTable:
    descriptor = f"{colour}PaletteColorLookupTableDescriptor"
    plain, segmented = f"{colour}PaletteColorLookupTableData", f"Segmented{colour}PaletteColorLookupTableData"
    if elements.words(header, plain):
        table = read_table(header, descriptor, plain, is_signed=is_signed)
    else:
        n_entries, first, bits = _descriptor(header, descriptor, is_signed=is_signed)
        unit = np.uint8 if bits <= 8 else np.dtype("<u2")
        data = elements.words(header, segmented)
        units = np.frombuffer(data[: len(data) - len(data) % np.dtype(unit).itemsize], unit)
        table = LookupTable(first, _expanded([int(each) for each in units], n_entries, 8 if bits <= 8 else 16), bits)
    if table.bits not in (8, 16):  # PS3.3 C.7.6.3.1.5
        raise InvalidInstanceError("a palette has entries of neither 8 nor 16 bits")
    return table


def _descriptor(header: Dataset, keyword: str, *, is_signed: bool) -> tuple[int, int, int]:
    found = elements.numbers(header, keyword)
    if len(found) != 3:
        raise InvalidInstanceError(f"{keyword} is not three numbers")
    n_entries, first, bits = (int(value) for value in found)
    if not 1 <= bits <= 16:
        raise InvalidInstanceError(f"{keyword} has {bits} bits")
    if is_signed and first > 0x7FFF:
        first -= 0x10000
    return (n_entries & 0xFFFF) or 0x10000, first, bits  # PS3.3 C.11.1.1.1: 0 stands for 65536


def _entries(data: bytes, n_entries: int, bits: int) -> Entries:
    if bits <= 8 and n_entries <= len(data) < 2 * n_entries:  # two 8-bit entries share a word
        return np.frombuffer(data, np.uint8, count=n_entries).astype(np.uint16)
    if len(data) < 2 * n_entries:
        raise InvalidInstanceError("a look-up table is shorter than its descriptor says")
    return np.frombuffer(data, "<u2", count=n_entries).astype(np.uint16)


def _expanded(units: list[int], n_entries: int, bits: int) -> Entries:
    """Return the entries that the segments of a segmented palette stand for (PS3.3 C.7.9.2)."""
    entries: list[int] = []
    position = 0
    with elements.malformed("a segmented palette"):
        while position < len(units) and len(entries) < n_entries:
            if units[position] == _INDIRECT:
                # the offset of the first segment to repeat is in bytes, in 4 bytes, least significant unit first
                n_units = 32 // bits
                offset = sum(unit << (bits * k) for k, unit in enumerate(units[position + 2 : position + 2 + n_units]))
                source = offset // (bits // 8)
                for _ in range(units[position + 1]):
                    if len(entries) >= n_entries:
                        break
                    source = _segment(units, source, entries)
                position += 2 + n_units
            else:
                position = _segment(units, position, entries)
    if len(entries) < n_entries:
        raise InvalidInstanceError("a segmented palette is shorter than its descriptor says")
    return np.array(entries[:n_entries], np.uint16)


def _segment(units: list[int], position: int, entries: list[int]) -> int:
    """Append what the discrete or linear segment at `position` stands for; return where the next one begins."""
    kind, length = units[position], units[position + 1]
    if not length:  # every segment adds an entry, so n_entries bounds the work
        raise InvalidInstanceError("a segmented palette has an empty segment")
    if kind == _DISCRETE:
        entries.extend(units[position + 2 : position + 2 + length])
        return position + 2 + length
    if kind != _LINEAR or not entries:
        raise InvalidInstanceError("a segmented palette has a segment out of place")
    start, end = entries[-1], units[position + 2]
    entries.extend(round(start + (end - start) * step / length) for step in range(1, length + 1))
    return position + 3
