"""A gateway with objects in it and its DICOM services, a client that notes every response, and destinations."""

import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE, SOPClassExtendedNegotiation
from pynetdicom.presentation import build_context, build_role

from pacs_gateway.access.audit import Actor
from pacs_gateway.access.device import ALL_RIGHTS, NewDevice
from pacs_gateway.access.networks import Networks
from pacs_gateway.dimse.negotiation import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.gateway import Gateway
from pacs_gateway.roles.dicom import dicom_services
from tests.support.builders import Identity, image, uid
from tests.support.gateways import open_test_gateway, put

CLIENT = "WORKSTATION"
DESTINATION = "TARGET"
COUNTS = (
    "NumberOfRemainingSuboperations",
    "NumberOfCompletedSuboperations",
    "NumberOfFailedSuboperations",
    "NumberOfWarningSuboperations",
)
_BY = Actor("tests")


@dataclass(frozen=True)
class Served:
    """A gateway and its DICOM port."""

    gateway: Gateway
    port: int
    server: DicomServer

    def register(self, ae_title: str, port: int | None = None, **facts: object) -> None:
        """Let a device in from anywhere; with a port it is called at it."""
        host = "127.0.0.1" if port else ""
        known = {"facility": "LOCAL", "rights": ALL_RIGHTS, "networks": Networks(is_any=True), **facts}
        self.gateway.access.devices.add(NewDevice(ae_title, host=host, port=port, **known), by=_BY)  # type: ignore[arg-type]


@contextmanager
def served_gateway(folder: Path, *, ae_title: str = "PACSGW") -> Iterator[Served]:
    """Serve a gateway of the test's own, which knows the client."""
    with (
        open_test_gateway(folder, ae_title=ae_title) as gateway,
        socket.create_server(("127.0.0.1", 0), backlog=64) as listener,
    ):
        server = DicomServer(
            gateway.config.dimse,
            gateway.archive.ingest,
            gateway.access.devices,
            [listener],
            dicom_services(gateway),
        )
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            served = Served(gateway, listener.getsockname()[1], server)
            served.register(CLIENT)
            yield served
        finally:
            server.stop(grace_s=1)
            thread.join(20)
        assert not thread.is_alive()


def put_study(gateway: Gateway, n_images: int = 5, *, study: int = 1, n_series: int = 1) -> list[str]:
    """Store a study of CT images; return their UIDs as they are sent."""
    for series in range(1, n_series + 1):
        for instance in range(1, n_images + 1):
            put(gateway, image(Identity(study=study, series=series, instance=instance)))
    return [uid(study, series, n) for series in range(1, n_series + 1) for n in range(1, n_images + 1)]


@dataclass
class Response:
    """One response to a retrieval."""

    status: int
    counts: tuple[int | None, ...]
    """Remaining, completed, failed, warnings; None where it is not said."""
    failed_uids: list[str] = field(default_factory=list)
    comment: str = ""


@dataclass
class Received:
    """One object that somebody was sent."""

    sop_uid: str
    transfer_syntax: str
    data: bytes
    message_id: int
    priority: int
    originator: tuple[str | None, int | None]


