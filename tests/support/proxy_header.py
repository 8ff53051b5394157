"""PROXY protocol v2 headers as balancers send them, and as none would."""

import struct
from ipaddress import IPv4Address, ip_address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY, LOCAL = 0x21, 0x20


def proxy_header(
    source: str = "192.0.2.7",
    port: int = 50104,
    *,
    extensions: bytes = b"",
    command: int = PROXY,
    family: int | None = None,
    length: int | None = None,
) -> bytes:
    """Return the header of a TCP connection from `source`; the options say something else than the truth."""
    address = ip_address(source)
    destination = ip_address("198.51.100.1" if isinstance(address, IPv4Address) else "2001:db8::1")
    body = address.packed + destination.packed + struct.pack(">HH", port, 104) + extensions
    kind = (0x11 if isinstance(address, IPv4Address) else 0x21) if family is None else family
    return SIGNATURE + struct.pack(">BBH", command, kind, len(body) if length is None else length) + body


def local_header(extensions: bytes = b"") -> bytes:
    """Return the header of a balancer's own connection: a health check."""
    return SIGNATURE + struct.pack(">BBH", LOCAL, 0, len(extensions)) + extensions
