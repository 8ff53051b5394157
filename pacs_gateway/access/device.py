"""A device as it is registered: its values, their rules, and its row."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection, Row, select

from pacs_gateway.access.ae_titles import check_ae_title, is_ae_title
from pacs_gateway.access.audit import printable
from pacs_gateway.access.certificates import check_certificate
from pacs_gateway.access.device_settings import (
    DEFAULT_IDLE_S,
    DEFAULT_MAX_MATCHES,
    check_charset,
    check_issuer,
    check_limits,
    check_syntaxes,
)
from pacs_gateway.access.names import check_facility
from pacs_gateway.access.networks import HOST, Networks
from pacs_gateway.database.schema.access import device
from pacs_gateway.domain.clock import from_microseconds
from pacs_gateway.errors import InputError, NotFoundError

_MAX_PORT = 65535
_MAX_HOST = 253
_OF_HOST = Networks(is_host=True)


class Right(StrEnum):
    """A service a device may ask for."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    COMMIT = "commit"
    WORKLIST = "worklist"
    DELETE = "delete"
    """Its rejection notes take out of sight what they name (docs/decisions/0026)."""


ALL_RIGHTS = frozenset(Right)
MODALITY_RIGHTS = frozenset({Right.ECHO, Right.STORE, Right.COMMIT, Right.WORKLIST})


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What is registered; it is checked when it is added."""

    ae_title: str
    facility: str
    called: str = ""
    """The title it must call; empty: any of the gateway's own."""
    networks: Networks = _OF_HOST
    host: str = ""
    """Where it is called itself, for C-MOVE and commitment; empty: it is not."""
    port: int | None = None
    rights: frozenset[Right] = MODALITY_RIGHTS
    transfer_syntaxes: tuple[str, ...] = ()
    """What it may send and is sent, the preferred first; empty: all, in the gateway's own order."""
    charset: str = ""
    """Character set of what it sends without saying, or says wrongly; empty: by evidence."""
    issuer: str = ""
    """Issuer of Patient ID of what it sends without one; empty: its facility."""
    max_matches: int = DEFAULT_MAX_MATCHES
    """Answers to one query."""
    answers_ascii: bool = False
    """It is answered in letters that every device can show."""
    ignores_case: bool = False
    """Upper and lower case count alike in its queries, not in names alone."""
    takes_private_classes: bool = True
    """It may send objects of storage classes that no standard known here lists."""
    idle_s: int = DEFAULT_IDLE_S
    """Seconds of silence between messages that end its association."""
    certificates: tuple[str, ...] = ()
    """Fingerprints and subjects of which one must be its TLS certificate's; empty: none is asked for."""
    is_tls: bool = False
    """It is called over TLS."""


@dataclass(frozen=True, slots=True)
class Device(NewDevice):
    """A registered application entity, or a caller accepted without being one."""

    created_at: datetime = field(kw_only=True)


D = TypeVar("D", bound=NewDevice)


