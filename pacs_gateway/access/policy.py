"""Who may do what: one table, one function, one predicate for every query.

Every door (DIMSE, DICOMweb, portal, command line) turns whoever calls into a `Caller` and asks `decide` before it
acts; what it reads, it reads within `scope`, so that what a caller may not see does not exist for it (promise B17).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from pacs_gateway.access.accounts import Account, Role
from pacs_gateway.access.device import Device, Right
from pacs_gateway.domain.rejection import Reach
from pacs_gateway.errors import RefusedError, UnauthenticatedError


class CallerKind(StrEnum):
    """By what a caller is known."""

    ACCOUNT = "account"
    DEVICE = "device"
    OPEN = "open"
    """By nothing: logins are switched off, on loopback."""


class Action(StrEnum):
    """What can be done to what the gateway keeps."""

    ECHO = "echo"
    SEARCH = "search"
    READ = "read"
    """Metadata, frames, rendered images and whole objects, to the caller itself (C-GET, WADO-RS, the portal)."""
    MOVE = "move"
    """Objects, to somebody else (C-MOVE, send)."""
    STORE = "store"
    COMMIT = "commit"
    WORKLIST = "worklist"
    DELETE = "delete"
    RESOLVE = "resolve"
    """Conflicts: decide which of two contents is current."""
    ADMINISTER = "administer"
    """Accounts, tokens, devices, jobs, settings."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks, however they came in."""

    kind: CallerKind
    name: str
    facility: str
    role: Role | None = None
    """Of accounts; None for devices."""
    rights: frozenset[Right] = frozenset()
    """Of devices; empty for accounts."""
    must_change_password: bool = False
    """Logged in with a one-time password: may do nothing before changing it."""

    @classmethod
    def of_session(cls, account: Account) -> Self:
        """Return a person in a browser."""
        return cls(
            kind=CallerKind.ACCOUNT,
            name=account.name,
            facility=account.facility,
            role=account.role,
            must_change_password=account.must_change,
        )

    @classmethod
    def of_token(cls, account: Account) -> Self:
        """Return a program that acts as an account; its token is no one-time password."""
        return cls(kind=CallerKind.ACCOUNT, name=account.name, facility=account.facility, role=account.role)

    @classmethod
    def of_device(cls, device: Device) -> Self:
        """Return an application entity."""
        return cls(kind=CallerKind.DEVICE, name=device.ae_title, facility=device.facility, rights=device.rights)

    @classmethod
    def of_open_door(cls, *, facility: str) -> Self:
        """Return the caller of a web whose logins are off (``PACS_AUTH=off``): an administrator."""
        return cls(kind=CallerKind.OPEN, name="", facility=facility, role=Role.ADMINISTRATOR)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which studies exist for a caller; goes into every query."""

    facilities: frozenset[str] | None
    """Codes of the facilities whose studies it may see; None: all."""

    def includes(self, facility: str) -> bool:
        """Return whether studies of `facility` exist for the caller."""
        return self.facilities is None or facility in self.facilities


BY_ROLE: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.ADMINISTRATOR: frozenset(Action),
        Role.READER: frozenset({Action.ECHO, Action.SEARCH, Action.READ}),
    }
)

BY_RIGHT: Mapping[Right, Action] = MappingProxyType(
    {
        Right.ECHO: Action.ECHO,
        Right.FIND: Action.SEARCH,
        Right.GET: Action.READ,
        Right.MOVE: Action.MOVE,
        Right.STORE: Action.STORE,
        Right.COMMIT: Action.COMMIT,
        Right.WORKLIST: Action.WORKLIST,
        Right.DELETE: Action.DELETE,
    }
)


def decide(caller: Caller | None, action: Action, *, facility: str | None = None) -> None:
    """Return if `caller` may do `action`, to studies of `facility` where one is given.

    Raises
    ------
    UnauthenticatedError
        Nobody has said who is calling (None).
    RefusedError
        This caller may not.
    """
    if caller is None:
        raise UnauthenticatedError("log in first")
    if caller.must_change_password:
        raise RefusedError("change the one-time password first")
    if action not in _actions(caller):
        raise RefusedError(f"this caller may not {action}")
    if facility is not None and not scope(caller).includes(facility):
        raise RefusedError(f"this caller may not {action} what belongs to another facility")


def scope(caller: Caller) -> Scope:
    """Return which studies exist for `caller`: all for an administrator, else those of its own facility."""
    if caller.role is Role.ADMINISTRATOR:
        return Scope(None)
    return Scope(frozenset({caller.facility}))


def reach(caller: Caller) -> Reach:
    """Return what rejection notes of `caller` may take out of sight: no more than it could delete."""
    if Action.DELETE not in _actions(caller):
        return Reach.NOTHING
    return Reach.ALL if scope(caller).facilities is None else Reach.OWN


def _actions(caller: Caller) -> frozenset[Action]:
    if caller.role is not None:
        return BY_ROLE[caller.role]
    return frozenset(BY_RIGHT[right] for right in caller.rights)
