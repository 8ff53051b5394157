"""Refuses starts that would show patient data to strangers (promise B1)."""

from dataclasses import dataclass

from pacs_gateway.access.config import UnknownDevices
from pacs_gateway.access.networks import Resolve, parse_address, resolve_host
from pacs_gateway.errors import ConfigurationError, InputError, UnavailableError


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a start would listen; an empty tuple where its role does not."""

    dicom_hosts: tuple[str, ...] = ()
    web_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies: whoever reaches one of them reaches this gateway, whatever it binds to."""


def check_exposure(
    listening: Listening,
    *,
    is_auth_on: bool,
    unknown_devices: UnknownDevices,
    has_administrator: bool,
    resolve: Resolve = resolve_host,
) -> None:
    """Refuse a start that would expose patient data; call it before a first administrator is made.

    Raises
    ------
    ConfigurationError
        One line that says what to change.
    """
    dicom = _exposed(listening.dicom_hosts, "PACS_DICOM_HOST", listening, resolve)
    if dicom and unknown_devices is UnknownDevices.ACCEPT:
        raise ConfigurationError(
            f"PACS_UNKNOWN_DEVICES=accept would let everybody who reaches {dicom} read every study: set it to "
            "reject and add each device with `pacs-gateway device add`, or listen on 127.0.0.1 without a proxy "
            "(PACS_DICOM_HOST, PACS_TRUSTED_PROXIES)"
        )
    web = _exposed(listening.web_hosts, "PACS_WEB_HOST", listening, resolve)
    if web and not is_auth_on:
        raise ConfigurationError(
            f"PACS_AUTH=off would make everybody who reaches {web} an administrator: set PACS_AUTH=on, or listen "
            "on 127.0.0.1 without a proxy (PACS_WEB_HOST, PACS_TRUSTED_PROXIES)"
        )
    if web and not has_administrator:
        raise ConfigurationError(
            f"there is no administrator yet, and the web would listen on {web}: add one with "
            "`pacs-gateway user add NAME --role administrator`, or start once on 127.0.0.1 (PACS_WEB_HOST)"
        )


def _exposed(hosts: tuple[str, ...], setting: str, listening: Listening, resolve: Resolve) -> str:
    """Return what others can reach of `hosts`, as words for the message; empty where only this machine can."""
    for host in hosts:
        if not _is_loopback(host, setting, resolve):
            return host or "every address"
    return "a trusted proxy" if hosts and listening.trusted_proxies else ""


def _is_loopback(host: str, setting: str, resolve: Resolve) -> bool:
    bare = host.strip().removeprefix("[").removesuffix("]")
    if not bare:
        return False  # sockets take the empty host for every address
    try:
        return parse_address(bare).is_loopback
    except InputError:
        pass  # a name, or one of the old spellings (``0``, ``127.1``) that only the resolver knows
    try:
        addresses = resolve(bare)
    except UnavailableError as error:
        raise ConfigurationError(f"{setting}: {error}") from error
    return bool(addresses) and all(address.is_loopback for address in addresses)
