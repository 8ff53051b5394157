"""The PROXY protocol header: the source of a TCP connection, or a refusal, and nothing else whatever the bytes."""

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.dimse.proxy_protocol import (
    MAX_HEADER_LENGTH,
    PREAMBLE_LENGTH,
    ProxyHeaderError,
    header_size,
    parse_source,
)
from tests.support.proxy_header import SIGNATURE, local_header, proxy_header

PREAMBLES = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda command, family, length, rest: SIGNATURE + struct.pack(">BBH", command, family, length) + rest,
        st.sampled_from([0x20, 0x21]) | st.integers(0, 255),
        st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x31]) | st.integers(0, 255),
        st.integers(0, 60) | st.integers(0, 65535),
        st.binary(max_size=80),
    ),
)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=200))
def test_the_source_is_found_whatever_is_appended(
    address: IPv4Address | IPv6Address, port: int, extensions: bytes
) -> None:
    header = proxy_header(str(address), port, extensions=extensions)

    assert header_size(header[:PREAMBLE_LENGTH]) == len(header)
    assert parse_source(header) == (str(address), port)


@pytest.mark.parametrize("extensions", [b"", b"\x04\0\x03abc"])
def test_a_balancers_own_connection_has_no_source(extensions: bytes) -> None:
    header = local_header(extensions)

    assert header_size(header[:PREAMBLE_LENGTH]) == len(header)
    assert parse_source(header) is None


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(SIGNATURE, id="cut within the preamble"),
        pytest.param(proxy_header()[:-1], id="cut within the addresses"),
        pytest.param(proxy_header(length=11), id="too short for its addresses"),
        pytest.param(proxy_header("2001:db8::7", length=35), id="too short for IPv6"),
        pytest.param(proxy_header(family=0x21), id="IPv4 said to be IPv6"),
        pytest.param(proxy_header(family=0x00), id="unspecified"),
        pytest.param(proxy_header(family=0x12), id="UDP"),
        pytest.param(proxy_header(family=0x31), id="local socket"),
        pytest.param(proxy_header(command=0x11), id="version 1 in binary"),
        pytest.param(proxy_header(command=0x22), id="unknown command"),
        pytest.param(proxy_header(command=0x31), id="version 3"),
        pytest.param(proxy_header(extensions=bytes(MAX_HEADER_LENGTH)), id="too long"),
        pytest.param(b"\0" + proxy_header()[1:], id="another signature"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 50104 104\r\n", id="version 1"),
    ],
)
def test_what_names_no_tcp_connection_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_source(header)


@given(PREAMBLES)
def test_no_bytes_do_anything_but_parse_or_be_refused(header: bytes) -> None:
    try:
        size = header_size(header)
        source = parse_source(header)
    except ProxyHeaderError:
        return
    assert PREAMBLE_LENGTH <= size <= min(len(header), MAX_HEADER_LENGTH)
    # What lies behind its own end has no say.
    assert parse_source(header[:size]) == source
