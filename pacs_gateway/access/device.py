"""A device as it is registered: its values, their rules, and its row."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, select

from pacs_gateway.access.ae_titles import check_ae_title, is_ae_title
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


ALL_RIGHTS = frozenset(Right)
MODALITY_RIGHTS = frozenset({Right.ECHO, Right.STORE, Right.COMMIT, Right.WORKLIST})


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What is registered; the titles are checked when it is added."""

    ae_title: str
    facility: str
    called: str = ""
    """The title it must call; empty: any of the gateway's own."""
    networks: Networks = _OF_HOST
    host: str = ""
    """Where it is called itself, for C-MOVE and commitment; empty: it is not."""
    port: int | None = None
    rights: frozenset[Right] = MODALITY_RIGHTS


@dataclass(frozen=True, slots=True)
class Device:
    """A registered application entity, or a caller accepted without being one."""

    ae_title: str
    called: str
    networks: Networks
    host: str
    port: int | None
    facility: str
    rights: frozenset[Right]
    created_at: datetime


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
        created_at=from_microseconds(row.created_at),
    )


def check_device(new: NewDevice) -> NewDevice:
    """Return `new` with its titles and host as they are kept.

    Raises
    ------
    InputError
        A title, the facility, the host or the port is not one, or nothing says where the device calls from.
    """
    host = new.host.strip()
    if bool(host) != (new.port is not None):
        raise InputError("a device is called at HOST and PORT: give both or neither")
    if new.port is not None and not 0 < new.port <= _MAX_PORT:
        raise InputError(f"a port is 1 to {_MAX_PORT}")
    if len(host) > _MAX_HOST or any(c.isspace() or not c.isprintable() for c in host):
        raise InputError("the host is neither a name nor an address")
    if new.networks.is_host and not host:
        raise InputError(f"nothing says where the device calls from: give HOST PORT or --network (not {HOST!r})")
    called = check_ae_title(new.called) if new.called.strip() else ""
    facility = check_facility(new.facility)
    return replace(new, ae_title=check_ae_title(new.ae_title), facility=facility, called=called, host=host)


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


def require_device(connection: Connection, ae_title: str, called: str) -> Row[*tuple[object, ...]]:
    """Return the row with these titles.

    Raises
    ------
    NotFoundError
        There is none.
    """
    row = find_device(connection, ae_title, called)
    if row is None:
        raise NotFoundError("there is no such device")
    return row
