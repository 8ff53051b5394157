"""Brake on guessing passwords: counted per name and address, with a lock that doubles."""

import hashlib
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network

from sqlalchemy import Connection, delete, select, text, update

from pacs_gateway.access.networks import parse_address
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import login_failure
from pacs_gateway.domain.clock import Clock, to_microseconds
from pacs_gateway.errors import InputError, UnauthenticatedError

_N_FREE = 5
_FIRST_LOCK = timedelta(seconds=30)
_LONGEST_LOCK = timedelta(hours=1)
_FORGET_AFTER = timedelta(days=1)
_MAX_ROWS = 10_000

_BEGIN = text(
    "INSERT INTO login_failure (name, address, n_failures, locked_until) "
    "VALUES (:name, :address, 0, 0) ON CONFLICT (name, address) DO NOTHING"
)


class Throttle:
    """Admits five attempts per name and address, then one after 30 s, 60 s, ... at most an hour."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def admit(self, name: str, *, address: str) -> None:
        """Count an attempt before it is judged: a thousand guesses at once must not all find the door open.

        Raises
        ------
        UnauthenticatedError
            Too many attempts failed; said in the same words as a wrong password.
        """
        key, where = _key(name), _where(address)
        with self._database.read() as connection:
            self._check(connection, key, where)

        def count(connection: Connection) -> None:
            # There is a row to lock, so that of many guesses at once each sees the count of the one before it.
            connection.execute(_BEGIN, {"name": key, "address": where})
            n_failures = self._check(connection, key, where, lock=True) + 1
            locked_until = to_microseconds(self._clock() + _lock(n_failures))
            same = (login_failure.c.name == key) & (login_failure.c.address == where)
            connection.execute(
                update(login_failure).where(same).values(n_failures=n_failures, locked_until=locked_until)
            )
            self._forget_old(connection)

        self._database.transact(count)

    def fail(self, connection: Connection, name: str, *, address: str) -> None:
        """Let the lock of an attempt that has failed run from now.

        It is written for every failure alike: without it, an unknown name would cost no write and be told by that.
        """
        same = (login_failure.c.name == _key(name)) & (login_failure.c.address == _where(address))
        # Locked: an attempt counted meanwhile may have closed the door, which must not be opened again.
        n_failures = connection.scalar(select(login_failure.c.n_failures).where(same).with_for_update())
        locked_until = to_microseconds(self._clock() + _lock(n_failures or 0))
        connection.execute(update(login_failure).where(same).values(locked_until=locked_until))

    def clear(self, connection: Connection, name: str, *, address: str | None = None) -> None:
        """Forget the failures of `name` from `address`, or from everywhere."""
        matches = login_failure.c.name == _key(name)
        if address is not None:
            matches &= login_failure.c.address == _where(address)
        connection.execute(delete(login_failure).where(matches))

    def _check(self, connection: Connection, key: str, where: str, *, lock: bool = False) -> int:
        found = select(login_failure.c.n_failures, login_failure.c.locked_until).where(
            login_failure.c.name == key, login_failure.c.address == where
        )
        row = connection.execute(found.with_for_update() if lock else found).one_or_none()
        now = self._clock()
        if row is None or row.locked_until < to_microseconds(now - _FORGET_AFTER):
            return 0
        if row.locked_until > to_microseconds(now):
            raise UnauthenticatedError("name or password is wrong")
        return int(row.n_failures)

    def _forget_old(self, connection: Connection) -> None:
        before = to_microseconds(self._clock() - _FORGET_AFTER)
        connection.execute(delete(login_failure).where(login_failure.c.locked_until < before))
        # Locks in force lie in the future and are the last to be dropped.
        latest = select(login_failure.c.locked_until).order_by(login_failure.c.locked_until.desc())
        oldest_kept = connection.scalar(latest.offset(_MAX_ROWS - 1).limit(1))
        if oldest_kept is not None:
            connection.execute(delete(login_failure).where(login_failure.c.locked_until < oldest_kept))


def _lock(n_failures: int) -> timedelta:
    if n_failures < _N_FREE:
        return timedelta(0)
    doublings = min(n_failures - _N_FREE, 20)
    return min(_FIRST_LOCK * (1 << doublings), _LONGEST_LOCK)


def _key(name: str) -> str:
    # Hashed: what was typed as a name may be a password, and may be a megabyte long.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _where(address: str) -> str:
    """Return the address to count by: of IPv6 the /64, which one machine can roam at will."""
    try:
        where = parse_address(address)
    except InputError:
        return ""
    return str(IPv6Network((int(where), 64), strict=False)) if isinstance(where, IPv6Address) else str(where)
