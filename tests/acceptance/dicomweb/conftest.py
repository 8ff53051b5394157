"""One running gateway with the sample studies in it, for every client of DICOMweb."""

from collections.abc import Iterator

import httpx
import pytest

from pacs_gateway.access import Actor, Role
from pacs_gateway.gateway import open_gateway
from tests.acceptance.pydicom_files import FOLDER
from tests.acceptance.samples import SampleFile, sample_file
from tests.support import dicomweb
from tests.support.gateways import gateway_config
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway
from tests.support.waiting import wait_until

_OF_PYDICOM = ("examples_palette.dcm", "waveform_ecg.dcm")
"""A picture with a palette, and bulk data inside a sequence."""
_DERIVED_DEADLINE_S = 120.0
_PASSWORD = "an everyday password"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose callers say who they are."""
    with running_gateway(tmp_path_factory.mktemp("dicomweb"), {"PACS_DICOM_WORKERS": "1"}) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """The administrator, by token."""
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="session")
def browser(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """An administrator in a browser: a session cookie and no token, and the page's origin where something is sent."""
    with open_gateway(gateway_config(gateway.data_dir)) as inside:
        accounts = inside.access.accounts
        accounts.create("viewer", role=Role.ADMINISTRATOR, facility="LOCAL", by=Actor("tests"), password=_PASSWORD)
    with httpx.Client(base_url=gateway.url, headers={"Origin": gateway.url}, timeout=60) as browser:
        answer = browser.post("/login", data={"name": "viewer", "password": _PASSWORD})
        assert answer.status_code == httpx.codes.SEE_OTHER
        yield browser


@pytest.fixture(scope="session")
def samples(client: httpx.Client) -> list[SampleFile]:
    """The committed samples and two files of pydicom's, stored."""
    paths = sorted((ROOT / "sample_dicom" / "subset").rglob("*.dcm"))
    files = [sample_file(path) for path in [*paths, *(FOLDER / "test_files" / name for name in _OF_PYDICOM)]]
    answer = dicomweb.store(client, [file.path.read_bytes() for file in files])
    assert answer.status_code == httpx.codes.OK, answer.text
    return files


def sample(samples: list[SampleFile], folder_or_name: str) -> SampleFile:
    """Return the first sample of a folder, or the one whose file has this name."""
    return next(one for one in samples if folder_or_name in (one.path.parent.name, one.path.name))


def wait_until_derived(gateway: RunningGateway) -> None:
    """Wait until every object is shipped and no job is left."""
    wait_until(lambda: not gateway.spooled(), _DERIVED_DEADLINE_S, "the objects to be shipped")
    with open_gateway(gateway_config(gateway.data_dir)) as inside:
        wait_until(lambda: not inside.jobs.list(state=None, limit=1), _DERIVED_DEADLINE_S, "everything to be derived")
