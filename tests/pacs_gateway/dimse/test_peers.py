"""Real senders: DCMTK and pynetdicom's stock SCU."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from pynetdicom import AE

from pacs_gateway.domain.instance import Method
from tests.pacs_gateway.dimse.conftest import Running
from tests.support.scripted_peer import CT_IMAGE, VERIFICATION

pytestmark = pytest.mark.peer("dcmtk")


def make_ct(number: int = 1, side: int = 64) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality, ds.InstanceNumber = "Synthetic^Ct", "SYN-1", "CT", number
    ds.Rows = ds.Columns = side
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.random.default_rng(number).integers(0, 4096, (side, side), dtype=np.uint16).tobytes()
    return ds


@pytest.fixture
def ct_files(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.dcm")
        make_ct(number, side=256).save_as(paths[-1], enforce_file_format=True)
    return paths


def run(*command: object, deadline_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=deadline_s)


def data_set_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    ds = dcmread(path, stop_before_pixels=True)
    return content[132 + 12 + ds.file_meta.FileMetaInformationGroupLength :]


def test_echoscu_is_answered(running: Running) -> None:
    result = run("echoscu", "-aec", "PACSGW", "127.0.0.1", running.port)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072])
def test_storescu_stores_byte_for_byte(running: Running, ct_files: list[Path], max_pdu: int) -> None:
    result = run("storescu", "--max-send-pdu", max_pdu, "-xe", "-aec", "PACSGW", "127.0.0.1", running.port, *ct_files)

    assert result.returncode == 0, result.stderr
    assert [r.data for r in running.ingest.published] == [data_set_bytes(path) for path in ct_files]
    assert {r.transfer_syntax_uid for r in running.ingest.published} == {ExplicitVRLittleEndian}
    origin = running.ingest.published[0].origin
    assert (origin.method, origin.source, origin.address) == (Method.DIMSE, "STORESCU", "127.0.0.1")


@pytest.mark.parametrize(
    ("converter", "proposal"),
    [
        ("dcmcrle", "-xr"),
        ("dcmcjpeg", "-xs"),
        ("dcmcjpeg +eb", "-xy"),
        ("dcmcjpls", "-xt"),
        ("dcmconv +ti", "-xi"),
        ("dcmconv +tb", "-xb"),
        ("dcmconv +td", "-xd"),
    ],
)
def test_storescu_stores_each_transfer_syntax_as_it_is(
    running: Running, tmp_path: Path, converter: str, proposal: str
) -> None:
    original, converted = tmp_path / "original.dcm", tmp_path / "converted.dcm"
    ds = make_ct()
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelData = 7, ds.PixelData[: 64 * 64]
    ds.save_as(original, enforce_file_format=True)
    assert run(*converter.split(), original, converted).returncode == 0

    result = run("storescu", "-R", proposal, "-aec", "PACSGW", "127.0.0.1", running.port, converted)

    assert result.returncode == 0, result.stderr
    (received,) = running.ingest.published
    meta = dcmread(converted, stop_before_pixels=True).file_meta
    assert received.transfer_syntax_uid == meta.TransferSyntaxUID
    if meta.TransferSyntaxUID not in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        assert received.data == data_set_bytes(converted)


def test_parallel_associations_lose_nothing(running: Running, ct_files: list[Path]) -> None:
    senders = [
        subprocess.Popen(["storescu", "-aec", "PACSGW", "127.0.0.1", str(running.port), *map(str, ct_files)])
        for _ in range(6)
    ]

    assert [sender.wait(60) for sender in senders] == [0] * 6
    assert len(running.ingest.published) == 6 * len(ct_files)


def test_storescu_proposing_everything_required_is_served(running: Running, ct_files: list[Path]) -> None:
    result = run("storescu", "+C", "-aec", "SECOND", "127.0.0.1", running.port, *ct_files)

    assert result.returncode == 0, result.stderr


def test_pynetdicoms_own_scu_stores_and_echoes(running: Running) -> None:
    ae = AE("STOCK")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT_IMAGE, ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", running.port, ae_title="PACSGW")
    try:
        assert assoc.is_established
        assert assoc.send_c_echo().Status == 0
        assert [assoc.send_c_store(make_ct(number)).Status for number in range(3)] == [0, 0, 0]
    finally:
        assoc.release()
    assert assoc.is_released
    assert len(running.ingest.published) == 3
