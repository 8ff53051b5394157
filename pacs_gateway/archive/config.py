"""Settings of the archive: frozen, made by whoever starts it."""

from dataclasses import dataclass, field

from pacs_gateway.archive.conflicts import ConflictPolicy
from pacs_gateway.archive.nodes import NodeConfig


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """How the archive decides, and which node it is."""

    conflict_policy: ConflictPolicy = ConflictPolicy.SAME_SOURCE
    is_object_first: bool = False
    """Whether a sender hears of Success only when the object store has the instance (``PACS_ACK=object``)."""
    node: NodeConfig = field(default_factory=NodeConfig)
