"""Every client that was tried against C-GET and C-MOVE: what it names arrives, the same, where it is wanted."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_gateway.dimse.negotiation import STUDY_ROOT_MOVE
from tests.acceptance.dimse.clients import assert_same, knows, rows
from tests.acceptance.dimse.conftest import STUDY, UNKNOWN_DESTINATION, by_folder, read_folder
from tests.acceptance.samples import SampleFile
from tests.support.clients.client import SUCCESS, GetClient, MoveClient, Retrieved
from tests.support.clients.dcmtk import Dcmtk
from tests.support.orthanc import Orthanc
from tests.support.raw_caller import RawCaller
from tests.support.running_gateway import RunningGateway
from tests.support.scripted_peer import element
from tests.support.storescp import StoreScp

pytestmark = pytest.mark.xdist_group("dimse-matrix")

_SOME_FAILED = 0xB000


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse"), indirect=True)
def test_a_client_gets_what_it_names(caller: GetClient, level: str, samples: list[SampleFile], tmp_path: Path) -> None:
    keys, expected = named(level, samples)

    retrieved = caller.get(keys, tmp_path)

    taken = [file for file in expected if knows(caller, file)]
    status = SUCCESS if taken == expected else _SOME_FAILED
    assert retrieved == Retrieved(status, completed=len(taken), failed=len(expected) - len(taken))
    received = read_folder(tmp_path)
    assert received.keys() == {file.sop_uid for file in taken}
    for file in taken:
        assert_same(caller, file, dcmread(received[file.sop_uid]))


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
@pytest.mark.peer("dcmtk")
def test_a_client_moves_what_it_names_to_dcmtk(
    caller: MoveClient, level: str, samples: list[SampleFile], dcmtk_destination: StoreScp
) -> None:
    keys, expected = named(level, samples)
    dcmtk_destination.clear()

    moved = caller.move(keys, dcmtk_destination.ae_title)

    assert (moved.status, moved.failed) == (SUCCESS, 0)
    received = dcmtk_destination.received()
    assert received.keys() == {file.sop_uid for file in expected}
    for file in expected:
        assert_same(None, file, dcmread(received[file.sop_uid]))


@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
@pytest.mark.peer("orthanc")
def test_a_client_moves_a_study_to_orthanc(
    caller: MoveClient, samples: list[SampleFile], orthanc_archive: Orthanc
) -> None:
    keys, expected = named("STUDY", samples)
    orthanc_archive.clear()

    moved = caller.move(keys, orthanc_archive.ae_title)

    assert (moved.status, moved.failed) == (SUCCESS, 0)
    received = orthanc_archive.files()
    assert received.keys() == {file.sop_uid for file in expected}
    for file in expected:
        assert_same(None, file, dcmread(BytesIO(received[file.sop_uid])))


@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
def test_nothing_is_moved_to_somebody_unknown(caller: MoveClient, samples: list[SampleFile]) -> None:
    keys, _ = named("STUDY", samples)

    moved = caller.move(keys, "NOBODY")

    assert (moved.status, moved.completed) == (UNKNOWN_DESTINATION, 0)


@pytest.mark.parametrize("padding", [b" ", b"\0"], ids=["space", "NUL"])
def test_padding_is_no_part_of_a_destination(
    gateway: RunningGateway, samples: list[SampleFile], dcmtk_destination: StoreScp, padding: bytes
) -> None:
    """It is to be spaces (PS3.5 6.2); some devices write NULs, as they do for UIDs."""
    dcmtk_destination.clear()
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", by_folder(samples, "mr")[0].study_uid
    with RawCaller(gateway.dicom_port, STUDY_ROOT_MOVE) as caller:
        title = dcmtk_destination.ae_title.encode().ljust(16, padding)

        final = caller.ask(0x21, keys, element(0x600, title))[-1]

    assert final.status == SUCCESS
    assert dcmtk_destination.received().keys() == {file.sop_uid for file in by_folder(samples, "mr")}


@pytest.mark.parametrize(
    ("model", "keyword"),
    [
        pytest.param("-P", "PatientID", id="patient root"),
        pytest.param("-S", "StudyInstanceUID", id="study root"),
        pytest.param("-O", "PatientID", id="patient/study only"),
    ],
)
@pytest.mark.peer("dcmtk")
def test_every_information_model_is_served(
    model: str,
    keyword: str,
    gateway: RunningGateway,
    samples: list[SampleFile],
    tmp_path: Path,
    dcmtk_destination: StoreScp,
) -> None:
    expected = by_folder(samples, "mr")
    ds = dcmread(expected[0].path)
    uids = {file.sop_uid for file in expected}
    dcmtk_destination.clear()
    caller = Dcmtk(gateway.dicom_port, model=model)

    found = caller.find("STUDY", {"PatientID": ds.PatientID, "StudyInstanceUID": ""})
    got = caller.get({keyword: str(ds[keyword].value)}, tmp_path)
    moved = caller.move({keyword: str(ds[keyword].value)}, dcmtk_destination.ae_title)

    assert [answer["StudyInstanceUID"] for answer in found] == [ds.StudyInstanceUID]
    assert got == moved == Retrieved(SUCCESS, len(expected), 0)
    assert read_folder(tmp_path).keys() == dcmtk_destination.received().keys() == uids


def named(level: str, samples: list[SampleFile]) -> tuple[dict[str, str], list[SampleFile]]:
    """Return the unique keys of a study, of its images' series, or of one image, and what they name."""
    study, images = by_folder(samples, *STUDY), by_folder(samples, "ct")
    keys = {"StudyInstanceUID": study[0].study_uid}
    if level == "STUDY":
        return keys, study
    keys["SeriesInstanceUID"] = images[0].series_uid
    return (keys, images) if level == "SERIES" else ({**keys, "SOPInstanceUID": images[0].sop_uid}, images[:1])