@dataclass
class Storage:
    """Takes what it is sent, and answers as it is told."""

    received: list[Received] = field(default_factory=list)
    answer: Callable[[str], int] = lambda _uid: 0
    """Status by SOP instance UID."""
    aborts_at: Collection[str] = ()
    """Ends the association instead of answering for one of these."""
    titles: list[tuple[str, str]] = field(default_factory=list)
    """Of every association: calling and called."""

    @property
    def uids(self) -> list[str]:
        return [one.sop_uid for one in self.received]

    @property
    def handlers(self) -> list[EventHandlerType]:
        return [(evt.EVT_C_STORE, self._store), (evt.EVT_REQUESTED, self._requested)]

    def _requested(self, event: Event) -> None:
        request = event.assoc.requestor.primitive
        assert isinstance(request, A_ASSOCIATE)
        self.titles.append((str(request.calling_ae_title), str(request.called_ae_title)))

    def _store(self, event: Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        assert request.DataSet is not None
        sop_uid = str(request.AffectedSOPInstanceUID)
        originator = request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID
        self.received.append(
            Received(
                sop_uid,
                str(event.context.transfer_syntax),
                request.DataSet.getvalue(),
                request.MessageID or 0,
                request.Priority or 0,
                originator,
            )
        )
        if sop_uid in self.aborts_at:
            event.assoc.abort()
        return self.answer(sop_uid)


@contextmanager
def destination(
    storage: Storage, *, contexts: Mapping[str, Sequence[str]] | None = None, ae_title: str = DESTINATION
) -> Iterator[int]:
    """Run pynetdicom's storage SCP; yield its port."""
    ae = AE(ae_title)
    for abstract, syntaxes in (contexts or {CTImageStorage: [ExplicitVRLittleEndian]}).items():
        ae.add_supported_context(abstract, list(syntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=storage.handlers)
    assert server is not None
    assert server.socket is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def identifier(**keys: str | list[str]) -> Dataset:
    """Return an identifier; the level is that of the lowest unique key given unless it is."""
    levels = {
        "PatientID": "PATIENT",
        "StudyInstanceUID": "STUDY",
        "SeriesInstanceUID": "SERIES",
        "SOPInstanceUID": "IMAGE",
    }
    ds = Dataset()
    ds.QueryRetrieveLevel = [level for keyword, level in levels.items() if keyword in keys][-1]
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


@contextmanager
def associated(
    served: Served,
    model: str,
    *,
    storage: Storage | None = None,
    contexts: Collection[tuple[str, str]] = ((CTImageStorage, ExplicitVRLittleEndian),),
    is_relational: bool = False,
    calling: str = CLIENT,
    called: str = "PACSGW",
) -> Iterator[Association]:
    """Associate as a client for one model; with `storage` it takes objects under `contexts`."""
    ae = AE(calling)
    proposed = [build_context(model, ExplicitVRLittleEndian)]
    negotiation: list[object] = []
    if storage is not None:
        proposed += [build_context(*context) for context in contexts]
        negotiation += [build_role(abstract, scp_role=True) for abstract in {abstract for abstract, _ in contexts}]
    if is_relational:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = UID(model)
        item.service_class_application_information = b"\1"
        negotiation.append(item)
    assoc = ae.associate(
        "127.0.0.1",
        served.port,
        contexts=proposed,
        ae_title=called,
        ext_neg=negotiation,  # type: ignore[arg-type]
        evt_handlers=storage.handlers[:1] if storage else [],
    )
    assert assoc.is_established
    try:
        yield assoc
    finally:
        assoc.release()


def responses(answers: Iterator[tuple[Dataset, Dataset | None]]) -> Iterator[Response]:
    """Yield what pynetdicom makes of the responses to a retrieval."""
    for status, ds in answers:
        assert "Status" in status, "no response"
        counts = tuple(status.get(name) for name in COUNTS)
        failed = ds.FailedSOPInstanceUIDList if ds is not None and ds else []
        uids = [failed] if isinstance(failed, str) else list(failed)
        yield Response(status.Status, counts, [str(one) for one in uids], status.get("ErrorComment", ""))


def move(
    served: Served,
    wanted: Dataset,
    *,
    to: str = DESTINATION,
    model: str = STUDY_ROOT_MOVE,
    priority: int = 0,
    cancel_after: int = 0,
    **options: object,
) -> list[Response]:
    """Ask for a C-MOVE, cancel it after so many responses, and return them all."""
    with associated(served, model, **options) as assoc:  # type: ignore[arg-type]
        answers = assoc.send_c_move(wanted, to, model, msg_id=7, priority=priority)
        return _all(assoc, responses(answers), model, cancel_after)


def get(
    served: Served,
    wanted: Dataset,
    storage: Storage,
    *,
    model: str = STUDY_ROOT_GET,
    priority: int = 0,
    cancel_after: int = 0,
    **options: object,
) -> list[Response]:
    """Ask for a C-GET, cancel it after so many responses, and return them all."""
    with associated(served, model, storage=storage, **options) as assoc:  # type: ignore[arg-type]
        answers = assoc.send_c_get(wanted, model, msg_id=7, priority=priority)
        return _all(assoc, responses(answers), model, cancel_after)


def _all(assoc: Association, answers: Iterator[Response], model: str, cancel_after: int) -> list[Response]:
    seen = []
    for answer in answers:
        seen.append(answer)
        if len(seen) == cancel_after:
            assoc.send_c_cancel(7, query_model=UID(model))
    return seen
