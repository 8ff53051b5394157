"""The nodes of an installation: who they are, whether they live, and what they fetch from each other.

An instance that is not shipped yet is in one node's spool. Every node tells the index where it can be asked; readers
on the others fetch from there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, exists, func, select

from pacs_gateway.database.clock import SharedClock
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, node
from pacs_gateway.domain.clock import Clock
from pacs_gateway.errors import NotFoundError, RefusedError, UnavailableError
from pacs_gateway.index.upsert import insert
from pacs_gateway.storage.remote_spool import RemoteSpool
from pacs_gateway.storage.seal import SEAL_HEADER, TIME_HEADER, NodeRequest, is_sealed, is_timely
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import ObjectReader

__all__ = ["SEAL_HEADER", "TIME_HEADER", "NodeConfig", "NodeRequest", "NodeState", "Nodes"]

_SECOND = 1_000_000
_PORTS = {"http": 80, "https": 443}
# A node that has said nothing for a minute is taken for dead; one that owes nothing is forgotten after a day.
_SILENT_AFTER = 60 * _SECOND
_FORGOTTEN_AFTER = 24 * 3600 * _SECOND
_URL_KEPT_S = 5.0
_OWES = exists().where(instance.c.spool_node == node.c.id, instance.c.archived_at.is_(None))


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node is told about itself and the others."""

    url: str = ""
    """Where other nodes reach this one; empty where there are none."""
    secret: str = field(default="", repr=False)
    """What all nodes know and nobody else; empty: nothing is fetched, and nothing given."""

    @property
    def listens_at(self) -> tuple[str, int] | None:
        """Host and port on which a node without a web serves the others; None where there are none.

        Its name may stand for several of its addresses, or for none as long as it is not up: every one is listened
        on, unless only this machine is meant.
        """
        if not self.url:
            return None
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if host not in ("localhost", "127.0.0.1", "::1"):
            host = "::" if ":" in host else ""
        return host, parts.port or _PORTS[parts.scheme]


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node, and what it has not shipped."""

    id: str
    """Empty for instances of which no node is known."""
    url: str
    heartbeat_at: datetime | None
    is_alive: bool
    n_unshipped: int
    oldest_unshipped_at: datetime | None


class Nodes:
    """What one node says to, and asks of, the others; safe to use from many threads."""

    def __init__(
        self, database: Database, spool: Spool, config: NodeConfig, *, clock: Clock, shared_clock: SharedClock
    ) -> None:
        self.id = spool.node
        self._database = database
        self._spool = spool
        self._config = config
        self._clock = clock
        self._shared_clock = shared_clock
        self._remote = RemoteSpool(config.secret, clock=clock)
        self._lock = threading.Lock()
        self._urls: tuple[float, dict[str, str]] = (0.0, {})

    # This node

    def beat(self) -> None:
        """Say that this node lives and where it is; forget nodes that have been silent for a day and owe nothing."""

        def work(connection: Connection) -> None:
            now_at = self._shared_clock(connection)
            values = {"url": self._config.url, "heartbeat_at": now_at}
            statement = insert(connection, node).values(id=self.id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[node.c.id], set_=values))
            long_silent = node.c.heartbeat_at < now_at - _FORGOTTEN_AFTER
            connection.execute(delete(node).where(long_silent, ~_OWES))

        self._database.transact(work)

    def leave(self) -> None:
        """Say that this node ends in order: nobody misses it, unless it has not shipped everything."""
        statement = delete(node).where(node.c.id == self.id, ~_OWES)
        self._database.transact(lambda connection: connection.execute(statement))

    def admit(self, request: NodeRequest, given: str) -> None:
        """Let a request of another node in.

        Raises
        ------
        RefusedError
            It is not sealed with the installation's secret, or sealed at another time.
        """
        if not self._config.secret:
            raise RefusedError("nodes are not served here: PACS_NODE_SECRET is not set")
        if not is_sealed(self._config.secret, request, given):
            raise RefusedError("the request is not sealed with this installation's secret")
        if not is_timely(request, now_s=self._clock().timestamp()):
            raise RefusedError("the request was sealed at another time: compare the clocks of the nodes")

    @contextmanager
    def open_here(self, entry: str) -> Iterator[ObjectReader]:
        """Open an entry of this node's spool for another node.

        Raises
        ------
        NotFoundError
            It is archived by now, or was never here.
        UnavailableError
            It should be here and cannot be read.
        """
        try:
            opened = self._spool.open(entry)
            reader = opened.__enter__()
        except NotFoundError as error:
            if self._is_missed(entry):
                raise UnavailableError("the entry should be in the spool and is not") from error
            raise
        try:
            yield reader
        finally:
            opened.__exit__(None, None, None)

    def _is_missed(self, entry: str) -> bool:
        """Return whether an instance still waits here under the name `entry`."""
        mine = (instance.c.archived_at.is_(None), instance.c.spool_node == self.id, instance.c.spool_entry == entry)
        with self._database.read() as connection:
            return connection.execute(select(instance.c.id).where(*mine).limit(1)).first() is not None

    # The others

    @contextmanager
    def open_there(self, node_id: str, entry: str) -> Iterator[ObjectReader]:
        """Open an entry of another node's spool.

        Raises
        ------
        NotFoundError
            It is archived by now, or was never there.
        UnavailableError
            The node cannot be asked now.
        """
        with self._remote.open(self._url_of(node_id), entry) as reader:
            yield reader

    def list(self) -> tuple[NodeState, ...]:
        """Return all nodes with what each has not shipped, and what waits without one."""
        with self._database.read() as connection:
            rows = connection.execute(select(node).order_by(node.c.id)).mappings().all()
            waiting = _waiting(connection)
            now_at = self._shared_clock(connection)
        known = {str(row["id"]): row for row in rows}
        states = []
        for node_id in sorted(known.keys() | waiting.keys()):
            row = known.get(node_id)
            n_unshipped, oldest = waiting.get(node_id, (0, None))
            if row is None:
                states.append(NodeState(node_id, "", None, False, n_unshipped, oldest))
                continue
            is_alive = now_at - row["heartbeat_at"] <= _SILENT_AFTER
            states.append(NodeState(node_id, row["url"], _time(row["heartbeat_at"]), is_alive, n_unshipped, oldest))
        return tuple(states)

    def are_alive(self) -> bool:
        """Return whether every node that is known has been heard of lately; cheap."""
        with self._database.read() as connection:
            oldest = self._shared_clock(connection) - _SILENT_AFTER
            return connection.execute(select(node.c.id).where(node.c.heartbeat_at < oldest).limit(1)).first() is None

    def silent(self) -> frozenset[str]:
        """Return the other nodes that have not been heard of lately: what they have not shipped nobody can read."""
        with self._database.read() as connection:
            oldest = self._shared_clock(connection) - _SILENT_AFTER
            found = select(node.c.id).where(node.c.heartbeat_at < oldest, node.c.id != self.id)
            return frozenset(connection.execute(found).scalars())

    def _url_of(self, node_id: str) -> str:
        """Return where a node is; asked for anew every few seconds, and for every node that is not known."""
        with self._lock:
            read_at, urls = self._urls
        if node_id not in urls or monotonic() - read_at > _URL_KEPT_S:
            with self._database.read() as connection:
                urls = {row.id: row.url for row in connection.execute(select(node))}
            with self._lock:
                self._urls = monotonic(), urls
        return urls.get(node_id, "")


def _waiting(connection: Connection) -> dict[str, tuple[int, datetime | None]]:
    """Return by node how many instances wait, and when the oldest came."""
    statement = (
        select(func.coalesce(instance.c.spool_node, ""), func.count(), func.min(instance.c.received_at))
        .where(instance.c.archived_at.is_(None))
        .group_by(instance.c.spool_node)
    )
    return {node_id: (n, _time(oldest)) for node_id, n, oldest in connection.execute(statement)}


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / _SECOND, UTC)
