"""Small data sets out of bytes that anybody may have made up: identifiers of queries, items of sequences.

They are walked here and not by pydicom: their nesting and number of elements are bounded before anything is made of
them, and what is wrong has a place that an answer can name.

References
----------
PS3.5 7.1 (data elements), 7.5 (sequences)
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from pydicom.datadict import dictionary_VR
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.errors import InvalidQueryError

# A list of the UIDs of 10,000 instances is 650 kB.
_MAX_BYTES = 1 << 20
_MAX_ELEMENTS = 1000
_MAX_DEPTH = 4
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# VRs with two reserved bytes and a 32-bit length in explicit VR (PS3.5 7.1.2)
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})


@dataclass(frozen=True, slots=True)
class RawElement:
    """One element as it came."""

    vr: str
    value: bytes = b""
    items: tuple["RawDataSet", ...] = ()
    """Of a sequence."""


@dataclass(frozen=True, slots=True)
class RawDataSet:
    """A data set, or an item of a sequence in one."""

    elements: Mapping[int, RawElement] = field(default_factory=lambda: MappingProxyType({}))
    """By tag, in the order of the tags."""

    @classmethod
    def parse(cls, encoded: bytes, transfer_syntax: str) -> "RawDataSet":
        """Return the data set that is `encoded`.

        Raises
        ------
        InvalidQueryError
            It is no data set in this transfer syntax, or larger or nested deeper than a small one ever is.
        """
        if len(encoded) > _MAX_BYTES:
            raise InvalidQueryError("the data set is too long")
        return _Parser(encoded, transfer_syntax).parse()

    def code(self, tag: int) -> str:
        """Return the value of an element of the default repertoire (CS, UI), empty where there is none."""
        element = self.elements.get(tag)
        return element.value.decode("ascii", "replace").strip("\0 ") if element else ""


@lru_cache(maxsize=1024)
def vr_of(tag: int) -> str:
    """Return the value representation the dictionary gives `tag`; UN where it knows none."""
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        # Where the dictionary leaves a choice, the first serves: such elements are no keys.
        return dictionary_VR(tag).split(" ")[0]
    except KeyError:
        return "UN"


class _Parser:
    """One pass over one data set."""

    def __init__(self, encoded: bytes, transfer_syntax: str) -> None:
        self._encoded = encoded
        self._is_implicit = transfer_syntax == ImplicitVRLittleEndian
        order = ">" if transfer_syntax == ExplicitVRBigEndian else "<"
        self._tag, self._short, self._long = (struct.Struct(order + layout) for layout in ("HH", "H", "L"))
        self._n_elements = 0

    def parse(self) -> RawDataSet:
        identifier, _ = self._data_set(0, len(self._encoded), 0)
        return identifier

    def _data_set(self, position: int, end: int, depth: int) -> tuple[RawDataSet, int]:
        """Return the elements from `position` to `end` or to the item's delimiter, and the offset behind them."""
        elements: dict[int, RawElement] = {}
        while position < end:
            tag, vr, length, position = self._header(position, end)
            if tag == _ITEM_END:
                break
            self._n_elements += 1
            if self._n_elements > _MAX_ELEMENTS or tag in elements:
                raise InvalidQueryError("the data set has too many elements", tag=tag)
            if vr == "SQ" or length == _UNDEFINED:
                elements[tag], position = self._sequence(tag, position, length, depth)
                continue
            if length > end - position:
                raise InvalidQueryError("the data set is truncated", tag=tag)
            elements[tag] = RawElement(vr, self._encoded[position : position + length])
            position += length
        return RawDataSet(MappingProxyType(dict(sorted(elements.items())))), position

    def _sequence(self, tag: int, position: int, length: int, depth: int) -> tuple[RawElement, int]:
        end = len(self._encoded) if length == _UNDEFINED else position + length
        if depth >= _MAX_DEPTH or end > len(self._encoded):
            raise InvalidQueryError("a sequence is truncated or nested too deeply", tag=tag)
        items: list[RawDataSet] = []
        while position < end:
            item_tag, _, item_length, position = self._header(position, end)
            if item_tag == _SEQUENCE_END:
                break
            item_end = end if item_length == _UNDEFINED else position + item_length
            if item_tag != _ITEM or item_end > end:
                raise InvalidQueryError("a sequence holds something that is not an item", tag=tag)
            item, position = self._data_set(position, item_end, depth + 1)
            items.append(item)
        return RawElement("SQ", items=tuple(items)), position

    def _header(self, position: int, end: int) -> tuple[int, str, int, int]:
        """Return (tag, VR, length, offset of the value)."""
        group, number = self._unpack(self._tag, position, end)
        tag = group << 16 | number
        if self._is_implicit or group == 0xFFFE:
            (length,) = self._unpack(self._long, position + 4, end)
            return tag, vr_of(tag), length, position + 8
        vr = self._encoded[position + 4 : position + 6].decode("latin-1")
        if not (vr.isascii() and vr.isalpha() and vr.isupper()):
            raise InvalidQueryError("the data set is not in its transfer syntax", tag=tag)
        if vr in LONG_VRS:
            (length,) = self._unpack(self._long, position + 8, end)
            return tag, vr, length, position + 12
        (length,) = self._unpack(self._short, position + 6, end)
        return tag, vr, length, position + 8

    def _unpack(self, layout: struct.Struct, position: int, end: int) -> tuple[int, ...]:
        if position + layout.size > end:
            raise InvalidQueryError("the data set is truncated")
        return layout.unpack_from(self._encoded, position)
