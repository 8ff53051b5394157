"""The audit trail: one row per thing somebody did, written in the transaction of the thing itself.

Rows never hold patient data, passwords or what was typed into a login form: a subject is an account's name, a
device's titles or a study's UID.
"""

import os
import pwd
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from sqlalchemy import Connection, insert

from pacs_gateway.database.schema.access import audit
from pacs_gateway.domain.clock import Clock, to_microseconds, utc_now

_MAX_TEXT = 256
_WINDOW = timedelta(minutes=5)
_MAX_KEYS = 100


class Event(StrEnum):
    """What the access package itself puts on record."""

    LOGIN = "login"
    LOGOUT = "logout"
    USER_ADD = "user-add"
    USER_REMOVE = "user-remove"
    USER_PASSWORD = "user-password"  # noqa: S105 - the name of an event
    TOKEN_ADD = "token-add"  # noqa: S105 - the name of an event
    TOKEN_REMOVE = "token-remove"  # noqa: S105 - the name of an event
    DEVICE_ADD = "device-add"
    DEVICE_CHANGE = "device-change"
    DEVICE_ALLOW = "device-allow"
    DEVICE_REMOVE = "device-remove"
    DEVICE_REJECTED = "device-rejected"


class Outcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, and from where."""

    name: str
    address: str = ""

    @classmethod
    def from_operating_system(cls) -> Self:
        """Return whoever runs this process: the actor of a command line."""
        user_id = os.getuid()
        try:
            name = pwd.getpwuid(user_id).pw_name
        except KeyError:  # a container's user without a line in /etc/passwd
            name = str(user_id)
        return cls(f"os:{name}")


class Audit:
    """Writes audit rows."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock

    def record(
        self, connection: Connection, *, actor: str, address: str, action: str, subject: str, outcome: str
    ) -> None:
        """Add one row in the caller's transaction: it is kept exactly when the thing it tells of is kept."""
        connection.execute(
            insert(audit).values(
                at=to_microseconds(self._clock()),
                actor=printable(actor),
                address=printable(address),
                action=action,
                subject=printable(subject),
                outcome=outcome,
            )
        )


class Seldom:
    """Keeps strangers from filling the trail: says yes once per key and five minutes, to 100 keys at most.

    Notes
    -----
    Thread-safe.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._seen: set[Hashable] = set()

    def is_due(self, key: Hashable) -> bool:
        """Return whether `key` has not been seen in this window, and note it."""
        now = self._clock()
        with self._lock:
            if self._since is None or not timedelta(0) <= now - self._since < _WINDOW:
                self._since = now
                self._seen.clear()
            if key in self._seen or len(self._seen) >= _MAX_KEYS:
                return False
            self._seen.add(key)
            return True


def printable(text: str) -> str:
    """Return `text` safe to show and to log: no control characters or line breaks, at most 256 characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_TEXT])
