"""Which images a presentation state is about, and which of its items are for which image (PS3.3 C.11.11, 10.2)."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements

MAX_ITEMS = 4096
"""Most items of one sequence that are looked at."""


@dataclass(frozen=True, slots=True)
class Target:
    """One frame of an image."""

    sop_uid: str
    index: int
    """Number of the frame (0-based)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image that a presentation state names."""

    series_uid: str
    sop_uid: str
    frames: tuple[int, ...]
    """Numbers (from 1) of the frames that are meant; empty for all."""


def references(state: Dataset) -> tuple[Reference, ...]:
    """Return the images that a presentation state is about, in its order.

    Raises
    ------
    InvalidInstanceError
        A reference is malformed, or there are too many.
    """
    return tuple(
        Reference(elements.text(series, "SeriesInstanceUID"), elements.text(image, _SOP_UID), _frame_numbers(image))
        for series in bounded(state, "ReferencedSeriesSequence")
        for image in bounded(series, "ReferencedImageSequence")
    )


def bounded(header: Dataset, keyword: elements.Key) -> tuple[Dataset, ...]:
    """Return the items of a sequence.

    Raises
    ------
    InvalidInstanceError
        There are more than `MAX_ITEMS`, or they cannot be read.
    """
    found = elements.items(header, keyword)
    if len(found) > MAX_ITEMS:
        raise InvalidInstanceError(f"a sequence of a presentation state has more than {MAX_ITEMS} items")
    return found


def meant(state: Dataset, keyword: str, target: Target) -> tuple[Dataset, ...]:
    """Return the items of a sequence that are for one frame of one image: those that name it, and those for all."""
    return tuple(item for item in bounded(state, keyword) if _is_meant(item, target))


_SOP_UID = "ReferencedSOPInstanceUID"


def _is_meant(item: Dataset, target: Target) -> bool:
    named = bounded(item, "ReferencedImageSequence")
    return not named or any(
        elements.text(image, _SOP_UID) == target.sop_uid
        and (not (numbers := _frame_numbers(image)) or target.index + 1 in numbers)
        for image in named
    )


def _frame_numbers(image: Dataset) -> tuple[int, ...]:
    return tuple(int(number) for number in elements.numbers(image, "ReferencedFrameNumber"))
