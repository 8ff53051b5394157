"""Accounts: people and programs that log in with a name and a password."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from pacs_gateway.access.audit import Actor, Audit, Event, Outcome, Seldom
from pacs_gateway.access.config import AccessConfig
from pacs_gateway.access.names import check_facility, check_name, to_name
from pacs_gateway.access.passwords import Passwords, check_password, one_time_password
from pacs_gateway.access.throttle import Throttle
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import account, session
from pacs_gateway.domain.clock import Clock, from_microseconds, to_microseconds
from pacs_gateway.errors import ConflictError, InputError, NotFoundError, UnauthenticatedError

_FIRST_ADMINISTRATOR = "admin"
_FIRST_START = Actor("first start")


class Role(StrEnum):
    """What an account is for; policy.py says what each may do."""

    ADMINISTRATOR = "administrator"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Account:
    """An account, without its password."""

    key: int
    name: str
    role: Role
    facility: str
    must_change: bool
    """The password is a one-time password: nothing but changing it is allowed in a browser session."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A new account, with the one-time password made for it; shown once, kept nowhere."""

    account: Account
    one_time_password: str | None = field(repr=False)


class Accounts:
    """Makes, proves, changes and removes accounts.

    Notes
    -----
    Thread-safe. Passwords are hashed outside of transactions: hashing takes longer than everything else together.
    """

    def __init__(
        self, database: Database, audit: Audit, *, config: AccessConfig, clock: Clock, passwords: Passwords
    ) -> None:
        self._config = config
        self._database = database
        self._audit = audit
        self._clock = clock
        self._passwords = passwords
        self._throttle = Throttle(database, clock=clock)
        self._strangers = Seldom(clock=clock)

    def create(self, name: str, *, role: Role, facility: str, by: Actor, password: str | None = None) -> NewAccount:
        """Make an account; without `password` with a one-time password, to be changed at the first login.

        Raises
        ------
        InputError
            The name, the facility or the password breaks its rule.
        ConflictError
            The name is taken.
        """
        name = check_name(name, "user")
        one_time = None
        if password is None:
            password = one_time = one_time_password()
        else:
            check_password(password, name=name)
        check_facility(facility)
        password_hash = self._passwords.hash(password)

        def make(connection: Connection) -> Row[*tuple[object, ...]]:
            known = _find(connection, name)
            if known is not None and known.password_hash == password_hash:
                return known  # made already, by a commit that could not be confirmed
            if known is not None:
                raise ConflictError(f"user {name!r} exists already")
            connection.execute(
                insert(account).values(
                    name=name,
                    role=role,
                    facility=facility,
                    password_hash=password_hash,
                    must_change=one_time is not None,
                    created_at=to_microseconds(self._clock()),
                )
            )
            self._record(connection, by, Event.USER_ADD, f"{name} ({role}, {facility})")
            return _require(connection, name)

        return NewAccount(to_account(self._database.transact(make)), one_time)

    def ensure_administrator(self) -> str | None:
        """Make the first administrator, ``admin``, where there is none; return its one-time password, this once.

        Raises
        ------
        ConflictError
            The name is taken by an account that is no administrator.
        """
        if self.has_administrator():
            return None
        facility = self._config.facility
        try:
            made = self.create(_FIRST_ADMINISTRATOR, role=Role.ADMINISTRATOR, facility=facility, by=_FIRST_START)
        except ConflictError:
            if self.has_administrator():  # another process of this start was quicker
                return None
            raise
        return made.one_time_password

    def has_administrator(self) -> bool:
        """Return whether anybody can administer this gateway."""
        with self._database.read() as connection:
            return _count_administrators(connection) > 0

    def authenticate(self, name: str, password: str, *, address: str) -> Account:
        """Return the account whose name and password these are; letter case of the name does not count.

        Raises
        ------
        UnauthenticatedError
            In the same words whether the name is unknown, the password wrong or too many attempts failed before;
            an unknown name costs the same work as a wrong password.
        """
        name = name.strip().lower()
        self._throttle.admit(name, address=address)
        with self._database.read() as connection:
            row = _find(connection, to_name(name))
        is_right = self._passwords.verify(password, row.password_hash if row else None)
        # What a stranger typed as a name may be a password: it is not recorded, nor may it fill the trail.
        is_recorded = row is not None or self._strangers.is_due(address)

        def settle(connection: Connection) -> None:
            if row is not None and is_right:
                self._throttle.clear(connection, name, address=address)
            else:
                self._throttle.fail(connection, name, address=address)
            if is_recorded:
                self._record_login(connection, row.name if row else None, address=address, is_right=is_right)

        self._database.transact(settle)
        if row is None or not is_right:
            raise UnauthenticatedError("name or password is wrong")
        return to_account(row)

    def change_password(self, name: str, *, old: str, new: str, address: str) -> None:
        """Replace the account's own password and end all its sessions.

        Raises
        ------
        UnauthenticatedError
            `old` is not the password.
        InputError
            `new` breaks the rule for passwords, or is the old one.
        """
        found = self.authenticate(name, old, address=address)
        check_password(new, name=found.name)
        if new == old:
            raise InputError("the new password is the old one")
        self._set_password(found.name, new, must_change=False, by=Actor(found.name, address))

    def reset_password(self, name: str, *, by: Actor) -> str:
        """Give an account a one-time password, end its sessions and its locks; return the password, this once.

        Raises
        ------
        NotFoundError
            There is no such account.
        """
        password = one_time_password()
        self._set_password(name, password, must_change=True, by=by)
        return password

    def list(self) -> tuple[Account, ...]:
        """Return every account, by name."""
        with self._database.read() as connection:
            return tuple(to_account(row) for row in connection.execute(select(account).order_by(account.c.name)))

    def show(self, name: str) -> Account:
        """Return one account.

        Raises
        ------
        NotFoundError
            There is no such account.
        """
        with self._database.read() as connection:
            return to_account(_require(connection, name))

    def remove(self, name: str, *, by: Actor) -> None:
        """Remove an account with its sessions and tokens.

        Raises
        ------
        NotFoundError
            There is no such account.
        ConflictError
            It is the last administrator.
        """

        def drop(connection: Connection) -> None:
            row = _require(connection, name)
            if row.role == Role.ADMINISTRATOR and _lock_administrators(connection) == 1:
                raise ConflictError(f"{row.name!r} is the last administrator: add another one first")
            connection.execute(delete(account).where(account.c.id == row.id))
            self._record(connection, by, Event.USER_REMOVE, row.name)

        self._database.transact(drop)

    def _set_password(self, name: str, password: str, *, must_change: bool, by: Actor) -> None:
        password_hash = self._passwords.hash(password)

        def change(connection: Connection) -> None:
            row = _require(connection, name)
            changed = update(account).where(account.c.id == row.id)
            connection.execute(changed.values(password_hash=password_hash, must_change=must_change))
            connection.execute(delete(session).where(session.c.account_key == row.id))
            self._throttle.clear(connection, row.name)
            self._record(connection, by, Event.USER_PASSWORD, row.name)

        self._database.transact(change)

    def _record(self, connection: Connection, by: Actor, event: Event, subject: str) -> None:
        self._audit.record(
            connection,
            actor=by.name,
            address=by.address,
            action=event,
            subject=subject,
            outcome=Outcome.SUCCESS,
        )

    def _record_login(self, connection: Connection, name: str | None, *, address: str, is_right: bool) -> None:
        self._audit.record(
            connection,
            actor=name or "",
            address=address,
            action=Event.LOGIN,
            subject=name or "unknown name",
            outcome=Outcome.SUCCESS if is_right else Outcome.FAILURE,
        )


def to_account(row: Row[*tuple[object, ...]]) -> Account:
    """Return the account of a row of its table."""
    return Account(
        key=row.id,
        name=row.name,
        role=Role(row.role),
        facility=row.facility,
        must_change=row.must_change,
        created_at=from_microseconds(row.created_at),
    )


def _find(connection: Connection, name: str) -> Row[*tuple[object, ...]] | None:
    return connection.execute(select(account).where(account.c.name == name)).one_or_none()


def _require(connection: Connection, name: str) -> Row[*tuple[object, ...]]:
    row = _find(connection, to_name(name))
    if row is None:
        raise NotFoundError("there is no such user")
    return row


def _count_administrators(connection: Connection) -> int:
    counted = select(func.count()).select_from(account).where(account.c.role == Role.ADMINISTRATOR)
    return connection.scalar(counted) or 0


def _lock_administrators(connection: Connection) -> int:
    """Return how many administrators there are; nobody else removes one before the transaction ends."""
    locked = select(account.c.id).where(account.c.role == Role.ADMINISTRATOR).order_by(account.c.id).with_for_update()
    return len(connection.execute(locked).all())
