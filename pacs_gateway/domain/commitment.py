"""Storage commitment in values: which instances, and what became of each (PS3.4 Annex J)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class FailureReason(IntEnum):
    """Why an instance is not committed to (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119


COMMITTED = 0
"""The outcome of an instance that is committed to, where a failure reason would stand."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance, named as PS3.3 Table 10-11 does."""

    sop_class_uid: str
    sop_uid: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One instance that is not committed to."""

    reference: Reference
    reason: int
    """Mostly a `FailureReason`; other archives know more of them."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """A request to take over the responsibility for instances (PS3.4 J.3.2)."""

    transaction_uid: str
    references: Sequence[Reference]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """The answer to a request (PS3.4 J.3.3)."""

    transaction_uid: str
    committed: Sequence[Reference]
    failed: Sequence[Failure]
