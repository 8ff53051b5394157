"""A proxy in front of PostgreSQL that cuts the line when the answer to a COMMIT is on its way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65536


class CuttingProxy:
    """Forwards connections; swallows the answers to the first `n_cuts` commits and closes their lines."""

    def __init__(self, port: int, *, n_cuts: int) -> None:
        self._target = port
        self.n_cuts = n_cuts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                committing = threading.Event()
                threading.Thread(target=self._to_server, args=(client, server, committing), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client, committing), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(_CHUNK):
                if b"COMMIT\0" in data:
                    committing.set()
                server.sendall(data)

    def _to_client(self, server: socket.socket, client: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError), client, server:
            while data := server.recv(_CHUNK):
                if committing.is_set() and self.n_cuts:
                    self.n_cuts -= 1  # done by now, but nobody is told
                    client.shutdown(socket.SHUT_RDWR)
                    return
                committing.clear()
                client.sendall(data)


@contextmanager
def cutting_proxy(port: int, *, n_cuts: int) -> Iterator[CuttingProxy]:
    """Run a proxy in front of `port` until the end of the block."""
    proxy = CuttingProxy(port, n_cuts=n_cuts)
    try:
        yield proxy
    finally:
        proxy.close()
