"""pynetdicom's own service classes, unchanged, over its stock transport and over ours: the same outcome."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import build_context
from pynetdicom.transport import AddressInformation

from pacs_gateway.dimse.acceptor import AcceptedAssociation, Shared
from pacs_gateway.dimse.admission import Admission
from pacs_gateway.dimse.association import GatewayAssociation
from pacs_gateway.dimse.listener import Connection, Door, Listeners
from pacs_gateway.dimse.negotiation import MESSAGE_SYNTAXES, SERVICES, ContextTable, Offer
from pacs_gateway.dimse.places import Places
from pacs_gateway.dimse.transport import GatewaySocket
from pacs_gateway.dimse.wire import StopSignal
from tests.pacs_gateway.dimse.conftest import CONFIG, wait_until
from tests.pacs_gateway.dimse.doubles import MemoryDevices, MemoryIngest
from tests.pacs_gateway.dimse.test_peers import make_ct
from tests.support.scripted_peer import CT_IMAGE

ECHO = UID("1.2.840.10008.1.1")
STORE = UID(CT_IMAGE)
FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
GET = UID("1.2.840.10008.5.1.4.1.2.2.3")
COMMITMENT = UID("1.2.840.10008.1.20.1")
N_STORED = 30

TABLE = ContextTable(
    MappingProxyType(
        {
            **SERVICES.services,
            str(FIND): Offer(MESSAGE_SYNTAXES, "find"),
            str(GET): Offer(MESSAGE_SYNTAXES, "get"),
            str(COMMITMENT): Offer(MESSAGE_SYNTAXES, "commit"),
        }
    )
)


class Scp:
    """Handlers of a small archive, the same for both transports."""

    def __init__(self) -> None:
        self.n_yielded = 0
        self.actions: list[str] = []
        self.reports: list[int | None] = []
        self.handlers: tuple[EventHandlerType, ...] = (
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_GET, self.get),
            (evt.EVT_N_ACTION, self.act),
            (evt.EVT_N_EVENT_REPORT, self.report),
        )

    def find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted = event.identifier.get("PatientID", "")
        for number in count() if wanted == "ENDLESS" else range(5):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            self.n_yielded += 1
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.PatientID = "STUDY", f"P{number}"
            yield 0xFF00, answer

    def get(self, event: Event) -> Iterator[int | tuple[int, Dataset]]:
        yield N_STORED
        for number in range(N_STORED):
            yield 0xFF00, make_ct(number)

    def act(self, event: Event) -> tuple[int, Dataset | None]:
        self.actions.append(event.action_information.TransactionUID)
        return 0, None

    def report(self, event: Event) -> tuple[int, Dataset | None]:
        self.reports.append(event.event_type)
        return 0, None


@contextmanager
def stock(scp: Scp) -> Iterator[int]:
    ae = AE("PACSGW")
    for uid in TABLE.services:
        ae.add_supported_context(uid)
    ae.add_supported_context(STORE, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(scp.handlers))
    assert server is not None
    assert server.socket is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


@contextmanager
def ours(scp: Scp) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = StopSignal()
        shared = Shared(
            config=CONFIG,
            ae=AE("PACSGW"),
            admission=Admission(CONFIG.ae_titles, MemoryDevices(), Places(4)),
            ingest=MemoryIngest(),
            table=TABLE,
            stop=stop,
            services={},
        )
        accepted: list[AcceptedAssociation] = []

        def enter(connection: Connection) -> None:
            association = AcceptedAssociation(shared, connection, lambda _: door.leave())
            for handler in scp.handlers:
                association.bind(*handler)
            accepted.append(association)
            association.start()

        door = Door(CONFIG, Listeners([listener]), stop, enter, MemoryDevices().record_refusal)
        thread = threading.Thread(target=door.run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join(10)
            for association in accepted:
                association.join(10)
                assert not association.is_alive()
            stop.close()


@pytest.fixture(params=[stock, ours])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Scp, int]]:
    scp = Scp()
    with request.param(scp) as port:
        yield scp, port


Associate = Callable[[int, list[UID]], Association]


def associate_stock(port: int, uids: list[UID]) -> Association:
    ae = AE("STOCK")
    ae.requested_contexts = [build_context(uid) for uid in uids]
    return ae.associate("127.0.0.1", port, ae_title="PACSGW")


def associate_ours(port: int, uids: list[UID]) -> Association:
    """Do what `AE.associate` does, with the association and the socket in our transport."""
    ae = AE("OURS")
    assoc = GatewayAssociation(ae, "requestor", CONFIG)
    assoc.set_socket(GatewaySocket(assoc, address=AddressInformation("127.0.0.1", 0)))
    assoc.acceptor.ae_title, assoc.requestor.ae_title = "PACSGW", ae.ae_title
    assoc.acceptor.address_info = AddressInformation("127.0.0.1", port)
    assoc.requestor.address_info = AddressInformation("127.0.0.1", 0)
    assoc.requestor.maximum_length = CONFIG.max_pdu
    assoc.requestor.implementation_class_uid = ae.implementation_class_uid
    contexts = [build_context(uid) for uid in uids]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    assoc.requestor.requested_contexts = contexts
    assoc.request()
    return assoc


@pytest.fixture(params=[associate_stock, associate_ours])
def associate(request: pytest.FixtureRequest) -> Iterator[Associate]:
    with ExitStack() as ends:

        def connect(port: int, uids: list[UID]) -> Association:
            assoc: Association = request.param(port, uids)
            assert assoc.is_established
            ends.callback(assoc.abort)
            return assoc

        yield connect


def test_echo(served: tuple[Scp, int], associate: Associate) -> None:
    assoc = associate(served[1], [ECHO])

    assert [assoc.send_c_echo().Status for _ in range(3)] == [0, 0, 0]
    assoc.release()
    assert assoc.is_released


def test_find(served: tuple[Scp, int], associate: Associate) -> None:
    assoc = associate(served[1], [FIND])
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", ""

    answers = list(assoc.send_c_find(query, FIND))

    assert [status.Status for status, _ in answers] == [0xFF00] * 5 + [0]
    assert [ds.PatientID for _, ds in answers[:-1] if ds] == [f"P{n}" for n in range(5)]


def test_find_until_cancelled(served: tuple[Scp, int], associate: Associate) -> None:
    assoc = associate(served[1], [FIND])
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", "ENDLESS"

    statuses = []
    for status, _ in assoc.send_c_find(query, FIND, msg_id=7):
        statuses.append(status.Status)
        if len(statuses) == 3:
            assoc.send_c_cancel(7, query_model=FIND)

    assert statuses[-1] == 0xFE00
    assert set(statuses[:-1]) == {0xFF00}


def test_an_aborted_find_ends_its_handler(served: tuple[Scp, int], associate: Associate) -> None:
    assoc = associate(served[1], [FIND])
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", "ENDLESS"
    next(assoc.send_c_find(query, FIND))
    assoc.abort()

    def has_stopped() -> bool:
        before = served[0].n_yielded
        threading.Event().wait(0.05)
        return served[0].n_yielded == before

    wait_until(has_stopped)


def test_action_and_event_report(served: tuple[Scp, int], associate: Associate) -> None:
    assoc = associate(served[1], [COMMITMENT])
    information = Dataset()
    information.TransactionUID = generate_uid()
    instance = UID("1.2.840.10008.1.20.1.1")

    assert assoc.send_n_action(information, 1, COMMITMENT, instance)[0].Status == 0
    assert assoc.send_n_event_report(information, 1, COMMITMENT, instance)[0].Status == 0
    assert served[0].actions == [information.TransactionUID]
    assert served[0].reports == [1]


@pytest.mark.peer("dcmtk")
def test_findscu_cancels(served: tuple[Scp, int]) -> None:
    result = subprocess.run(
        ["findscu", "-S", "-aec", "PACSGW", "--cancel", "3", "-k", "QueryRetrieveLevel=STUDY", "-k",
         "PatientID=ENDLESS", "127.0.0.1", str(served[1])],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr


@pytest.mark.peer("dcmtk")
def test_getscu_gets_every_object(served: tuple[Scp, int], tmp_path: Path) -> None:
    result = subprocess.run(
        ["getscu", "-S", "-aec", "PACSGW", "-od", str(tmp_path), "-k", "QueryRetrieveLevel=STUDY", "-k",
         "StudyInstanceUID=1.2", "127.0.0.1", str(served[1])],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.iterdir())) == N_STORED


def test_store_as_user(served: tuple[Scp, int], associate: Associate) -> None:
    # The stock side has no storage handler: what counts is that both understand each other's messages.
    assoc = associate(served[1], [STORE])
    ds = make_ct(side=512)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian

    assert assoc.send_c_store(ds).Status in (0x0000, 0xC211)
