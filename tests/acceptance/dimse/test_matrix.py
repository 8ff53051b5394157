"""Every client that was tried against every service: what it asks for happens, and the content is right."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from tests.acceptance.comparison import differences, pixels
from tests.acceptance.dimse.conftest import are_found
from tests.acceptance.samples import SampleFile, sample_file
from tests.support import dicomweb
from tests.support.clients.client import Client
from tests.support.clients.dcmjs_dimse import DcmjsDimse
from tests.support.clients.dcmtk import Dcmtk
from tests.support.clients.odil import Odil
from tests.support.orthanc import orthanc
from tests.support.running_gateway import RunningGateway
from tests.support.synthetic_ct import new_uid
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dimse-matrix")

_FOUND_DEADLINE_S = 30.0
StartClient = Callable[[Path, int], AbstractContextManager[Client]]


@contextmanager
def dcmtk(_folder: Path, port: int) -> Iterator[Client]:
    yield Dcmtk(port)


@contextmanager
def dcmsend(_folder: Path, port: int) -> Iterator[Client]:
    yield Dcmtk(port, sender=("dcmsend", "--decompress-never"))


@contextmanager
def odil(_folder: Path, port: int) -> Iterator[Client]:
    yield Odil(port)


@contextmanager
def dcmjs_dimse(_folder: Path, port: int) -> Iterator[Client]:
    yield DcmjsDimse(port)


def rows(*starts: StartClient) -> list[object]:
    """Return the clients as parameters, each with the peer it needs."""
    peers = {dcmtk: "dcmtk", dcmsend: "dcmtk", odil: "odil", dcmjs_dimse: "dcmjs-dimse", orthanc: "orthanc"}
    return [pytest.param(start, id=start.__name__, marks=pytest.mark.peer(peers[start])) for start in starts]


@pytest.fixture
def caller(request: pytest.FixtureRequest, tmp_path: Path, gateway: RunningGateway) -> Iterator[Client]:
    """The client of the row."""
    with request.param(tmp_path / "client", gateway.dicom_port) as client:
        yield client


@pytest.mark.parametrize("caller", rows(dcmtk, odil, dcmjs_dimse, orthanc), indirect=True)
def test_an_echo_is_answered(caller: Client) -> None:
    caller.echo()


@pytest.mark.parametrize("caller", rows(dcmtk, dcmsend, odil, dcmjs_dimse, orthanc), indirect=True)
def test_what_is_stored_comes_back_with_the_same_values_and_pixels(
    caller: Client, client: httpx.Client, tmp_path: Path, samples: list[SampleFile]
) -> None:
    # What dcmjs reads as UT (PS3.5 6.2) it sends encoded twice, whoever receives: no report from it.
    kinds = {"ct", "dx", "us"} if isinstance(caller, DcmjsDimse) else {"ct", "dx", "us", "ct-sr"}
    sent = copies([file for file in samples if file.path.parent.name in kinds], tmp_path)

    caller.store([file.path for file in sent])

    wait_until(lambda: are_found(client, sent), _FOUND_DEADLINE_S, "all to be found")
    for file in sent:
        (content,) = dicomweb.retrieve(client, file.url_path)
        original, retrieved = dcmread(file.path), dcmread(BytesIO(content))
        assert differences(original, retrieved) == [], file.path.name
        assert pixels(original) == pixels(retrieved), file.path.name


def copies(files: Sequence[SampleFile], folder: Path) -> list[SampleFile]:
    """Return the same objects under UIDs of their own."""
    made, studies = [], {file.study_uid: UID(new_uid()) for file in files}
    for number, file in enumerate(files):
        ds = dcmread(file.path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = studies[file.study_uid], UID(new_uid())
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        made.append(sample_file(folder / f"{number}.dcm"))
    return made
