"""Dates and times as one: a span between two moments, in the local time of whoever asks.

References
----------
PS3.4 C.2.2.2.5 (range matching), C.5.1.1 (combined date-time matching, timezone query adjustment),
PS3.3 C.12.1.1.8 (Timezone Offset From UTC)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

TIME_OF: Mapping[str, str] = MappingProxyType(
    {
        "StudyDate": "StudyTime",
        "SeriesDate": "SeriesTime",
        "PerformedProcedureStepStartDate": "PerformedProcedureStepStartTime",
        "ContentDate": "ContentTime",
    }
)
"""Keywords of dates with those of the times that go with them."""

_QUARTER, _WEST, _EAST = 15, -12 * 60, 14 * 60


def _offset_text(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}{rest:02}"


OFFSETS: Mapping[str, int] = MappingProxyType(
    {_offset_text(minutes): minutes for minutes in range(_WEST, _EAST + 1, _QUARTER)}
)
"""Every Timezone Offset From UTC there is, with its minutes east: quarters of hours between the ends of the world."""

_N_DATE = len("YYYYMMDD")


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A date and its time, together, lie between these moments, both included; a date without time is its midnight.

    The moments are written as DICOM writes date and time behind each other, the last one standing for all it leaves
    out; an empty text is an open end.
    """

    first: str
    last: str
    offset: int | None = None
    """Minutes east of UTC in which the moments are meant; None: in the local time of each entity."""

    def at(self, offset: int | None) -> tuple[str, str]:
        """Return the moments in the local time of an entity `offset` minutes east of UTC.

        Where one of the two offsets is not known, there is nothing to convert by.
        """
        if self.offset is None or offset is None or offset == self.offset:
            return self.first, self.last
        by = timedelta(minutes=offset - self.offset)
        return _moved(self.first, by, _BEGINNING), _moved(self.last, by, _END)

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day that what lies between may have anywhere; empty for open ends."""
        offsets = (None,) if self.offset is None else (_WEST, _EAST)
        spans = [self.at(offset) for offset in offsets]
        return min(first[:_N_DATE] for first, _ in spans), max(last[:_N_DATE] for _, last in spans)


_BEGINNING, _END = ("000000", "0"), ("235959", "9")


def _moved(moment: str, by: timedelta, fill: tuple[str, str]) -> str:
    """Return `moment` later `by` a time, what it leaves out filled in."""
    if not moment:
        return ""
    seconds, _, fraction = moment.partition(".")
    whole = f"{seconds}{fill[0][len(seconds) - _N_DATE :]}{fraction:{fill[1]}<6}"
    try:
        moved = datetime.strptime(whole, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC) + by
    except (ValueError, OverflowError):
        # No moment of any calendar: it is compared as it is written.
        return moment
    return f"{moved.year:04}{moved:%m%d%H%M%S.%f}"
