"""Doubles of the outside: a clock, a name service and a database that can be away; and readers of the trail."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from sqlalchemy import Connection, select

from pacs_gateway.access import Actor
from pacs_gateway.access.networks import Address
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import audit
from pacs_gateway.errors import UnavailableError

OPERATOR = Actor("os:tester")


class MovedClock:
    """A wall clock and a monotonic one that move only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
        self.seconds = 1000.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def move(self, by: timedelta) -> None:
        self.now += by
        self.seconds += by.total_seconds()


class NameService:
    """Resolves the names it was given; away when told so."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses
        self.n_asked = 0
        self.is_away = False

    def __call__(self, host: str) -> frozenset[Address]:
        self.n_asked += 1
        if self.is_away or host not in self.addresses:
            raise UnavailableError(f"the host name {host!r} has no address")
        return frozenset({ip_address(self.addresses[host])})


class LeavingDatabase(Database):
    """A real database whose reads can be made to fail."""

    is_away = False

    @contextmanager
    def read(self, *, limit_s: float | None = None) -> Iterator[Connection]:
        if self.is_away:
            raise UnavailableError("the index cannot be reached")
        with super().read(limit_s=limit_s) as connection:
            yield connection


def trail(database: Database) -> list[tuple[str, str, str, str, str]]:
    """Return the audit trail as (actor, address, action, subject, outcome), in order."""
    with database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id)).all()
    return [(row.actor, row.address, row.action, row.subject, row.outcome) for row in rows]
