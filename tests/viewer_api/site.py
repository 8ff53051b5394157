"""A web site on a real gateway, for tests: one process, a free port, a folder of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx
import uvloop

from pacs_gateway.access import Actor, Role
from pacs_gateway.config import compose, load_settings
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.gateway import Gateway, open_gateway
from viewer_api.app import create_app
from viewer_api.config import WebConfig
from viewer_api.server import WebServer

PASSWORD = "correct horse battery"
TESTER = Actor("tests")


@dataclass(frozen=True, slots=True)
class Site:
    """A running site."""

    url: str
    gateway: Gateway
    tokens: dict[str, str]
    """Bearer tokens by account: ``boss`` administers, ``reader`` reads LOCAL, ``stranger`` reads another facility."""

    def put(self, *files: bytes, facility: str = "LOCAL") -> None:
        """Store Part 10 files."""
        for file in files:
            reception = self.gateway.archive.ingest.receive_part10(Origin(Method.IMPORT, facility))
            reception.write(file)
            reception.finish(wait_for_index=True)

    def client(self, account: str = "boss") -> httpx.Client:
        """Return a client that acts as an account; with an empty name as nobody."""
        headers = {"Authorization": f"Bearer {self.tokens[account]}"} if account else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


@contextmanager
def open_site(
    folder: Path, *, auth: str = "on", node_secret: str = "", config: WebConfig | None = None
) -> Iterator[Site]:
    """Serve a fresh gateway on loopback."""
    flags = {"data_dir": str(folder / "data"), "auth": auth, "node_secret": node_secret}
    settings = load_settings(flags=flags, environment={}).settings
    composed = compose(settings)
    composed.data_dir.mkdir(parents=True)
    database = Database(composed.database)
    migrate(database)
    database.close()
    with open_gateway(composed) as gateway:
        tokens = {}
        for name, role, facility in (
            ("boss", Role.ADMINISTRATOR, "LOCAL"),
            ("reader", Role.READER, "LOCAL"),
            ("stranger", Role.READER, "ELSEWHERE"),
        ):
            gateway.access.accounts.create(name, role=role, facility=facility, by=TESTER, password=PASSWORD)
            tokens[name] = gateway.access.tokens.add(f"{name}-token", account_name=name, by=TESTER)
        with _serving(gateway, config or WebConfig()) as url:
            yield Site(url, gateway, tokens)


@contextmanager
def _serving(gateway: Gateway, config: WebConfig) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(create_app(config, gateway))
    thread = threading.Thread(target=lambda: uvloop.run(server.serve([listening])), name="site")
    thread.start()
    try:
        deadline = monotonic() + 20
        while not server.started and monotonic() < deadline:
            sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
