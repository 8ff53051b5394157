"""Addresses and networks: where a device may call from, and what a host name means now."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self

from pacs_gateway.errors import InputError, UnavailableError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str], frozenset[Address]]

ANY = "any"
HOST = "host"

_FRESH_S = 60.0
_RETRY_S = 5.0
_KEEP_S = 24 * 3600.0
_MAPPED = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS = 96
_MAX_NETWORKS = 64


def parse_address(text: str) -> Address:
    """Return the address `text` writes, an IPv4-mapped one as IPv4 and without a zone.

    Raises
    ------
    InputError
        It is not an address.
    """
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError as error:
        raise InputError("not a network address") from error
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # a dual-stack socket reports its IPv4 peers this way
    return address


def resolve_host(host: str) -> frozenset[Address]:
    """Return the addresses of `host`, a name or an address.

    Raises
    ------
    UnavailableError
        The name has no address now.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(f"the host name {host!r} has no address") from error
    return frozenset(parse_address(str(sockaddr[0])) for *_, sockaddr in found)


@dataclass(frozen=True, slots=True)
class Networks:
    """Where a device may call from: any address, the addresses of its host, or ranges."""

    is_any: bool = False
    is_host: bool = False
    ranges: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the networks of ``any`` or a comma-separated list of CIDR networks, addresses and ``host``.

        Raises
        ------
        InputError
            Naming the part that is not a network.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if parts == [ANY]:
            return cls(is_any=True)
        if not parts or len(parts) > _MAX_NETWORKS:
            raise InputError(f"networks: give 1 to {_MAX_NETWORKS} of CIDR, address or {HOST!r}, or {ANY!r} alone")
        ranges = tuple(dict.fromkeys(_parse_network(part) for part in parts if part != HOST))
        return cls(is_host=HOST in parts, ranges=ranges)

    def __str__(self) -> str:
        if self.is_any:
            return ANY
        return ",".join([HOST] * self.is_host + [str(network) for network in self.ranges])

    def plus(self, address: Address) -> Self:
        """Return these networks and one address more."""
        if self.contain(address):
            return self
        own = ipaddress.ip_network(address)
        return type(self)(is_host=self.is_host, ranges=(*self.ranges, own))

    def contain(self, address: Address) -> bool:
        """Return whether `address` lies in them; the addresses of the host are not asked for here."""
        return self.is_any or any(address in network for network in self.ranges)


NOWHERE = Networks()
"""No address at all."""
ANYWHERE = Networks(is_any=True)
LOOPBACK = Networks(ranges=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")))
"""This machine."""


class Hosts:
    """Answers which addresses a host name has, asked anew every 60 s.

    Notes
    -----
    Thread-safe. While the name service does not answer, the last addresses stay for a day: a hospital's name
    server that restarts must not stop its scanners.
    """

    def __init__(self, *, resolve: Resolve = resolve_host, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._resolve = resolve
        self._monotonic = monotonic
        self._answers: dict[str, _Answer] = {}
        self._mutex = threading.Lock()

    def addresses(self, host: str) -> frozenset[Address]:
        """Return the addresses of `host`; none while it cannot be resolved."""
        with self._mutex:
            answer = self._answers.setdefault(host, _Answer())
        # Slow name service: one caller waits for it, the others use what is known.
        if not answer.lock.acquire(timeout=0 if answer.addresses else _RETRY_S):
            return answer.addresses
        try:
            if self._monotonic() >= answer.due_at:
                self._ask(host, answer)
            return answer.addresses
        finally:
            answer.lock.release()

    def _ask(self, host: str, answer: "_Answer") -> None:
        try:
            addresses = self._resolve(host)
        except UnavailableError:
            now = self._monotonic()
            answer.due_at = now + _RETRY_S
            if now >= answer.good_until:
                answer.addresses = frozenset()
            return
        now = self._monotonic()
        answer.addresses = addresses
        answer.due_at = now + _FRESH_S
        answer.good_until = now + _KEEP_S


class _Answer:
    """What is known about one host name."""

    __slots__ = ("addresses", "due_at", "good_until", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.addresses: frozenset[Address] = frozenset()
        self.due_at = float("-inf")
        self.good_until = float("-inf")


def _parse_network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
        if text.partition("/")[2] and network.network_address != ipaddress.ip_address(text.partition("/")[0]):
            # 10.0.0.5/24 may mean the one machine or its whole network: do not guess who may call.
            raise InputError(f"network {text!r} has host bits: write {network} or {text.partition('/')[0]}")
    except ValueError as error:
        raise InputError(f"{text!r} is not a network: write 10.1.2.0/24, 10.1.2.3, {HOST!r} or {ANY!r}") from error
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - _MAPPED_BITS))
    return network
