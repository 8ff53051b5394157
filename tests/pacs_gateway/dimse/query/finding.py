"""A C-FIND provider over an index of a few rows, and the clients that ask it."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu_primitives import _UI, SOPClassExtendedNegotiation

from pacs_gateway.dimse.negotiation import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND
from pacs_gateway.dimse.query.find import FindService, Searching
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.dimse.service import Services
from tests.pacs_gateway.dimse.conftest import CONFIG
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
PENDING, PENDING_WITHOUT, CANCELLED = 0xFF00, 0xFF01, 0xFE00


@dataclass(frozen=True)
class FindServer:
    """A provider on a loopback port."""

    port: int
    devices: MemoryDevices


@contextmanager
def find_server(search: Searching) -> Iterator[FindServer]:
    """Serve C-FIND by `search` to every caller, or to those the register is given."""
    devices = MemoryDevices()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        services: Services = {C_FIND: FindService(search)}
        server = DicomServer(CONFIG, MemoryIngest(), devices, [listener], services)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield FindServer(listener.getsockname()[1], devices)
        finally:
            server.stop(grace_s=0)
            thread.join(10)
            assert not thread.is_alive()


@dataclass(frozen=True)
class Asker:
    """A device that asks through pynetdicom."""

    port: int
    ae_title: str = "ASKER"
    model: str = STUDY_ROOT_FIND
    syntax: str = ExplicitVRLittleEndian
    extended: bytes = b""
    """Service class application information to propose."""

    @contextmanager
    def associated(self) -> Iterator[Association]:
        ae = AE(self.ae_title)
        ae.add_requested_context(self.model, self.syntax)
        items: list[_UI] = []
        if self.extended:
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid, item.service_class_application_information = self.model, self.extended
            items.append(item)
        association = ae.associate("127.0.0.1", self.port, ae_title="PACSGW", ext_neg=items)
        assert association.is_established
        try:
            yield association
        finally:
            association.release()

    def ask(self, level: str, **keys: object) -> "Answers":
        """Ask, with keys by keyword; dotted ones are not known here."""
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        return self.ask_with(identifier)

    def ask_with(self, identifier: Dataset) -> "Answers":
        """Ask with an identifier of one's own making."""
        with self.associated() as association:
            responses = list(association.send_c_find(identifier, self.model))
        return Answers(
            [status.Status for status, _ in responses],
            [answer for _, answer in responses if answer is not None],
            responses[-1][0],
        )


@dataclass(frozen=True)
class Answers:
    """Everything that came back."""

    statuses: Sequence[int]
    data_sets: Sequence[Dataset]
    final: Dataset
    """The last response's status, comment and offending elements."""

    def all(self, keyword: str) -> list[str]:
        """Return an attribute of every answer as text."""
        return [str(ds[keyword].value) for ds in self.data_sets]


def findscu(folder: Path, port: int, *arguments: str, keys: Mapping[str, str]) -> list[Dataset]:
    """Ask with DCMTK and return the answers it extracts."""
    folder.mkdir(exist_ok=True)
    command = ["findscu", "-aet", "DCMTK", "-aec", "PACSGW", "-X", "-od", str(folder), *arguments]
    for name, value in keys.items():
        command += ["-k", f"{name}={value}" if value else name]
    done = subprocess.run([*command, "127.0.0.1", str(port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


def encoded(identifier: Dataset, syntax: str) -> bytes:
    """Return an identifier as bytes."""
    file = BytesIO()
    is_implicit, is_little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    dcmwrite(file, identifier, implicit_vr=is_implicit, little_endian=is_little)
    return file.getvalue()


MODEL_OPTIONS = {PATIENT_ROOT_FIND: "-P", STUDY_ROOT_FIND: "-S", PATIENT_STUDY_ONLY_FIND: "-O"}
"""How findscu is told the information model."""
