"""A study of two thousand slices: found, described and handed out whole, and the web process does not grow with it."""

import json
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.dicomweb.conftest import wait_until_derived
from tests.support import dicomweb
from tests.support.memory import FLAT_MIB, flat_memory
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.synthetic_ct import CtSeries, encoded, make_ct

pytestmark = [pytest.mark.xdist_group("large-study"), pytest.mark.timeout(600)]

_N_SLICES = 2000
_SIDE = 192
"""So that all of them are far larger than what the process may grow by."""
_N_PER_REQUEST = 500
JSON = {"Accept": "application/dicom+json"}
XML = {"Accept": 'multipart/related; type="application/dicom+xml"'}
ZIP = {"Accept": "application/zip"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path_factory.mktemp("large-study"), settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def study(gateway: RunningGateway, client: httpx.Client) -> str:
    """The path of the study; every way has been taken before by a small one."""
    small, large = CtSeries(_SIDE), CtSeries(_SIDE)
    first = [small.image() for _ in range(3)]
    assert dicomweb.store(client, [image.content for image in first]).status_code == httpx.codes.OK
    for resource, headers in (("/metadata", JSON), ("/metadata", XML), ("", dicomweb.AS_STORED), ("", ZIP)):
        client.get(f"/dicom-web/studies/{small.study_uid}{resource}", headers=headers)
    for _ in range(0, _N_SLICES, _N_PER_REQUEST):
        images = [large.image().content for _ in range(_N_PER_REQUEST)]
        assert dicomweb.store(client, images).status_code == httpx.codes.OK
    wait_until_derived(gateway)
    return f"/dicom-web/studies/{large.study_uid}"


@pytest.fixture(scope="module")
def size(client: httpx.Client, study: str) -> int:
    """Bytes of one of its files, without the head."""
    (instance,) = client.get(f"{study}/instances", params={"limit": "1"}).json()
    path = f"{study}/series/{dicomweb.value(instance, '0020000E')}/instances/{dicomweb.value(instance, '00080018')}"
    assert _N_SLICES * len(client.get(path).content) > 2 * FLAT_MIB * (1 << 20)
    return 2 * _SIDE * _SIDE


def _series(client: httpx.Client, study: str) -> str:
    (series,) = client.get(f"{study}/series").json()
    assert dicomweb.value(series, "00201209") == _N_SLICES
    return f"{study}/series/{dicomweb.value(series, '0020000E')}"


def test_its_instances_are_found_page_by_page(gateway: RunningGateway, client: httpx.Client, study: str) -> None:
    with flat_memory(gateway, "web"):
        found = dicomweb.instance_uids(client, study.rpartition("/")[2])
    assert len(set(found)) == _N_SLICES


def test_its_metadata_are_whole_and_the_second_time_not_sent(
    gateway: RunningGateway, client: httpx.Client, study: str
) -> None:
    for path in (study, _series(client, study)):
        with flat_memory(gateway, "web"):
            with client.stream("GET", f"{path}/metadata", headers=JSON) as answer:
                assert answer.status_code == httpx.codes.OK
                body = b"".join(answer.iter_bytes())
            again = client.get(f"{path}/metadata", headers=JSON | {"If-None-Match": answer.headers["etag"]})
        assert len({dicomweb.value(one, "00080018") for one in json.loads(body)}) == _N_SLICES
        assert (again.status_code, again.content) == (304, b"")


def test_its_metadata_leave_as_documents_made_one_at_a_time(
    gateway: RunningGateway, client: httpx.Client, study: str
) -> None:
    with flat_memory(gateway, "web"), client.stream("GET", f"{study}/metadata", headers=XML) as answer:
        assert answer.status_code == httpx.codes.OK
        body = b"".join(answer.iter_bytes())
    assert body.count(b"<NativeDicomModel ") == _N_SLICES


def test_it_leaves_whole_and_in_one_piece(gateway: RunningGateway, client: httpx.Client, study: str, size: int) -> None:
    with flat_memory(gateway, "web"), client.stream("GET", study, headers=dicomweb.AS_STORED) as answer:
        assert answer.status_code == httpx.codes.OK
        n_bytes = sum(map(len, answer.iter_raw()))
    assert n_bytes == int(answer.headers["content-length"])
    assert n_bytes > _N_SLICES * size


def test_it_leaves_as_an_archive(
    gateway: RunningGateway, client: httpx.Client, study: str, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "study.zip"
    with flat_memory(gateway, "web"), client.stream("GET", study, headers=ZIP) as answer, path.open("wb") as file:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        for piece in answer.iter_raw():
            file.write(piece)
    with zipfile.ZipFile(path) as archive:
        files = [entry for entry in archive.infolist() if not entry.filename.upper().endswith("DICOMDIR")]
        assert len(files) == _N_SLICES
        assert min(entry.file_size for entry in files) > size
        assert archive.testzip() is None


def test_its_pictures_are_those_of_a_slice(gateway: RunningGateway, client: httpx.Client, study: str) -> None:
    with flat_memory(gateway, "web"):
        for path in (study, _series(client, study)):
            assert client.get(f"{path}/thumbnail").status_code == httpx.codes.OK
        assert client.get(f"{_series(client, study)}/rendered").status_code == httpx.codes.OK


def test_a_piece_of_bulk_data_is_read_by_range(client: httpx.Client) -> None:
    ds, value = make_ct(16), secrets.token_bytes(100_000)
    ds.add_new(0x00090010, "LO", "GATEWAY TESTS")
    ds.add_new(0x00091001, "OB", value)
    assert dicomweb.store(client, [encoded(ds)]).status_code == httpx.codes.OK
    path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    (metadata,) = client.get(f"{path}/metadata", headers=JSON).json()
    address = metadata["00091001"]["BulkDataURI"]
    for span, expected in (("bytes=0-99", value[:100]), ("bytes=70000-", value[70_000:]), ("bytes=-7", value[-7:])):
        answer = client.get(address, headers={"Accept": "application/octet-stream", "Range": span})
        assert (answer.status_code, answer.content) == (206, expected), span
        assert answer.headers["content-range"].endswith(f"/{len(value)}")
    beyond = client.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=100000-"})
    assert beyond.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
