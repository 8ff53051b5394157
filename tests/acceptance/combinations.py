"""Where a gateway keeps what it knows and what it holds: every index with every object store, all of them real."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.object_servers import ObjectServer, minio, running, seaweedfs
from tests.support.postgresql import running_postgresql

_SERVERS: Mapping[str, Callable[[Path], ObjectServer]] = {"minio": minio, "seaweedfs": seaweedfs}


@dataclass(frozen=True, slots=True)
class Combination:
    """An index and an object store."""

    index: str = "sqlite"
    store: str = "disk"

    @property
    def name(self) -> str:
        return f"{self.index}-{self.store}"

    def marks(self) -> list[pytest.MarkDecorator]:
        """Return what pytest is to know: the peers it needs, and that one worker runs all of its tests."""
        peers = {self.index, self.store} - {"sqlite", "disk"}
        return [pytest.mark.xdist_group(self.name), *(pytest.mark.peer(peer) for peer in sorted(peers))]

    @contextmanager
    def settings(self, folder: Path) -> Iterator[dict[str, str]]:
        """Run the servers until the end of the block; give the settings of a gateway that uses them."""
        with _index_settings(self.index) as index, _store_settings(self.store, folder) as store:
            yield index | store


def every_combination() -> list[object]:
    """Return the combinations as parameters, each with the peers it needs."""
    combinations = [Combination(index, store) for index in ("sqlite", "postgresql") for store in ("disk", *_SERVERS)]
    return [pytest.param(one, id=one.name, marks=one.marks()) for one in combinations]


@contextmanager
def _index_settings(index: str) -> Iterator[dict[str, str]]:
    if index == "sqlite":
        yield {}
        return
    with running_postgresql() as server:
        yield {"PACS_DATABASE_URL": server.new_database(is_migrated=False)}


@contextmanager
def _store_settings(store: str, folder: Path) -> Iterator[dict[str, str]]:
    if store == "disk":
        yield {}
        return
    with running(_SERVERS[store](folder)) as server:
        yield server.settings()
