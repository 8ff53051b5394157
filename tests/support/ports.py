"""Free ports for servers that a test starts and that cannot choose their own."""

import random
import socket
from contextlib import suppress

# Below the range from which the kernel takes the ports of outgoing connections (ip_local_port_range): between the
# look and the server's start no client of another test can take one.
_FIRST, _LAST = 15_000, 32_000


def free_port() -> int:
    """Return a TCP port that nobody on loopback uses now."""
    while True:
        port = random.randint(_FIRST, _LAST)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
