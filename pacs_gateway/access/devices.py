"""Devices: application entities known by calling title, called title and network, and what each may do.

An AE title alone proves nothing: anybody can send any title. A device is who calls with its title, calls the title
it is meant to call, and calls from where it stands (promise B2).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, insert, update

from pacs_gateway.access.ae_titles import check_ae_title, is_ae_title, strip_padding
from pacs_gateway.access.audit import Actor, Audit, Event, Outcome
from pacs_gateway.access.certificates import Certificate
from pacs_gateway.access.config import AccessConfig, UnknownDevices
from pacs_gateway.access.device import (
    ALL_RIGHTS,
    Device,
    NewDevice,
    all_devices,
    check_device,
    find_device,
    require_device,
    to_device,
    to_values,
)
from pacs_gateway.access.names import check_facility
from pacs_gateway.access.networks import Address, Hosts, Networks, Resolve, parse_address, resolve_host
from pacs_gateway.access.rejections import Rejected, Rejections, forget_rejected
from pacs_gateway.access.snapshot import Snapshot, count_change
from pacs_gateway.database import Database
from pacs_gateway.database.schema.access import device
from pacs_gateway.domain.clock import Clock, to_microseconds
from pacs_gateway.errors import ConflictError, InputError, NotFoundError, UnavailableError

_COUNTER = "device"
_CASE = ": upper and lower case count"


@dataclass(frozen=True, slots=True)
class _Roster:
    """The registered devices by calling title, those with a called title of their own first."""

    by_title: dict[str, tuple[Device, ...]]
    by_fold: dict[str, str]


class Devices:
    """Knows callers, and registers them.

    Notes
    -----
    Thread-safe. Answers from memory: a change made by another process counts within a second, and while the
    database is away, known devices are still known for a day.
    """

    def __init__(
        self,
        database: Database,
        audit: Audit,
        *,
        config: AccessConfig,
        clock: Clock,
        resolve: Resolve = resolve_host,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._audit = audit
        self._config = config
        self._clock = clock
        self._titles = frozenset(strip_padding(title) for title in config.ae_titles)
        self._hosts = Hosts(resolve=resolve, monotonic=monotonic)
        self._roster = Snapshot(database, counter=_COUNTER, load=_load, monotonic=monotonic)
        self._rejections = Rejections(database, audit, clock=clock)

    def load(self) -> None:
        """Read the devices now, so that they are known if the database is away when the first one calls.

        Raises
        ------
        UnavailableError
            It is away already.
        """
        self._roster.get()

    def identify(
        self, *, calling: str, called: str, address: str, certificate: Certificate | None = None
    ) -> Device | None:
        """Return the device that calls, or None: the caller is told nothing about which part was wrong.

        Parameters
        ----------
        certificate
            What it has shown in TLS, verified; a device that is bound to certificates must show one of them.

        Raises
        ------
        UnavailableError
            The database is away and has not been read for a day.
        """
        calling, called = strip_padding(calling), strip_padding(called)
        where = _address(address)
        if where is None or not is_ae_title(calling) or not is_ae_title(called):
            return None
        found = self._find(calling, called, where)
        if found and found.certificates and not (certificate and certificate.is_one_of(found.certificates)):
            found = None
        if self._config.unknown_devices is UnknownDevices.ACCEPT and where.is_loopback:
            # Loopback is asked here too: no bind, proxy or port mapping turns `accept` into an open door.
            return replace(found, rights=ALL_RIGHTS) if found else self._stranger(calling)
        return found

    def destination(self, ae_title: str, *, called: str) -> Device | None:
        """Return the device to send to under `ae_title`, or None when none with a HOST PORT is registered.

        Parameters
        ----------
        called
            The gateway's title that it will be called from. Where several devices share the title, the one meant
            for that of the gateway's comes first, then the one meant for all.

        Raises
        ------
        UnavailableError
            The database is away and has not been read for a day.
        """
        same_title = self._roster.get().by_title.get(strip_padding(ae_title), ())
        reachable = [known for known in same_title if known.port is not None]
        return min(reachable, key=lambda known: (known.called != called, known.called != ""), default=None)

    def record_rejection(
        self, *, calling: str, called: str, address: str, reason: str = "", certificate: Certificate | None = None
    ) -> None:
        """Note a caller that was turned away, for `device list --rejected`; without `reason` it is found out here."""
        calling, called = strip_padding(calling), strip_padding(called)
        try:
            roster = self._roster.get()
        except UnavailableError:
            reason = reason or "nobody is known while the index is away"
        else:
            reason = reason or self._why(roster, calling, called, _address(address), certificate)
        self._rejections.record(calling=calling, called=called, address=str(_address(address) or ""), reason=reason)

    def record_refusal(self, address: str, reason: str) -> None:
        """Note a connection that ended before its caller said who it is; never waits."""
        self._rejections.record(calling="", called="", address=address, reason=reason)

    def add(self, new: NewDevice, *, by: Actor) -> Device:
        """Register a device.

        Raises
        ------
        InputError
            A title, the host or the port is not one, or nothing says where it may call from.
        ConflictError
            The titles are registered already.
        """
        new = check_device(new)

        def register(connection: Connection) -> Device:
            if find_device(connection, new.ae_title, new.called) is not None:
                raise ConflictError(f"device {new.ae_title} is registered already: see `pacs-gateway device change`")
            self._insert(connection, new)
            self._changed(connection, Event.DEVICE_ADD, new, by)
            return to_device(require_device(connection, new.ae_title, new.called))

        made = self._database.transact(register)
        self._roster.expire()
        return made

    def change(self, ae_title: str, alter: Callable[[Device], Device], *, by: Actor, called: str = "") -> Device:
        """Replace a device by what `alter` makes of it; its titles stay.

        Parameters
        ----------
        alter
            Pure: it is asked again where the transaction has to be done again.

        Raises
        ------
        NotFoundError
            There is no such device.
        InputError
            What `alter` made cannot be.
        """
        ae_title, called = strip_padding(ae_title), strip_padding(called)

        def write(connection: Connection) -> Device:
            row = require_device(connection, ae_title, called, lock=True)
            before = to_device(row)
            after = check_device(replace(alter(before), ae_title=before.ae_title, called=before.called))
            old, new = to_values(before), to_values(after)
            names = [name for name in new if new[name] != old[name]]
            if names:
                connection.execute(update(device).where(device.c.id == row.id).values(**new))
                self._changed(connection, Event.DEVICE_CHANGE, after, by, names)
            return after

        changed = self._database.transact(write)
        self._roster.expire()
        return changed

    def allow(self, calling: str, *, by: Actor, address: str = "", facility: str = "") -> Device:
        """Let in a caller that was turned away, from the address it called from.

        A device that is registered under its title may call from that address too; else one is registered, with
        the rights of a modality.

        Raises
        ------
        NotFoundError
            No such caller was turned away.
        ConflictError
            It called from several addresses, or none of the gateway's titles, or is let in already: something else
            keeps it out.
        """
        caller = self._choose(calling, address)
        title, where = check_ae_title(caller.calling), parse_address(caller.address)
        if self._find(title, caller.called, where) is not None:
            raise ConflictError(f"{title} may call from {where} already; it was turned away: {caller.reason}")

        def let_in(connection: Connection) -> Device:
            row = find_device(connection, title, caller.called, lock=True) or find_device(
                connection, title, "", lock=True
            )
            known: NewDevice
            if row:
                known = to_device(row)
                networks = known.networks.plus(where)
                connection.execute(update(device).where(device.c.id == row.id).values(networks=str(networks)))
            else:
                owner = check_facility(facility or self._config.facility)
                known = NewDevice(title, owner, networks=Networks().plus(where))
                self._insert(connection, known)
            forget_rejected(connection, calling=caller.calling, address=caller.address)
            self._changed(connection, Event.DEVICE_ALLOW, known, by)
            return to_device(require_device(connection, title, known.called))

        allowed = self._database.transact(let_in)
        self._roster.expire()
        return allowed

    def remove(self, ae_title: str, *, by: Actor, called: str = "") -> None:
        """Forget a device: from now on it is turned away.

        Raises
        ------
        NotFoundError
            There is no such device.
        """
        ae_title, called = strip_padding(ae_title), strip_padding(called)

        def forget(connection: Connection) -> None:
            row = require_device(connection, ae_title, called)
            connection.execute(delete(device).where(device.c.id == row.id))
            self._changed(connection, Event.DEVICE_REMOVE, to_device(row), by)

        self._database.transact(forget)
        self._roster.expire()

    def show(self, ae_title: str, *, called: str = "") -> Device:
        """Return one device.

        Raises
        ------
        NotFoundError
            There is no such device.
        """
        with self._database.read() as connection:
            return to_device(require_device(connection, strip_padding(ae_title), strip_padding(called)))

    def list(self) -> tuple[Device, ...]:
        """Return every device, by its titles."""
        with self._database.read() as connection:
            return all_devices(connection)

    def rejected(self) -> tuple[Rejected, ...]:
        """Return the callers that were turned away, the latest first."""
        return self._rejections.list()

    def close(self) -> None:
        """Write the rejections that are still in memory."""
        self._rejections.close()

    def _find(self, calling: str, called: str, where: Address) -> Device | None:
        if called not in self._titles:
            return None
        for known in self._roster.get().by_title.get(calling, ()):
            if known.called in ("", called) and self._calls_from(known, where):
                return known
        return None

    def _calls_from(self, known: Device, where: Address) -> bool:
        networks = known.networks
        return networks.contain(where) or (networks.is_host and where in self._hosts.addresses(known.host))

    def _stranger(self, calling: str) -> Device:
        return Device(
            ae_title=calling,
            called="",
            networks=Networks(is_any=True),
            host="",
            port=None,
            facility=self._config.facility,
            rights=ALL_RIGHTS,
            created_at=self._clock(),
        )

    def _why(
        self, roster: _Roster, calling: str, called: str, where: Address | None, certificate: Certificate | None
    ) -> str:
        if not is_ae_title(calling) or not is_ae_title(called):
            return "an AE title with characters that are not allowed"
        if called not in self._titles:
            is_near = called.casefold() in {title.casefold() for title in self._titles}
            return f"called another AE title than {' or '.join(sorted(self._titles))}" + _CASE * is_near
        known = roster.by_title.get(calling, ())
        if not known:
            near = roster.by_fold.get(calling.casefold())
            return f"not {near}, which is known{_CASE}" if near else "unknown calling AE title"
        placed = [one for one in known if one.called in ("", called)]
        if not placed:
            return f"may call {' or '.join(sorted(one.called for one in known))} only"
        if where is None or self._find(calling, called, where) is None:
            return f"known, but from another address than {' or '.join(self._place(one) for one in placed)}"
        if certificate is None:
            return "called without the TLS certificate it is bound to"
        return f"its TLS certificate is not one it is bound to: {certificate.fingerprint}"

    def _place(self, known: Device) -> str:
        ranges = [str(network) for network in known.networks.ranges]
        if not known.networks.is_host:
            return ", ".join(ranges)
        addresses = ", ".join(sorted(map(str, self._hosts.addresses(known.host)))) or "no address now"
        host = known.host if known.host == addresses else f"{known.host} ({addresses})"
        return ", ".join([host, *ranges])

    def _choose(self, calling: str, address: str) -> Rejected:
        calling, where = strip_padding(calling), str(parse_address(address)) if address else ""
        callers = [one for one in self.rejected() if one.calling == calling and where in ("", one.address)]
        ours = [one for one in callers if one.called in self._titles]
        if not callers:
            raise NotFoundError("no such caller was turned away: see `pacs-gateway device list --rejected`")
        if not ours:
            titles = ", ".join(sorted(self._titles))
            raise ConflictError(
                f"{calling} called {callers[0].called!r}, but this gateway is {titles}: change it there"
            )
        if len({one.address for one in ours}) > 1:
            raise ConflictError(f"{calling} called from {len(ours)} addresses: say which with --address")
        return ours[0]

    def _insert(self, connection: Connection, new: NewDevice) -> None:
        connection.execute(insert(device).values(**to_values(new), created_at=to_microseconds(self._clock())))

    def _changed(
        self, connection: Connection, event: Event, known: NewDevice, by: Actor, names: Iterable[str] = ()
    ) -> None:
        count_change(connection, _COUNTER)
        subject = f"{known.ae_title} calling {known.called}" if known.called else known.ae_title
        if what := ", ".join(names):
            subject = f"{subject}: {what}"
        self._audit.record(
            connection,
            actor=by.name,
            address=by.address,
            action=event,
            subject=subject,
            outcome=Outcome.SUCCESS,
        )


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except InputError:
        return None


def _load(connection: Connection) -> _Roster:
    by_title: dict[str, tuple[Device, ...]] = {}
    for known in all_devices(connection):
        others = by_title.get(known.ae_title, ())
        by_title[known.ae_title] = (known, *others)  # the empty called title is read first and ends last
    return _Roster(by_title, {title.casefold(): title for title in by_title})