def parse_rights(text: str) -> frozenset[Right]:
    """Return the rights of ``all`` or a comma-separated list.

    Raises
    ------
    InputError
        Naming the rights there are.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == ["all"]:
        return ALL_RIGHTS
    if not parts or any(part not in list(Right) for part in parts):
        raise InputError(f"rights: give all, or some of {', '.join(Right)}")
    return frozenset(Right(part) for part in parts)


def to_device(row: Row[*tuple[object, ...]]) -> Device:
    """Return the device of a row of its table."""
    return Device(
        ae_title=row.ae_title,
        called=row.called_ae_title,
        networks=Networks.parse(row.networks),
        host=row.host,
        port=row.port,
        facility=row.facility,
        # A newer gateway on the same database may know rights that this one does not.
        rights=frozenset(Right(name) for name in row.rights.split(",") if name in list(Right)),
        transfer_syntaxes=_parts(row.transfer_syntaxes, ","),
        charset=row.charset,
        issuer=row.issuer,
        max_matches=row.max_matches,
        answers_ascii=row.answers_ascii,
        ignores_case=row.ignores_case,
        takes_private_classes=row.takes_private_classes,
        idle_s=row.idle_s,
        certificates=_parts(row.certificates, "\n"),
        is_tls=row.is_tls,
        created_at=from_microseconds(row.created_at),
    )


def to_values(new: NewDevice) -> dict[str, object]:
    """Return what `new` is kept as, by column; what `to_device` reads."""
    return {
        "ae_title": new.ae_title,
        "called_ae_title": new.called,
        "networks": str(new.networks),
        "host": new.host,
        "port": new.port,
        "facility": new.facility,
        "rights": ",".join(right for right in Right if right in new.rights),
        "transfer_syntaxes": ",".join(new.transfer_syntaxes),
        "charset": new.charset,
        "issuer": new.issuer,
        "max_matches": new.max_matches,
        "answers_ascii": new.answers_ascii,
        "ignores_case": new.ignores_case,
        "takes_private_classes": new.takes_private_classes,
        "idle_s": new.idle_s,
        "certificates": "\n".join(new.certificates),
        "is_tls": new.is_tls,
    }


def check_device(new: D) -> D:
    """Return `new` with its titles, host and settings as they are kept.

    Raises
    ------
    InputError
        One of them cannot be, or nothing says where the device calls from.
    """
    host = new.host.strip()
    _check_place(new, host)
    check_limits(max_matches=new.max_matches, idle_s=new.idle_s)
    return replace(
        new,
        ae_title=check_ae_title(new.ae_title),
        called=check_ae_title(new.called) if new.called.strip() else "",
        facility=check_facility(new.facility),
        host=host,
        transfer_syntaxes=check_syntaxes(new.transfer_syntaxes),
        charset=check_charset(new.charset),
        issuer=check_issuer(new.issuer),
        certificates=tuple(dict.fromkeys(check_certificate(one) for one in new.certificates)),
    )


def _check_place(new: NewDevice, host: str) -> None:
    if bool(host) != (new.port is not None):
        raise InputError("a device is called at HOST and PORT: give both or neither")
    if new.port is not None and not 0 < new.port <= _MAX_PORT:
        raise InputError(f"a port is 1 to {_MAX_PORT}")
    if len(host) > _MAX_HOST or any(c.isspace() or not c.isprintable() for c in host):
        raise InputError("the host is neither a name nor an address")
    if new.is_tls and not host:
        raise InputError("a device that is called over TLS needs HOST PORT")
    if new.networks.is_host and not host:
        raise InputError(f"nothing says where the device calls from: give HOST PORT or --network (not {HOST!r})")


def all_devices(connection: Connection) -> tuple[Device, ...]:
    """Return every device, by its titles; the one without a called title first."""
    rows = connection.execute(select(device).order_by(device.c.ae_title, device.c.called_ae_title))
    return tuple(to_device(row) for row in rows)


def find_device(
    connection: Connection, ae_title: str, called: str, *, lock: bool = False
) -> Row[*tuple[object, ...]] | None:
    """Return the row with these titles, if there is one; with `lock` for nobody else to change."""
    if not is_ae_title(ae_title) or not (called == "" or is_ae_title(called)):
        return None
    same = (device.c.ae_title == ae_title) & (device.c.called_ae_title == called)
    found = select(device).where(same)
    return connection.execute(found.with_for_update() if lock else found).one_or_none()


def require_device(
    connection: Connection, ae_title: str, called: str, *, lock: bool = False
) -> Row[*tuple[object, ...]]:
    """Return the row with these titles; with `lock` for nobody else to change.

    Raises
    ------
    NotFoundError
        There is none.
    """
    row = find_device(connection, ae_title, called, lock=lock)
    if row is None:
        same = device.c.ae_title == (ae_title if is_ae_title(ae_title) else "")
        others = connection.scalars(select(device.c.called_ae_title).where(same).order_by(device.c.called_ae_title))
        if titles := " or ".join(other or "''" for other in others):
            raise NotFoundError(f"{ae_title} is known by the title it calls: give --called {titles}")
        raise NotFoundError(f"there is no device {printable(ae_title)}: see `pacs-gateway device list`")
    return row


def _parts(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if text else ()
