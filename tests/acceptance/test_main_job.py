"""The main job: a device sends a study, and a browser and a DICOMweb client see it, unchanged; on every back end."""

import logging
from collections.abc import Iterable
from io import BytesIO

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from tests.acceptance.combinations import every_combination
from tests.acceptance.comparison import differences, pixels
from tests.acceptance.samples import PROPOSALS, UNKNOWN_TO_DCMTK, SampleFile, ct_slices, every_encoding
from tests.support import dicomweb
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway
from tests.support.storescu import send
from tests.support.synthetic_ct import data_set_of
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.peer("dcmtk"),
    pytest.mark.parametrize("gateway", every_combination(), indirect=True, scope="session"),
]

_log = logging.getLogger(__name__)

_APPEARS_DEADLINE_S = 5.0
"""Five times the promise: 1 s."""
_SHIPPED_DEADLINE_S = 30.0
_PYDICOM_CANNOT_DECODE = (JPEG2000Lossless, JPEGLSLossless, HTJ2KLossless)
_LOSSY_TOLERANCE = 3
_LEAVE_EXPLICIT = (ImplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[SampleFile]:
    """The sample CT, not stored yet."""
    return ct_slices(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def encodings(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> list[SampleFile]:
    """A sample in each transfer syntax, stored: with DCMTK's sender where it knows the syntax."""
    files = every_encoding(tmp_path_factory.mktemp("encodings"))
    for syntax in {file.transfer_syntax for file in files} - UNKNOWN_TO_DCMTK:
        of_syntax = [file.path for file in files if file.transfer_syntax == syntax]
        send(gateway.dicom_port, of_syntax, "-R", PROPOSALS[syntax])
    for file in files:
        if file.transfer_syntax in UNKNOWN_TO_DCMTK:
            _send_raw(gateway, file)
    return files


def _send_raw(gateway: RunningGateway, file: SampleFile) -> None:
    with RawSender(
        gateway.dicom_port, sop_class_uid=file.sop_class_uid, transfer_syntax_uid=file.transfer_syntax
    ) as sender:
        assert sender.store(file.sop_uid, data_set_of(file.path.read_bytes())).status == 0


def test_a_ct_that_storescu_sends_appears_at_once_with_its_thumbnail(
    gateway: RunningGateway, client: httpx.Client, slices: list[SampleFile]
) -> None:
    study_uid = slices[0].study_uid
    send(gateway.dicom_port, [one.path for one in slices], "-xe")

    def is_found() -> bool:
        found = dicomweb.search(client, "/studies", StudyInstanceUID=study_uid)
        return [dicomweb.value(one, "00201208") for one in found] == [len(slices)]

    found_s = wait_until(is_found, _APPEARS_DEADLINE_S, "the whole study to be found")
    listed_s = wait_until(lambda: study_uid in client.get("/").text, _APPEARS_DEADLINE_S, "the study to be listed")
    _log.info("%d slices: found after %.2f s, listed after another %.2f s", len(slices), found_s, listed_s)
    answer = client.get(f"/dicom-web/studies/{study_uid}/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (httpx.codes.OK, "image/jpeg")
    assert answer.content.startswith(b"\xff\xd8")


def test_the_sample_syntaxes_are_the_ones_that_are_promised(encodings: list[SampleFile]) -> None:
    assert {file.transfer_syntax for file in encodings} == set(PROPOSALS) | UNKNOWN_TO_DCMTK


def test_what_comes_back_has_the_same_values_and_the_same_pixels(
    client: httpx.Client, encodings: list[SampleFile]
) -> None:
    for file in encodings:
        wait_until(lambda: is_there(client, file), _APPEARS_DEADLINE_S, "the instance to be found")  # noqa: B023
    check_what_comes_back(client, encodings)


def test_out_of_the_object_store_comes_the_same(
    gateway: RunningGateway, client: httpx.Client, encodings: list[SampleFile]
) -> None:
    wait_until(lambda: not gateway.spooled(), _SHIPPED_DEADLINE_S, "everything to be shipped")
    check_what_comes_back(client, encodings)


def check_what_comes_back(client: httpx.Client, encodings: list[SampleFile]) -> None:
    """Compare what is retrieved with what was sent."""
    for file in encodings:
        (content,) = dicomweb.retrieve(client, file.url_path)

        original, retrieved = dcmread(file.path), dcmread(BytesIO(content))
        expected = ExplicitVRLittleEndian if file.transfer_syntax in _LEAVE_EXPLICIT else file.transfer_syntax
        assert retrieved.file_meta.TransferSyntaxUID == expected
        assert differences(original, retrieved) == [], file.path.name
        assert pixels(original) == pixels(retrieved), file.path.name
        if file.transfer_syntax in UNKNOWN_TO_DCMTK:  # DCMTK encodes anew what it sends, our own sender does not
            assert data_set_of(content) == data_set_of(file.path.read_bytes())


def is_there(client: httpx.Client, file: SampleFile) -> bool:
    return file.sop_uid in dicomweb.instance_uids(client, file.study_uid)


def test_a_dicomweb_client_finds_and_retrieves(gateway: RunningGateway, encodings: list[SampleFile]) -> None:
    client = DICOMwebClient(f"{gateway.url}/dicom-web", headers={"Authorization": f"Bearer {gateway.token}"})
    by_study: dict[str, list[SampleFile]] = {}
    for file in encodings:
        by_study.setdefault(file.study_uid, []).append(file)

    found = {study["0020000D"]["Value"][0] for study in client.search_for_studies()}
    assert by_study.keys() <= found
    for study_uid, files in by_study.items():
        assert uids(client.retrieve_study_metadata(study_uid)) >= {file.sop_uid for file in files}
        for file in files:
            retrieved = client.retrieve_instance(
                study_uid, file.series_uid, file.sop_uid, media_types=(("application/dicom", "*"),)
            )
            assert differences(dcmread(file.path), retrieved) == []
            if "PixelData" in retrieved:
                assert is_first_frame(first_frame(client, file), file), file.path.name


def first_frame(client: DICOMwebClient, file: SampleFile) -> bytes:
    """Retrieve the first frame, decompressed."""
    (frame,) = client.retrieve_instance_frames(
        file.study_uid,
        file.series_uid,
        file.sop_uid,
        frame_numbers=[1],
        media_types=(("application/octet-stream", ExplicitVRLittleEndian),),
    )
    return bytes(frame)


def is_first_frame(frame: bytes, file: SampleFile) -> bool:
    """Compare a frame with what pydicom decodes: equal, or for lossy colour as near as two decoders come."""
    path = file.path
    if file.transfer_syntax in _PYDICOM_CANNOT_DECODE:
        path = path.parents[1] / "rle" / path.name  # the same slice in each lossless compression
    ds = dcmread(path)
    if ds.BitsAllocated == 1:
        return bool(frame == ds.PixelData[: ds.Rows * ds.Columns // 8])
    pixels = pixel_array(ds, index=0)
    if file.transfer_syntax == JPEGBaseline8Bit:
        decoded = np.frombuffer(frame, np.uint8).reshape(pixels.shape)
        return bool(np.abs(decoded.astype(int) - pixels).max() <= _LOSSY_TOLERANCE)
    return bool(frame == pixels.astype(f"<u{ds.BitsAllocated // 8}").tobytes())


def uids(results: Iterable[dict[str, dict[str, list[str]]]]) -> set[str]:
    return {result["00080018"]["Value"][0] for result in results}
