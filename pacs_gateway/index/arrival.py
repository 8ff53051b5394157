"""What comes to the index: a described instance, and its attributes as column values."""

from dataclasses import dataclass
from functools import lru_cache

from pacs_gateway.domain.attributes import Attribute, of_level
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.domain.levels import Level

_NUMERIC_VRS = frozenset({"IS", "US"})
LARGEST_NUMBER = 2**31 - 1
"""Number columns hold no more, in both databases."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A described instance and where its bytes wait."""

    record: InstanceRecord
    entry: str
    """Spool entry (``process/name``)."""
    received_at: int
    """UTC microseconds."""
    node: str
    """Node in whose spool the entry is."""
    archived_at: int | None = None
    """Since when the object store has the bytes (UTC microseconds), if it has them already."""


def columns_of(level: Level) -> tuple[Attribute, ...]:
    """Return the attributes of a level that have a column of their own."""
    return tuple(a for a in of_level(level) if a.column is not None)


def column_value(attribute: Attribute, record: InstanceRecord) -> str | int | None:
    """Return what the index keeps of an attribute: text, or a number (None where there is none) for number columns."""
    value = record.attributes.get(attribute.keyword, "")
    return _number(value) if attribute.vr in _NUMERIC_VRS else value


@lru_cache(maxsize=4096)
def _number(value: str) -> int | None:
    try:
        number = int(value.split("\\", 1)[0])
    except ValueError:
        return None
    return number if abs(number) <= LARGEST_NUMBER else None
