"""One running gateway for every client of the matrix, with the sample studies in it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.samples import SampleFile, sample_file
from tests.support import dicomweb
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway
from tests.support.synthetic_ct import data_set_of
from tests.support.waiting import wait_until

_INDEXED_DEADLINE_S = 30.0


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


def are_found(client: httpx.Client, files: list[SampleFile]) -> bool:
    """Return whether queries see all of these."""
    return all(file.sop_uid in dicomweb.instance_uids(client, file.study_uid) for file in files)
