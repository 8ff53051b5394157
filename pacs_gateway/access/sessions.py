"""Browser sessions: a random cookie value, of which the database keeps only the SHA-256."""

import contextlib
import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import Connection, delete, select, update

from pacs_gateway.access.accounts import Account, to_account
from pacs_gateway.access.audit import Audit, Event, Outcome
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import account, session
from pacs_gateway.domain.clock import Clock, from_microseconds, to_microseconds
from pacs_gateway.errors import CapacityError, UnavailableError
from pacs_gateway.index.upsert import insert_ignoring

_N_BYTES = 32
_LENGTH = 43  # of 32 bytes in base64url without padding
_TOUCH_AFTER = timedelta(minutes=1)


class Sessions:
    """Opens, resolves and ends sessions; each ends by itself after `lifetime`, or `idle` without a request.

    Notes
    -----
    Thread-safe.
    """

    def __init__(self, database: Database, audit: Audit, *, clock: Clock, lifetime: timedelta, idle: timedelta) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._lifetime = lifetime
        self._idle = idle

    def create(self, owner: Account) -> str:
        """Open a session for an account that has just proven itself; return the cookie's value."""
        value = secrets.token_urlsafe(_N_BYTES)
        now = self._clock()
        row = {
            "token_hash": digest(value),
            "account_key": owner.key,
            "created_at": to_microseconds(now),
            "used_at": to_microseconds(now),
            "expires_at": to_microseconds(now + self._lifetime),
        }

        def open_session(connection: Connection) -> None:
            connection.execute(delete(session).where(session.c.expires_at <= to_microseconds(now)))
            connection.execute(insert_ignoring(connection, session), row)

        self._database.transact(open_session)
        return value

    def resolve(self, value: str) -> Account | None:
        """Return the account of a session that lives, and note that it is in use; None for anything else."""
        if len(value) != _LENGTH:
            return None
        token_hash, now = digest(value), self._clock()
        with self._database.read() as connection:
            row = connection.execute(
                select(account, session.c.used_at, session.c.expires_at)
                .join(session, session.c.account_key == account.c.id)
                .where(session.c.token_hash == token_hash)
            ).one_or_none()
        if row is None or now >= from_microseconds(row.expires_at):
            return None
        unused = now - from_microseconds(row.used_at)
        if unused >= self._idle:
            return None
        if unused >= _TOUCH_AFTER:
            # A full disk must not keep anybody from reading: then the session merely ends early.
            touched = update(session).where(session.c.token_hash == token_hash).values(used_at=to_microseconds(now))
            with contextlib.suppress(UnavailableError, CapacityError):
                self._database.transact(lambda connection: connection.execute(touched))
        return to_account(row)

    def revoke(self, value: str, *, address: str) -> None:
        """End a session, as logging out does; a value that is none changes nothing."""

        def end(connection: Connection) -> None:
            name = connection.scalar(
                select(account.c.name)
                .join(session, session.c.account_key == account.c.id)
                .where(session.c.token_hash == digest(value))
            )
            if name is None:
                return
            connection.execute(delete(session).where(session.c.token_hash == digest(value)))
            self._audit.record(
                connection,
                actor=name,
                address=address,
                action=Event.LOGOUT,
                subject=name,
                outcome=Outcome.SUCCESS,
            )

        self._database.transact(end)


def digest(secret: str) -> str:
    """Return what is kept of a random secret; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
