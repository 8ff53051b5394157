"""A device sees and fetches what is of its own facility; of another's not even that it exists (promises B3)."""

from collections.abc import Iterator

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from pacs_gateway.dimse.negotiation import PATIENT_ROOT_FIND, STUDY_ROOT_FIND, STUDY_ROOT_MOVE
from tests.acceptance.dimse.conftest import UNKNOWN_DESTINATION
from tests.support import dicomweb
from tests.support.builders import Identity, encode, image
from tests.support.clients import stock
from tests.support.clients.client import CALLING, SUCCESS
from tests.support.raw_caller import RawCaller, Response
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import element
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dimse-facilities")

_FIND, _MOVE = 0x20, 0x21
_DEADLINE_S = 30.0
_OF_ANOTHER = Identity(study=801, patient_id="B1")
_OF_ONE = Identity(study=802, patient_id="A1")


@pytest.fixture(scope="module")
def inbox(gateway: RunningGateway) -> Iterator[stock.Inbox]:
    """What comes to the destination of facility A; the device that asks for all of it is of A as well."""
    with stock.destination("DEST_A", CTImageStorage, [ImplicitVRLittleEndian]) as (port, inbox):
        gateway.must("device", "add", "DEST_A", "127.0.0.1", str(port), "--facility", "A", "--rights", "all")
        yield inbox


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a study of facility A and one of B."""
    settings = {"PACS_AUTH": "off", "PACS_UNKNOWN_DEVICES": "reject"}
    with running_gateway(tmp_path_factory.mktemp("facilities"), settings) as gateway:
        for title, facility in ((CALLING, "A"), ("SENDER_A", "A"), ("SENDER_B", "B")):
            gateway.must("device", "add", title, "--network", "127.0.0.1", "--facility", facility, "--rights", "all")
        for title, identity in (("SENDER_A", _OF_ONE), ("SENDER_B", _OF_ANOTHER)):
            ds = image(identity)
            with RawSender(
                gateway.dicom_port,
                sop_class_uid=CTImageStorage,
                transfer_syntax_uid=ImplicitVRLittleEndian,
                calling=title,
            ) as sender:
                assert sender.store(ds.SOPInstanceUID, encode(ds, ImplicitVRLittleEndian)).status == SUCCESS
        with gateway.client() as client:
            for identity in (_OF_ONE, _OF_ANOTHER):
                wait_until(lambda: is_found(client, identity), _DEADLINE_S, "both to be found")  # noqa: B023
        yield gateway


def is_found(client: httpx.Client, identity: Identity) -> bool:
    return bool(dicomweb.instance_uids(client, image(identity).StudyInstanceUID))


def ask(
    gateway: RunningGateway, model: str, field: int, keys: dict[str, str], *elements: bytes, calling: str = CALLING
) -> list[Response]:
    """Send one request and return all responses."""
    identifier = Dataset()
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    with RawCaller(gateway.dicom_port, model, calling=calling) as caller:
        return caller.ask(field, identifier, *elements)


def keys_of(identity: Identity, level: str) -> dict[str, str]:
    """Return the unique keys down to a level."""
    ds = image(identity)
    names = {"STUDY": 1, "SERIES": 2, "IMAGE": 3}[level]
    return {"QueryRetrieveLevel": level} | {
        keyword: str(ds[keyword].value)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[:names]
    }


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"PatientName": "*"}, id="everything"),
        pytest.param({"PatientID": _OF_ANOTHER.patient_id}, id="patient"),
        pytest.param({"AccessionNumber": f"A{_OF_ANOTHER.study}"}, id="accession"),
        pytest.param({"StudyInstanceUID": image(_OF_ANOTHER).StudyInstanceUID}, id="study"),
        pytest.param({"StudyDate": "19000101-"}, id="date"),
    ],
)
def test_a_query_tells_nothing_of_another_facility(gateway: RunningGateway, keys: dict[str, str]) -> None:
    wanted = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", **keys}

    *pending, final = ask(gateway, STUDY_ROOT_FIND, _FIND, wanted)

    assert final.status == SUCCESS
    found = {response.identifier.StudyInstanceUID for response in pending}
    assert found <= {image(_OF_ONE).StudyInstanceUID}


def test_a_patient_of_another_facility_is_not_counted(gateway: RunningGateway) -> None:
    wanted = {"QueryRetrieveLevel": "PATIENT", "PatientID": "", "NumberOfPatientRelatedStudies": ""}

    *pending, final = ask(gateway, PATIENT_ROOT_FIND, _FIND, wanted)

    assert final.status == SUCCESS
    assert [response.identifier.PatientID for response in pending] == [_OF_ONE.patient_id]


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_a_move_names_in_vain_what_is_of_another_facility(
    gateway: RunningGateway, inbox: stock.Inbox, level: str
) -> None:
    inbox.objects.clear()

    final = ask(gateway, STUDY_ROOT_MOVE, _MOVE, keys_of(_OF_ANOTHER, level), element(0x600, b"DEST_A"))[-1]
    own = ask(gateway, STUDY_ROOT_MOVE, _MOVE, keys_of(_OF_ONE, level), element(0x600, b"DEST_A"))[-1]

    assert final.completed == 0
    assert (own.status, own.completed) == (SUCCESS, 1)
    assert list(inbox.objects) == [image(_OF_ONE).SOPInstanceUID]


def test_nothing_is_moved_to_a_facility_that_may_not_read_it(gateway: RunningGateway, inbox: stock.Inbox) -> None:
    inbox.objects.clear()

    final = ask(
        gateway,
        STUDY_ROOT_MOVE,
        _MOVE,
        keys_of(_OF_ANOTHER, "STUDY"),
        element(0x600, b"DEST_A"),
        calling="SENDER_B",
    )[-1]

    assert final.completed == 0
    assert inbox.objects == {}


def test_a_get_fetches_nothing_of_another_facility(gateway: RunningGateway) -> None:
    for identity, expected in ((_OF_ANOTHER, []), (_OF_ONE, [image(_OF_ONE).SOPInstanceUID])):
        keys = {"StudyInstanceUID": image(identity).StudyInstanceUID}

        retrieved, inbox = stock.get(gateway.dicom_port, keys, CTImageStorage, [ImplicitVRLittleEndian])

        assert retrieved.completed == len(expected)
        assert list(inbox.objects) == expected


def test_nothing_goes_to_a_destination_that_nobody_registered(gateway: RunningGateway) -> None:
    for destination in (b"NOBODY", b"DEST_B", b"dest_a", b"SENDER_A"):  # the last one has no address
        final = ask(gateway, STUDY_ROOT_MOVE, _MOVE, keys_of(_OF_ONE, "STUDY"), element(0x600, destination))[-1]

        assert final.status == UNKNOWN_DESTINATION, destination
