"""Stand-ins for the archive and the device register, behind the ports the DICOM services consume."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO

from pydicom.filereader import read_dataset
from pydicom.uid import UID

from pacs_gateway.access.certificates import Certificate
from pacs_gateway.domain.instance import Origin
from pacs_gateway.domain.uids import check_uid
from pacs_gateway.errors import CapacityError, GatewayError, MismatchError

ALL_RIGHTS = frozenset({"echo", "store", "find", "move", "get", "commit", "worklist"})


@dataclass(frozen=True)
class Received:
    """One object that was published."""

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    origin: Origin
    data: bytes


class MemoryReception:
    def __init__(self, ingest: "MemoryIngest", announced: Received) -> None:
        self._ingest = ingest
        self._announced = announced
        self._data = bytearray()
        self.is_discarded = False

    def write(self, data: bytes | memoryview) -> None:
        self._ingest.raise_if_told("write")
        self._data += data

    def finish(self) -> object:
        self._ingest.raise_if_told("finish")
        announced = self._announced
        if self._ingest.checks_uids:
            uid = UID(announced.transfer_syntax_uid)
            ds = read_dataset(BytesIO(self._data), uid.is_implicit_VR, uid.is_little_endian, stop_when=_after_uids)
            if ds.SOPInstanceUID != announced.sop_instance_uid:
                raise MismatchError("data set is another instance")
        self._ingest.publish(
            Received(
                announced.transfer_syntax_uid,
                announced.sop_class_uid,
                announced.sop_instance_uid,
                announced.origin,
                bytes(self._data),
            )
        )
        return None

    def discard(self) -> None:
        if not self.is_discarded:
            self.is_discarded = True
            self._ingest.note_discard()


def _after_uids(tag: int, vr: str | None, length: int) -> bool:
    return tag > 0x00080018


@dataclass
class MemoryIngest:
    """Keeps what it receives; fails where it is told to."""

    has_room: bool = True
    checks_uids: bool = False
    failures: dict[str, BaseException] = field(default_factory=dict)
    """Raised by ``receive``, ``write`` or ``finish``."""
    before_finish: Callable[[], None] = lambda: None
    published: list[Received] = field(default_factory=list)
    n_begun: int = 0
    n_discarded: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(
        self, *, transfer_syntax_uid: str, origin: Origin, sop_class_uid: str, sop_instance_uid: str
    ) -> MemoryReception:
        check_uid(sop_class_uid, "AffectedSOPClassUID")
        check_uid(sop_instance_uid, "AffectedSOPInstanceUID")
        if not self.has_room:
            raise CapacityError("below the low-water mark")
        self.raise_if_told("receive")
        with self.lock:
            self.n_begun += 1
        return MemoryReception(self, Received(transfer_syntax_uid, sop_class_uid, sop_instance_uid, origin, b""))

    def accepts_storage(self) -> bool:
        return self.has_room

    def raise_if_told(self, step: str) -> None:
        if step == "finish":
            self.before_finish()
        if step in self.failures:
            raise self.failures[step]

    def publish(self, received: Received) -> None:
        with self.lock:
            self.published.append(received)

    def note_discard(self) -> None:
        with self.lock:
            self.n_discarded += 1


@dataclass(frozen=True)
class DeviceEntry:
    ae_title: str
    facility: str = "LOCAL"
    rights: frozenset[str] = ALL_RIGHTS
    transfer_syntaxes: tuple[str, ...] = ()
    charset: str = ""
    issuer: str = ""
    max_matches: int = 500
    answers_ascii: bool = False
    ignores_case: bool = False
    takes_private_classes: bool = True
    idle_s: float = 900.0


@dataclass
class MemoryDevices:
    """Accepts every caller, or only those listed."""

    known: dict[str, DeviceEntry] | None = None
    idle_s: float = 900.0
    """Of every caller, where none is listed."""
    failure: GatewayError | None = None
    rejections: list[dict[str, str]] = field(default_factory=list)

    def identify(
        self, *, calling: str, called: str, address: str, certificate: Certificate | None
    ) -> DeviceEntry | None:
        if self.failure is not None:
            raise self.failure
        if self.known is None:
            return DeviceEntry(calling, idle_s=self.idle_s)
        return self.known.get(calling)

    def record_rejection(
        self, *, calling: str, called: str, address: str, reason: str, certificate: Certificate | None
    ) -> None:
        self.rejections.append({"calling": calling, "called": called, "address": address, "reason": reason})

    def record_refusal(self, address: str, reason: str) -> None:
        self.rejections.append({"calling": "", "called": "", "address": address, "reason": reason})
