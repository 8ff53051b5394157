"""Values of a header read straight from its bytes, so that a malformed one is refused and nothing is changed.

``dcmread`` leaves elements raw until they are asked for. Asking through pydicom converts them in place, warns with
the value in the text and may raise nearly anything. Here only the few VRs that describe pixels are read, the header
stays as it came in (``transcode`` copies its bytes), and every failure is an `InvalidInstanceError`.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, MutableSequence
from contextlib import contextmanager
from types import MappingProxyType

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from pacs_gateway.domain.character_set import CharacterSet, character_set
from pacs_gateway.domain.values import clean
from pacs_gateway.errors import InvalidInstanceError

Scalar = str | int | float
"""One value of an element; text keeps no padding."""
Key = str | int
"""Keyword of an element, or its tag where it is one of a repeating group (60xx)."""

_BINARY: Mapping[str, str] = MappingProxyType({"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"})
_TEXT = frozenset({"IS", "DS", "CS", "UI"})
READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom's readers and converters were seen to raise on hostile bytes; they document none of it.

OSError is no file's here: it is how they say that a sequence ends early.
"""


@contextmanager
def malformed(keyword: Key) -> Iterator[None]:
    """Turn whatever reading the element `keyword` raises into an `InvalidInstanceError` that names it.

    The cause is cut off: its text may repeat the value.
    """
    try:
        yield
    except InvalidInstanceError:
        raise
    except READ_ERRORS as error:
        name = keyword if isinstance(keyword, str) else f"({keyword >> 16:04X},{keyword & 0xFFFF:04X})"
        raise InvalidInstanceError(f"{name} cannot be read ({type(error).__name__})") from None


def values(header: Dataset, keyword: Key) -> tuple[Scalar, ...]:
    """Return the values of the element `keyword`; empty when it is absent or has no value."""
    with malformed(keyword):
        element = _stored(header, keyword)
        if element is None or element.value is None:
            return ()
        if isinstance(element, RawDataElement):
            return _raw_values(element, header)
        return _plain_values(element)


def integer(header: Dataset, keyword: Key) -> int | None:
    """Return the first value of `keyword` as an integer, None when there is none."""
    with malformed(keyword):
        found = values(header, keyword)
        return int(found[0]) if found and found[0] != "" else None


def numbers(header: Dataset, keyword: Key) -> tuple[float, ...]:
    """Return the values of `keyword` as finite numbers."""
    with malformed(keyword):
        found = tuple(float(value) for value in values(header, keyword) if value != "")
    if not all(math.isfinite(value) for value in found):
        raise InvalidInstanceError(f"{keyword} is not finite")
    return found


def text(header: Dataset, keyword: Key) -> str:
    """Return the first value of `keyword` as text without padding, empty when there is none."""
    found = values(header, keyword)
    return str(found[0]).strip() if found else ""


def free_text(header: Dataset, keyword: Key, charset: CharacterSet) -> str:
    """Return what people wrote into the element `keyword`, each of its lines cleaned."""
    with malformed(keyword):
        element = _stored(header, keyword)
        if element is None or element.value is None:
            return ""
        value = element.value
        written = charset.read(value) if isinstance(value, bytes) else str(value)
        return "\n".join(clean(line) for line in written.splitlines())


def declared_charset(header: Dataset) -> CharacterSet:
    """Return the character set of a header's free text."""
    return character_set("\\".join(str(term) for term in values(header, "SpecificCharacterSet")), "")


def items(header: Dataset, keyword: Key) -> tuple[Dataset, ...]:
    """Return the items of the sequence `keyword`; empty when it is absent."""
    tag = _tag(keyword)
    if tag not in header:
        return ()
    with malformed(keyword):
        return tuple(item for item in header[tag].value or () if isinstance(item, Dataset))


def words(header: Dataset, keyword: Key) -> bytes:
    """Return the 16-bit words of a look-up table as little-endian bytes, whichever VR it came in."""
    with malformed(keyword):
        element = _stored(header, keyword)
        if element is None or element.value is None:
            return b""
        if isinstance(element, RawDataElement):
            swapped = not element.is_little_endian and element.VR != "OB"
            return swap(element.value, 2) if swapped else element.value
        if isinstance(element.value, bytes):
            return element.value
        found = _plain_values(element)
        return struct.pack(f"<{len(found)}H", *(int(value) & 0xFFFF for value in found))


def swap(data: bytes, size: int) -> bytes:
    """Return `data` with the bytes of every unit of `size` bytes reversed; what is left over stays."""
    whole = len(data) - len(data) % size
    return np.frombuffer(data, f"u{size}", count=whole // size).byteswap().tobytes() + data[whole:]


def _tag(keyword: Key) -> int:
    if isinstance(keyword, int):
        return keyword
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def _stored(header: Dataset, keyword: Key) -> DataElement | RawDataElement | None:
    """Return the element as it lies in the header, without converting it as indexing would."""
    tag = _tag(keyword)
    return header.get_item(tag) if tag in header else None


def _raw_values(element: RawDataElement, header: Dataset) -> tuple[Scalar, ...]:
    data = element.value
    assert data is not None
    vr = _vr(element, header)
    if vr in _TEXT:
        return tuple(part.strip(" \0") for part in data.decode("ascii").split("\\")) if data else ()
    code = _BINARY[vr]
    order = "<" if element.is_little_endian else ">"
    found: tuple[int | float, ...] = struct.unpack(f"{order}{len(data) // struct.calcsize(code)}{code}", data)
    return found


def _vr(element: RawDataElement, header: Dataset) -> str:
    """Return the VR to read `element` by: its own, else the dictionary's, "US or SS" settled by the pixels' sign."""
    if element.VR is not None and (element.VR in _BINARY or element.VR in _TEXT):
        return element.VR
    vr = dictionary_VR(element.tag)
    if vr == "US or SS":
        return "SS" if element.tag != 0x00280103 and integer(header, "PixelRepresentation") == 1 else "US"
    return vr


def _plain_values(element: DataElement) -> tuple[Scalar, ...]:
    value = element.value
    found = tuple(value) if isinstance(value, MutableSequence | list | tuple) else (value,)
    return tuple(each if isinstance(each, int | float) else str(each) for each in found)
