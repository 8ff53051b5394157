"""The C-STORE sub-operations of a retrieval: counted one by one, and what the requester is told about them.

References
----------
PS3.4 C.4.2.1.4.2, C.4.2.1.5 to C.4.2.1.9 (C-MOVE) and C.4.3.1.3 to C.4.3.1.7 (C-GET)
"""

from dataclasses import dataclass, field
from enum import IntEnum

from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.data_set import DataSetEncoder

MOST_SUBOPERATIONS = 0xFFFF
"""Their counts are unsigned shorts (PS3.7 E.1)."""
_MOST_SHORT_BYTES = 0xFFFE
_FAILED_SOP_INSTANCE_UID_LIST = 0x00080058
# PS3.7 C.3 and PS3.4 B.2.3: what was stored, with a reservation.
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_WARNING_CLASS = 0xB


class RetrieveStatus(IntEnum):
    """Statuses of the responses to C-MOVE and C-GET that the gateway gives (PS3.4 Tables C.4-2 and C.4-3)."""

    COMPLETE = 0x0000
    NOT_AUTHORISED = 0x0124
    MATCHES_UNKNOWN = 0xA701
    """Out of resources, unable to calculate the number of matches: the index is away, or they are too many."""
    ALL_FAILED = 0xA702
    DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_MISMATCH = 0xA900
    SOME_FAILED = 0xB000
    UNABLE_TO_PROCESS = 0xC000
    CANCELLED = 0xFE00
    PENDING = 0xFF00


@dataclass(slots=True)
class SubOperations:
    """How far a retrieval of `n_total` instances has come; used by one thread."""

    n_total: int
    n_completed: int = 0
    n_warned: int = 0
    failed_uids: list[str] = field(default_factory=list)
    """SOP instance UIDs of the sub-operations that failed, in their order."""

    @property
    def n_failed(self) -> int:
        """Sub-operations that failed."""
        return len(self.failed_uids)

    @property
    def n_remaining(self) -> int:
        """Sub-operations that have not been tried."""
        return self.n_total - self.n_completed - self.n_warned - self.n_failed

    def count(self, sop_instance_uid: str, status: int) -> None:
        """Count a sub-operation that was answered with the C-STORE status `status`."""
        if status == 0:
            self.n_completed += 1
        elif status in _WARNINGS or status >> 12 == _WARNING_CLASS:
            self.n_warned += 1
        else:
            self.failed_uids.append(sop_instance_uid)

    def final_status(self) -> RetrieveStatus:
        """Return the status of the last response when nothing remains."""
        if self.n_failed and self.n_failed == self.n_total:
            return RetrieveStatus.ALL_FAILED
        return RetrieveStatus.SOME_FAILED if self.n_failed or self.n_warned else RetrieveStatus.COMPLETE

    def elements(self, status: RetrieveStatus) -> dict[Field, int | str]:
        """Return the elements of a response with `status`: how many remain is said until the end, and on a cancel."""
        counts: dict[Field, int | str] = {
            Field.STATUS: status,
            Field.COMPLETED_SUBOPERATIONS: self.n_completed,
            Field.FAILED_SUBOPERATIONS: self.n_failed,
            Field.WARNING_SUBOPERATIONS: self.n_warned,
        }
        if status in (RetrieveStatus.PENDING, RetrieveStatus.CANCELLED):
            counts[Field.REMAINING_SUBOPERATIONS] = self.n_remaining
        return counts

    def failed_list(self, transfer_syntax_uid: str) -> bytes:
        """Return the identifier of the last response: what failed, or nothing where nothing did (PS3.4 C.4.2.1.4.2)."""
        if not self.failed_uids:
            return b""
        value = "\\".join(self.failed_uids).encode("ascii")
        value += b"\0" * (len(value) % 2)
        # In explicit VR a UI has a length of 16 bits; what is longer travels as UN (PS3.5 6.2.2).
        vr = "UI" if len(value) <= _MOST_SHORT_BYTES else "UN"
        return DataSetEncoder(transfer_syntax_uid).element(_FAILED_SOP_INSTANCE_UID_LIST, vr, value)
