"""Bearer tokens: how programs say who they are. Shown once, kept as SHA-256."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from pacs_gateway.access.accounts import Account, to_account
from pacs_gateway.access.audit import Actor, Audit, Event, Outcome
from pacs_gateway.access.names import check_name, to_name
from pacs_gateway.access.sessions import digest
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import account, token
from pacs_gateway.domain.clock import Clock, from_microseconds, to_microseconds
from pacs_gateway.errors import ConflictError, InputError, NotFoundError

PREFIX = "pgw_"  # lets scanners for leaked secrets know one when they see it
_N_BYTES = 32
_LENGTH = len(PREFIX) + 43


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: without the secret."""

    name: str
    account: str
    created_at: datetime
    expires_at: datetime | None
    """None: until it is removed."""


class Tokens:
    """Makes, resolves and removes tokens.

    Notes
    -----
    Thread-safe.
    """

    def __init__(self, database: Database, audit: Audit, *, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def add(self, name: str, *, account_name: str, by: Actor, expires_in: timedelta | None = None) -> str:
        """Make a token that acts as the account; return its text, this once.

        Raises
        ------
        InputError
            The name or the time is not one.
        NotFoundError
            There is no such account.
        ConflictError
            The name is taken.
        """
        name = check_name(name, "token")
        if expires_in is not None and expires_in <= timedelta(0):
            raise InputError("a token expires in the future")
        value = PREFIX + secrets.token_urlsafe(_N_BYTES)
        now = self._clock()

        def keep(connection: Connection) -> None:
            owner = connection.scalar(select(account.c.id).where(account.c.name == to_name(account_name)))
            if owner is None:
                raise NotFoundError("there is no such user")
            known = connection.scalar(select(token.c.token_hash).where(token.c.name == name))
            if known == digest(value):  # kept already, by a commit that could not be confirmed
                return
            if known is not None:
                raise ConflictError(f"token {name!r} exists already")
            connection.execute(
                insert(token).values(
                    name=name,
                    token_hash=digest(value),
                    account_key=owner,
                    created_at=to_microseconds(now),
                    expires_at=None if expires_in is None else to_microseconds(now + expires_in),
                )
            )
            self._audit.record(
                connection,
                actor=by.name,
                address=by.address,
                action=Event.TOKEN_ADD,
                subject=name,
                outcome=Outcome.SUCCESS,
            )

        self._database.transact(keep)
        return value

    def resolve(self, value: str) -> Account | None:
        """Return the account a token acts as; None for one that is unknown, expired or no token at all."""
        if len(value) != _LENGTH or not value.startswith(PREFIX):
            return None
        with self._database.read() as connection:
            row = connection.execute(
                select(account, token.c.expires_at)
                .join(token, token.c.account_key == account.c.id)
                .where(token.c.token_hash == digest(value))
            ).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= to_microseconds(self._clock())):
            return None
        return to_account(row)

    def list(self) -> tuple[Token, ...]:
        """Return every token, expired ones too, by name."""
        return self._select()

    def show(self, name: str) -> Token:
        """Return one token.

        Raises
        ------
        NotFoundError
            There is no such token.
        """
        found = self._select(token.c.name == to_name(name))
        if not found:
            raise NotFoundError("there is no such token")
        return found[0]

    def remove(self, name: str, *, by: Actor) -> None:
        """Remove a token: from now on it is refused.

        Raises
        ------
        NotFoundError
            There is no such token.
        """
        name = to_name(name)

        def drop(connection: Connection) -> None:
            if connection.execute(delete(token).where(token.c.name == name)).rowcount == 0:
                raise NotFoundError("there is no such token")
            self._audit.record(
                connection,
                actor=by.name,
                address=by.address,
                action=Event.TOKEN_REMOVE,
                subject=name,
                outcome=Outcome.SUCCESS,
            )

        self._database.transact(drop)

    def _select(self, *matches: ColumnElement[bool]) -> tuple[Token, ...]:
        columns = (token.c.name, account.c.name.label("account"), token.c.created_at, token.c.expires_at)
        found = select(*columns).join(account, token.c.account_key == account.c.id).where(*matches)
        with self._database.read() as connection:
            rows = connection.execute(found.order_by(token.c.name)).all()
        return tuple(
            Token(
                name=row.name,
                account=row.account,
                created_at=from_microseconds(row.created_at),
                expires_at=None if row.expires_at is None else from_microseconds(row.expires_at),
            )
            for row in rows
        )
