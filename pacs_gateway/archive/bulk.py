"""Bulk data: values of elements that metadata refer to, as ranges of the stored object (PS3.18 10.4.1.1.4).

Nothing of a header is decoded for it, and a value of any length passes in little memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.archive.describe import GE_PRIVATE_IMPLICIT
from pacs_gateway.archive.locate import Step, locate
from pacs_gateway.archive.metadata import DEFER_BYTES
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.scan import UNDEFINED, Element
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.character_set import character_set
from pacs_gateway.errors import InvalidInstanceError, NotFoundError
from pacs_gateway.imaging.elements import swap
from pacs_gateway.storage.store import ObjectReader

_CHARACTER_SET = 0x00080005
_CHUNK_BYTES = 1 << 20
# Text that long in another character set than that of the metadata has not been seen, and is decoded whole.
_MAX_TEXT_BYTES = 64 << 20
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_TEXT_VRS = frozenset({"LT", "ST", "UC", "UT"})
# PS3.5 7.3: the units whose bytes are in another order in big endian
_UNITS: Mapping[str, int] = MappingProxyType({"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "FD": 8, "FL": 4, "UL": 4})
_WIDEST = 8


@dataclass(frozen=True, slots=True)
class BulkValue:
    """A value, found but not read."""

    instance: StoredInstance
    """Whose file it is in."""
    offset: int
    length: int
    swapped: int = 1
    """How many bytes belong together and are in the other order."""
    text: bytes | None = None
    """The value itself where it had to be encoded anew."""


def find(retrieve: Retrieve, stored: StoredInstance, path: str) -> BulkValue:
    """Return the bulk data at `path` (``TAG``, or ``TAG/item/TAG`` inside sequences).

    Raises
    ------
    NotFoundError
        There is no such element, or metadata tell its value itself.
    """
    *outer, last = path.split("/")
    steps = [Step(int(tag, 16), int(item)) for tag, item in zip(outer[::2], outer[1::2], strict=True)]
    instance = retrieve.plain(stored)
    with retrieve.opened(instance) as reader:
        source = _ReaderSource(reader)
        element = _located(source, instance, steps, int(last, 16))
        vr = element.vr.decode("ascii", "replace") or _implied(int(last, 16))
        is_referred_to = vr in _BINARY_VRS or (not steps and element.length > DEFER_BYTES)
        if vr == "SQ" or element.length == UNDEFINED or not is_referred_to:
            raise NotFoundError("no such bulk data")
        if element.value + element.length > instance.size_bytes:
            raise InvalidInstanceError("a value is longer than the object")
        text = _utf8(source, instance, element) if vr in _TEXT_VRS else None
    is_big = instance.transfer_syntax_uid == ExplicitVRBigEndian
    length = element.length if text is None else len(text)
    return BulkValue(instance, element.value, length, _UNITS.get(vr, 1) if is_big else 1, text)


def read(retrieve: Retrieve, value: BulkValue, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a value from `start` to before `end` in little endian, in pieces of 1 MiB."""
    stop = value.length if end is None else end
    if value.text is not None:
        yield value.text[start:stop]
        return
    # Whole units: those at both ends are cut when they are in order.
    first, last = start - start % _WIDEST, min(stop + -stop % _WIDEST, value.length)
    with retrieve.opened(value.instance) as reader:
        for at in range(first, last, _CHUNK_BYTES):
            piece = reader.read(value.offset + at, min(_CHUNK_BYTES, last - at))
            if value.swapped > 1:
                piece = swap(piece, value.swapped)
            yield piece[max(start - at, 0) : stop - at]


class _ReaderSource:
    """An open object as the source of a walk."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return self._reader.size_bytes

    def __getitem__(self, place: slice, /) -> bytes:
        start, stop, _ = place.indices(self._reader.size_bytes)
        return self._reader.read(start, max(0, stop - start))


def _located(source: _ReaderSource, instance: StoredInstance, steps: list[Step], tag: int) -> Element:
    syntax = instance.transfer_syntax_uid
    return locate(
        source,
        instance.dataset_offset,
        steps,
        tag,
        implicit=syntax in (ImplicitVRLittleEndian, GE_PRIVATE_IMPLICIT),
        big_endian=syntax == ExplicitVRBigEndian,
    )


def _implied(tag: int) -> str:
    """Return the VR of an element that does not tell it; of several the binary one, which alone is long."""
    return dictionary_VR(tag)[-2:] if dictionary_has_tag(tag) else "UN"


def _utf8(source: _ReaderSource, instance: StoredInstance, element: Element) -> bytes:
    """Return a text as UTF-8, which is what metadata call it (PS3.18 F.2)."""
    if element.length > _MAX_TEXT_BYTES:
        raise InvalidInstanceError("a text is too long to be read")
    terms = ""
    try:
        charset = _located(source, instance, [], _CHARACTER_SET)
        terms = source[charset.value : charset.value + min(charset.length, _WIDEST * 16)].decode("latin-1")
    except NotFoundError:
        pass
    text = source[element.value : element.value + element.length]
    return character_set(terms.strip("\0 "), "").read(text).rstrip("\0 ").encode()
