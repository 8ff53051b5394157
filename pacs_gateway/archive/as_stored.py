"""Kept instances on their way to another application entity: which, in which transfer syntaxes, as bytes."""

from collections.abc import Iterator, Mapping, Sequence

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.levels import Level


class AsStored:
    """Gives instances out as they are stored."""

    def __init__(self, retrieve: Retrieve) -> None:
        self._retrieve = retrieve

    def by_keys(self, scope: Scope, keys: Mapping[Level, Sequence[str]]) -> tuple[StoredInstance, ...]:
        """Return the current instances that have one of the unique keys of each level given."""
        return self._retrieve.by_keys(scope, keys)

    def forms(self, stored: StoredInstance) -> tuple[str, ...]:
        """Return the transfer syntaxes in which it can leave, the best first."""
        return (stored.transfer_syntax_uid,)

    def data_set(self, stored: StoredInstance, _transfer_syntax_uid: str) -> Iterator[bytes]:
        """Yield its data set in pieces."""
        return self._retrieve.stream(stored, stored.dataset_offset)
