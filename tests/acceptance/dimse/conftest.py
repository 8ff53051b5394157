"""One running gateway for every client of the matrix, with the sample studies in it and destinations registered."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset

from pacs_gateway.dimse.negotiation import STUDY_ROOT_MOVE
from tests.acceptance.dimse.clients import START
from tests.acceptance.samples import SampleFile, sample_file
from tests.support import dicomweb
from tests.support.clients.client import Client
from tests.support.orthanc import Orthanc, orthanc
from tests.support.raw_caller import RawCaller
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway
from tests.support.scripted_peer import element
from tests.support.storescp import StoreScp, storescp
from tests.support.synthetic_ct import data_set_of, new_uid
from tests.support.waiting import wait_until

_INDEXED_DEADLINE_S = 30.0
_KNOWN_DEADLINE_S = 10.0
"""Five times the promise: 2 s."""
_MOVE = 0x21
UNKNOWN_DESTINATION = 0xA801
STUDY = ("ct", "ct-pdf", "ct-seg", "ct-sr")
"""Folders of the samples that make one study: images, a document, a segmentation and a report."""


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that lets every device of this machine in."""
    with running_gateway(tmp_path_factory.mktemp("matrix"), {"PACS_AUTH": "off"}) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="session")
def samples(gateway: RunningGateway, client: httpx.Client) -> list[SampleFile]:
    """The committed samples, stored byte for byte and found."""
    files = [sample_file(path) for path in sorted((ROOT / "sample_dicom" / "subset").rglob("*.dcm"))]
    for file in files:
        with RawSender(
            gateway.dicom_port, sop_class_uid=file.sop_class_uid, transfer_syntax_uid=file.transfer_syntax
        ) as sender:
            assert sender.store(file.sop_uid, data_set_of(file.path.read_bytes())).status == 0
    wait_until(lambda: are_found(client, files), _INDEXED_DEADLINE_S, "the samples to be found")
    return files


@pytest.fixture(scope="session")
def dcmtk_destination(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreScp]:
    """DCMTK's storescp, registered; it takes every transfer syntax that it knows."""
    with storescp(tmp_path_factory.mktemp("storescp")) as destination:
        register(gateway, destination.ae_title, destination.port)
        yield destination


@pytest.fixture(scope="session")
def orthanc_archive(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc, registered with all rights."""
    with orthanc(tmp_path_factory.mktemp("orthanc"), gateway.dicom_port) as archive:
        register(gateway, archive.ae_title, archive.port)
        yield archive


@pytest.fixture
def caller(request: pytest.FixtureRequest, gateway: RunningGateway) -> Client:
    """The client of the row."""
    if request.param == "orthanc":
        archive: Orthanc = request.getfixturevalue("orthanc_archive")
        return archive
    return START[request.param](gateway.dicom_port)


def register(gateway: RunningGateway, ae_title: str, port: int) -> None:
    """Make somebody who listens on this machine a device with all rights, and wait until it is known as one."""
    gateway.must("device", "add", ae_title, "127.0.0.1", str(port), "--rights", "all")
    wait_until(lambda: is_destination(gateway, ae_title), _KNOWN_DEADLINE_S, "the device to be known")


def is_destination(gateway: RunningGateway, ae_title: str) -> bool:
    """Return whether a move of nothing is not refused for want of the destination, by no listening process."""
    nothing = Dataset()
    nothing.QueryRetrieveLevel, nothing.StudyInstanceUID = "STUDY", new_uid()
    with ExitStack() as stack:
        # At once: a process that has one leaves the next to its sibling.
        callers = [
            stack.enter_context(RawCaller(gateway.dicom_port, STUDY_ROOT_MOVE)) for _ in gateway.children("dicom")
        ]
        answers = [caller.ask(_MOVE, nothing, element(0x600, ae_title.ljust(16).encode()))[-1] for caller in callers]
    return UNKNOWN_DESTINATION not in {answer.status for answer in answers}


def are_found(client: httpx.Client, files: list[SampleFile]) -> bool:
    """Return whether queries see all of these."""
    return all(file.sop_uid in dicomweb.instance_uids(client, file.study_uid) for file in files)


def by_folder(samples: list[SampleFile], *folders: str) -> list[SampleFile]:
    """Return the samples of some of the sample folders."""
    return [file for file in samples if file.path.parent.name in folders]


def read_folder(folder: Path) -> dict[str, Path]:
    """Return the files in a folder by SOP Instance UID."""
    return {sample_file(path).sop_uid: path for path in folder.iterdir()}
