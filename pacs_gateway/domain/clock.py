"""Time as the index keeps it: UTC microseconds since 1970, from a clock that tests can move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Return the moment, with its zone."""
    return datetime.now(UTC)


def to_microseconds(moment: datetime) -> int:
    """Return `moment` as UTC microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Return the moment that `to_microseconds` made `value` from."""
    return _EPOCH + timedelta(microseconds=value)
