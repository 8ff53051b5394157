"""Who is calling, what they may do, and the record of what they did."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pacs_gateway.access.accounts import Account, Accounts, NewAccount, Role
from pacs_gateway.access.audit import Actor, Audit, Outcome
from pacs_gateway.access.config import AccessConfig, UnknownDevices
from pacs_gateway.access.device import Device, NewDevice, Right
from pacs_gateway.access.devices import Devices
from pacs_gateway.access.exposure import Listening, check_exposure
from pacs_gateway.access.passwords import Passwords
from pacs_gateway.access.policy import Action, Caller, CallerKind, Scope, decide, scope
from pacs_gateway.access.sessions import Sessions
from pacs_gateway.access.tokens import Token, Tokens
from pacs_gateway.database import Database
from pacs_gateway.domain.clock import Clock, utc_now

__all__ = [
    "Access",
    "AccessConfig",
    "Account",
    "Action",
    "Actor",
    "Caller",
    "CallerKind",
    "Device",
    "Listening",
    "NewAccount",
    "NewDevice",
    "Outcome",
    "Right",
    "Role",
    "Scope",
    "Token",
    "UnknownDevices",
    "check_exposure",
    "decide",
    "open_access",
    "scope",
]


@dataclass(frozen=True, slots=True)
class Access:
    """Everything of access that one process needs; closing it leaves the database open."""

    config: AccessConfig
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    devices: Devices
    audit: Audit

    def close(self) -> None:
        """Write what is still in memory."""
        self.devices.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_access(
    database: Database, config: AccessConfig, *, clock: Clock = utc_now, passwords: Passwords | None = None
) -> Access:
    """Return the access of a process on an open, migrated database."""
    audit = Audit(clock=clock)
    return Access(
        config=config,
        accounts=Accounts(database, audit, config=config, clock=clock, passwords=passwords or Passwords()),
        sessions=Sessions(database, audit, clock=clock, lifetime=config.session_lifetime, idle=config.session_idle),
        tokens=Tokens(database, audit, clock=clock),
        devices=Devices(database, audit, config=config, clock=clock),
        audit=audit,
    )
