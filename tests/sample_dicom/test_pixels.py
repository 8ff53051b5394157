"""The pixels are what they are said to be: Hounsfield units, lossless copies, masks."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from struct import unpack

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import decode, get_parameters
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless
from rle.utils import decode_pixel_data

from sample_dicom.catalogue import SUBSET
from sample_dicom.ct import Stack, ct_slice, stored_values
from sample_dicom.dataset import Series
from sample_dicom.echo import cine
from sample_dicom.vietnamese import CT

Spot = tuple[float, float, float]

_SPOTS: dict[str, tuple[Spot, float, float]] = {
    "air before the patient": ((0, -190, 60), -1000, 10),
    "right lung": ((-100, 15, 60), -850, 25),
    "left lung": ((100, 30, 60), -850, 25),
    "fat under the skin": ((0, -110, -80), -100, 12),
    "muscle beside the spine": ((-30, 84, 60), 58, 10),
    "water in the stomach": ((66, -14, -34), 4, 12),
    "liver": ((-70, 20, -40), 104, 25),
    "blood in the aorta": ((20, 36, 30), 172, 20),
    "left ventricle": ((47, -34, 26), 172, 12),
    "windpipe": ((1, 9, 138), -1000, 30),
    "spongy bone of a vertebra": ((0, 50, 60), 210, 25),
}


@pytest.mark.parametrize(("spot", "expected", "tolerance"), _SPOTS.values(), ids=_SPOTS)
def test_hounsfield_units_are_right_at_known_places(spot: Spot, expected: float, tolerance: float) -> None:
    x, y, z = spot
    stack = Stack(256, (z, z + 5.0))
    ds = ct_slice(Series(CT, "test", 1, "CT", "test"), stack, 0, stack.scan(0).hu)
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    hu = stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    left, top, _ = ds.ImagePositionPatient
    row = round((y - float(top)) / ds.PixelSpacing[0])
    column = round((x - float(left)) / ds.PixelSpacing[1])
    assert hu[row - 1 : row + 2, column - 1 : column + 2].mean() == pytest.approx(expected, abs=tolerance)


def test_cortical_bone_reaches_several_hundred_units() -> None:
    hu = Stack(512, (60.0, 65.0)).scan(0).hu
    assert 500 < hu.max() < 1000


def _run_length(data: bytes, ds: FileDataset) -> NDArray[np.uint16]:
    return np.asarray(decode_pixel_data(data, ds)).view("<u2").reshape(ds.Rows, ds.Columns)


_DECODERS: dict[str, tuple[str, Callable[[bytes, FileDataset], NDArray[np.uint16]]]] = {
    "rle": (RLELossless, _run_length),
    "jpeg2000": (JPEG2000Lossless, lambda data, _: decode(data)),
    "jpeg-ls": (JPEGLSLossless, lambda data, _: imagecodecs.jpegls_decode(data)),
    "htj2k": (HTJ2KLossless, lambda data, _: decode(data)),
}


@pytest.mark.parametrize("folder", _DECODERS)
def test_lossless_files_decode_to_the_original_pixels(objects: dict[str, FileDataset], folder: str) -> None:
    syntax, decoder = _DECODERS[folder]
    for index in range(len(SUBSET.compressed.heights_mm)):
        ds = objects[f"{folder}/{index + 1:03d}.dcm"]
        assert ds.file_meta.TransferSyntaxUID == syntax
        (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
        original = stored_values(SUBSET.compressed.scan(index).hu)
        np.testing.assert_array_equal(decoder(frame, ds), original)
        assert original.max() < 2**ds.BitsStored


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(("folder", "program"), [("rle", "dcmdrle"), ("jpeg-ls", "dcmdjpls")])
def test_dcmtk_decodes_the_original_pixels(
    small_set: dict[str, bytes], tmp_path: Path, folder: str, program: str
) -> None:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} (Debian: dcmtk) is not installed")
    compressed, plain = tmp_path / "compressed.dcm", tmp_path / "plain.dcm"
    compressed.write_bytes(small_set[f"{folder}/001.dcm"])
    subprocess.run([found, str(compressed), str(plain)], check=True, capture_output=True, timeout=60)
    original = stored_values(SUBSET.compressed.scan(0).hu)
    assert dcmread(plain).PixelData == original.astype("<u2").tobytes()


@pytest.mark.parametrize("folder", ["jpeg2000", "htj2k"])
def test_codestream_precision_is_the_stated_one(objects: dict[str, FileDataset], folder: str) -> None:
    ds = objects[f"{folder}/001.dcm"]
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    assert get_parameters(frame)["precision"] == ds.BitsStored


def test_offset_tables_name_every_frame(objects: dict[str, FileDataset]) -> None:
    clip = objects["us-jpeg/001.dcm"]
    assert len(parse_basic_offsets(clip.PixelData)) == clip.NumberOfFrames
    assert parse_basic_offsets(objects["jpeg-ls/001.dcm"].PixelData) == []
    extended = objects["htj2k/001.dcm"]
    assert unpack("<Q", extended.ExtendedOffsetTable) == (0,)
    (length,) = unpack("<Q", extended.ExtendedOffsetTableLengths)
    assert length <= len(next(generate_frames(extended.PixelData, number_of_frames=1)))


def test_jpeg_baseline_says_that_it_lost_something_and_shows_the_same_heart(objects: dict[str, FileDataset]) -> None:
    ds = objects["us-jpeg/001.dcm"]
    assert ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert ds.PhotometricInterpretation == "YBR_FULL_422"
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert ds.ImageType[0] == "DERIVED"
    assert float(ds.LossyImageCompressionRatio) > 2
    frames = [imagecodecs.jpeg8_decode(data) for data in generate_frames(ds.PixelData, number_of_frames=4)]
    original = cine(*SUBSET.clip)
    assert np.abs(np.stack(frames).astype(int) - original).mean() < 8


def test_the_cine_beats_and_shows_flow_in_colour() -> None:
    frames = cine(*SUBSET.clip).astype(int)
    assert all(np.abs(frames[index] - frames[index - 1]).mean() > 1 for index in range(len(frames)))
    assert any((frame[..., 0] - frame[..., 2] > 100).any() for frame in frames)


def test_segmentation_masks_are_the_organs_of_the_slices(objects: dict[str, FileDataset]) -> None:
    ds, stack = objects["ct-seg/001.dcm"], SUBSET.ct
    bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
    masks = bits[: ds.NumberOfFrames * ds.Rows * ds.Columns].reshape(-1, ds.Rows, ds.Columns)
    organs = [stack.scan(index).organ for index in range(len(stack.heights_mm))]
    for mask, frame in zip(masks, ds.PerFrameFunctionalGroupsSequence, strict=True):
        number, position = frame.FrameContentSequence[0].DimensionIndexValues
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
        np.testing.assert_array_equal(mask.astype(bool), organs[position - 1] == number)


def test_parts_of_the_concatenation_hold_the_frames_of_the_whole(objects: dict[str, FileDataset]) -> None:
    parts = [objects[f"concatenation/{number:03d}.dcm"].PixelData for number in (1, 2)]
    assert b"".join(parts) == objects["enhanced-ct/001.dcm"].PixelData
