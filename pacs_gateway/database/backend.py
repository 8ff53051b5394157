"""What one database system brings: its connections, and what its errors mean for the caller."""

from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError


class Fault(Enum):
    """What an error of the driver means."""

    COLLISION = auto()
    """Another transaction came between; the same work, done again, succeeds."""
    RACE = auto()
    """A row that was not there when the work looked is there now: done again, the work sees it and says so."""
    LOST = auto()
    """The connection is gone, or the server does not take one now."""
    BUSY = auto()
    """The database is there but did not do it in time, or cannot do it now."""
    LATE = auto()
    """It was not done in the time it had."""
    FULL = auto()
    """Its disk is full."""
    REFUSED = auto()
    """The statement is wrong or breaks a rule of the schema: a fault of this program."""


class Backend(Protocol):
    """The connections of one process to one database."""

    @property
    def readers(self) -> Engine:
        """Connections that cannot write; a transaction on one sees one moment."""

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that commits, durably, at the end of the block and rolls back on any exception."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """Open a transaction without time limits that no other migration of this database overlaps."""

    def hurried(self, connection: Connection, limit_s: float) -> AbstractContextManager[None]:
        """End statements of the block that take longer: each one's time, or that of all, as the system can do it."""

    def fault(self, error: DBAPIError) -> Fault:
        """Return what an error means."""

    def describe(self, error: DBAPIError) -> str:
        """Return what can be said of an error without the values of a statement."""

    def is_intact(self, connection: Connection) -> bool:
        """Return whether the database finds itself undamaged."""

    def close(self) -> None:
        """Close every connection."""
