"""The header a balancer puts before a connection to say whose it is: PROXY protocol version 2, read as hostile bytes.

Only the source address is taken. Extensions (TLVs) are passed over, version 1 (text) is refused: where it ends cannot
be told without reading past it.

References
----------
The PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt), section 2.2
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from pacs_gateway.errors import InvalidMessageError

PREAMBLE_LENGTH = 16
"""Bytes that say how long the header is."""
MAX_HEADER_LENGTH = 4096
"""Bytes; addresses need 52 at most, what balancers add is some hundred."""

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PREAMBLE = struct.Struct(">12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
# Address family and transport: TCP alone carries DICOM. Addresses, then ports; the source is first of each.
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {_TCP4: struct.Struct(">4s4xH2x"), _TCP6: struct.Struct(">16s16xH2x")}
_KINDS = {_TCP4: IPv4Address, _TCP6: IPv6Address}


class ProxyHeaderError(InvalidMessageError):
    """What came is no PROXY protocol v2 header of a TCP connection."""


def header_size(preamble: bytes | bytearray) -> int:
    """Return the size in bytes, preamble included, of the header whose first 16 bytes are given.

    Raises
    ------
    ProxyHeaderError
        They begin no such header, or one longer than is taken.
    """
    signature, command, _, length = _unpack(preamble)
    if signature != _SIGNATURE or command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("no PROXY protocol v2 header")
    if PREAMBLE_LENGTH + length > MAX_HEADER_LENGTH:
        raise ProxyHeaderError("PROXY protocol header too long")
    return PREAMBLE_LENGTH + length


def parse_source(header: bytes | bytearray) -> tuple[str, int] | None:
    """Return address and port a connection comes from; None where it is the balancer's own, such as a health check.

    Raises
    ------
    ProxyHeaderError
        It is no such header, is not whole, or names no TCP connection: an unnamed client must not pass for its
        balancer.
    """
    if len(header) < header_size(header):
        raise ProxyHeaderError("PROXY protocol header not whole")
    _, command, family, length = _unpack(header)
    if command == _LOCAL:
        return None
    layout = _ADDRESSES.get(family)
    if layout is None or length < layout.size:
        raise ProxyHeaderError("PROXY protocol header without the addresses of a TCP connection")
    packed, port = layout.unpack_from(header, PREAMBLE_LENGTH)
    return str(_KINDS[family](packed)), port


def _unpack(header: bytes | bytearray) -> tuple[bytes, int, int, int]:
    if len(header) < PREAMBLE_LENGTH:
        raise ProxyHeaderError("PROXY protocol header not whole")
    signature, command, family, length = _PREAMBLE.unpack_from(header)
    return signature, command, family, length
