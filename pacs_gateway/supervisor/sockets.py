"""Listening sockets: bound once by the supervisor, inherited by its children."""

import socket
from collections.abc import Sequence

from pacs_gateway.errors import ConfigurationError

_BACKLOG = 128


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Return listening sockets for every host; port 0 takes a free one, the same for all hosts.

    Raises
    ------
    ConfigurationError
        The port is taken, or the host is none of this machine's.
    """
    sockets: list[socket.socket] = []
    for host in hosts:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            name = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0][4]
            listening = socket.create_server(
                name[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=host in ("::", "[::]")
            )
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from error
        listening.setblocking(False)
        sockets.append(listening)
        port = port or listening.getsockname()[1]
    return sockets
