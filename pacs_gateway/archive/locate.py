"""Finding one element of an encoded data set, in sequences too, by walking over the heads of the others.

References
----------
PS3.5 7.1 (data elements), 7.5 (sequences)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pacs_gateway.archive.scan import ITEM, ITEM_END, PIXEL_ELEMENTS, UNDEFINED, Element, Source, Walker
from pacs_gateway.errors import InvalidInstanceError, NotFoundError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: into an item of the sequence `tag`."""

    tag: int
    item: int
    """Number of the item, from 0."""


def locate(source: Source, start: int, path: Sequence[Step], tag: int, *, implicit: bool, big_endian: bool) -> Element:
    """Return where the element `tag` lies that `path` leads to, in the data set that begins at `start`.

    Raises
    ------
    NotFoundError
        There is no such element.
    """
    finder = _Finder(source, implicit=implicit, big_endian=big_endian)
    begin, end = start, len(source)
    try:
        for step in path:
            sequence, implicit = finder.element(begin, end, step.tag, implicit=implicit)
            begin, end = finder.item(sequence, step.item, implicit=implicit)
        found, _ = finder.element(begin, end, tag, implicit=implicit)
    except InvalidInstanceError as error:  # the padding behind the last element
        raise NotFoundError("no such bulk data") from error
    return found


class _Finder(Walker):
    """Walks to one element; the window only goes forwards, as every step leads deeper."""

    def element(self, position: int, end: int, wanted: int, *, implicit: bool) -> tuple[Element, bool]:
        """Return an element of a data set, and whether what it holds has implicit VRs."""
        while position < end:
            tag, vr, value, length = self.header(position, implicit=implicit)
            if tag == ITEM_END:
                break
            # An UN element of undefined length holds a sequence in implicit VR (PS3.5 6.2.2 note 2).
            inner = implicit or (vr == b"UN" and length == UNDEFINED)
            if tag == wanted:
                return Element(vr, position, value, length), inner
            if length != UNDEFINED:
                position = value + length
            elif tag in PIXEL_ELEMENTS:
                break
            else:
                position = self.skip_items(value, implicit=inner, depth=0)
        raise NotFoundError("no such bulk data")

    def item(self, sequence: Element, wanted: int, *, implicit: bool) -> tuple[int, int]:
        """Return where an item of a sequence begins and, where it says so, ends."""
        end = self._end if sequence.length == UNDEFINED else sequence.value + sequence.length
        position, number = sequence.value, 0
        while position < end:
            tag, _, value, length = self.header(position, implicit=implicit)
            if tag != ITEM:
                break
            if number == wanted:
                return value, end if length == UNDEFINED else min(value + length, end)
            position = self.skip_item(value, implicit, 0) if length == UNDEFINED else value + length
            number += 1
        raise NotFoundError("no such bulk data")
