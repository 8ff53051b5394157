"""Every kind of pixels goes into every syntax that can carry it, and comes out as it went in, for other readers too."""

import shutil
import subprocess
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging import compress
from pacs_gateway.imaging.compress import ENCODERS, encode_frame, encoded_description, encoder
from pacs_gateway.imaging.decode import CODECS, Frame, decode_stored
from pacs_gateway.imaging.pixels import FloatKind, PixelDescription
from tests.pacs_gateway.imaging.samples import LITTLE

# What DCMTK 3.6.7 decodes, and with which of its programs.
DCMTK: dict[str, str] = {RLELossless: "dcmdrle", JPEGLosslessSV1: "dcmdjpeg", JPEGLSLossless: "dcmdjpls"}
# pydicom has no decoder here for the others: GPL, or none at all.
PYDICOM = (RLELossless, JPEG2000Lossless)
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202")


def describe(
    *, bits: int = 12, allocated: int = 16, signed: bool = False, photometric: str = "MONOCHROME2", size: int = 16
) -> PixelDescription:
    samples = 3 if photometric in ("RGB", "YBR_FULL") else 1
    return PixelDescription(
        size, size + 3, samples, photometric, 0, allocated, bits, bits - 1, int(signed), 1, None, LITTLE
    )


@st.composite
def descriptions(draw: st.DrawFn) -> PixelDescription:
    allocated = draw(st.sampled_from([1, 8, 16, 32]))
    photometric = draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"]))
    if allocated == 1 and photometric in ("RGB", "YBR_FULL"):
        photometric = "MONOCHROME2"
    description = describe(
        bits=draw(st.integers(1, allocated)),
        allocated=allocated,
        signed=draw(st.booleans()) and allocated > 1 and photometric.startswith("MONO"),
        photometric=photometric,
    )
    return replace(description, rows=draw(st.integers(1, 40)), columns=draw(st.integers(1, 40)))


def pixels(description: PixelDescription, seed: int = 0, *, smooth: bool = False) -> Frame:
    low = -(1 << (description.bits_stored - 1)) if description.pixel_representation else 0
    high = low + (1 << description.bits_stored)
    values = np.random.default_rng(seed).integers(low, high, description.shape)
    if smooth:
        values = np.sort(values, axis=0)
    frame: Frame = values.astype(description.dtype)
    return frame


@settings(max_examples=120, deadline=None)
@given(descriptions(), st.sampled_from(sorted(ENCODERS)), st.integers(0, 2**32 - 1), st.booleans())
def test_what_can_be_encoded_comes_back_as_it_was(
    description: PixelDescription, syntax: str, seed: int, smooth: bool
) -> None:
    frame = pixels(description, seed, smooth=smooth)
    try:
        encoded = encoded_description(description, syntax)
    except UnsupportedSyntaxError:
        assert not is_kept(description, syntax)
        return
    assert is_kept(description, syntax)
    assert np.array_equal(decode_stored(encode_frame(frame, encoded), encoded), frame)


def is_kept(description: PixelDescription, syntax: str) -> bool:
    """Say again, from the tables of PS3.5 8.2 and in other words, what a syntax carries."""
    if syntax == "1.2.840.10008.1.2.1.98":
        return True
    if syntax == "1.2.840.10008.1.2.8.1":
        return description.samples_per_pixel == 1 and description.bits_allocated <= 16
    if syntax == RLELossless:
        return description.bits_allocated != 1
    if syntax == "1.2.840.10008.1.2.4.110" and (
        description.pixel_representation or description.photometric_interpretation == "YBR_FULL"
    ):
        return False
    return description.bits_allocated in (8, 16)


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
@pytest.mark.parametrize("size", [1, 2, 5])
def test_frames_of_few_pixels_are_encoded(syntax: str, size: int) -> None:
    description = replace(describe(size=size), columns=size)
    encoded = encoded_description(description, syntax)
    frame = pixels(description)
    assert np.array_equal(decode_stored(encode_frame(frame, encoded), encoded), frame)


def test_every_syntax_that_is_encoded_is_decoded_and_lossless() -> None:
    assert set(ENCODERS) < set(CODECS)
    lossy = {"50", "51", "81", "91", "203", "112", "111"}
    assert not {syntax for syntax in ENCODERS if syntax.removeprefix("1.2.840.10008.1.2.4.") in lossy}


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
def test_floating_point_pixels_are_never_compressed(syntax: str) -> None:
    description = replace(describe(bits=32, allocated=32), float_kind=FloatKind.FLOAT)
    with pytest.raises(UnsupportedSyntaxError):
        encoder(description, syntax)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91", "1.2.3"])
def test_lossy_and_unknown_syntaxes_are_refused(syntax: str) -> None:
    with pytest.raises(UnsupportedSyntaxError):
        encoder(describe(), syntax)


def test_a_frame_that_came_out_otherwise_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = compress.Encoder(lambda frame, _: (frame + 1).tobytes(), {"MONOCHROME2": "MONOCHROME2"})
    monkeypatch.setattr(compress, "ENCODERS", {"1.2.840.10008.1.2.1.98": spoilt})
    encoded = encoded_description(describe(), "1.2.840.10008.1.2.1.98")
    with pytest.raises(InvalidInstanceError, match="survive"):
        encode_frame(pixels(describe()), encoded)


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [(JPEG2000Lossless, "YBR_RCT"), ("1.2.840.10008.1.2.4.202", "YBR_RCT"), (JPEGLSLossless, "RGB")],
)
def test_a_colour_transform_of_the_code_stream_is_told(syntax: str, photometric: str) -> None:
    encoded = encoded_description(describe(bits=8, allocated=8, photometric="RGB"), syntax)
    assert encoded.photometric_interpretation == photometric
    data = encode_frame(pixels(describe(bits=8, allocated=8, photometric="RGB")), encoded)
    if photometric == "YBR_RCT":
        style = data.index(b"\xff\x52")
        assert data[style + 8] == 1  # SGcod: multiple component transform (T.800 Table A.17)


def test_htj2k_goes_by_resolution_and_tells_its_tile_parts() -> None:
    encoded = encoded_description(describe(), "1.2.840.10008.1.2.4.202")
    data = encode_frame(pixels(describe()), encoded)
    assert data[data.index(b"\xff\x52") + 5] == 2  # RPCL
    assert 0 < data.index(b"\xff\x55") < data.index(b"\xff\x90")  # TLM in the main header
    assert data[42] == 11  # 12 bits, unsigned


KINDS = [
    describe(bits=8, allocated=8),
    describe(bits=12),
    describe(bits=16, signed=True),
    describe(bits=12, signed=True),
    describe(bits=8, allocated=8, photometric="RGB"),
]


def named(description: PixelDescription) -> str:
    sign = "signed" if description.pixel_representation else "unsigned"
    return f"{description.photometric_interpretation}-{description.bits_stored}-{sign}"


def written(description: PixelDescription, syntax: str, path: Path) -> Frame:
    """Write an object with one frame in a syntax; return the frame."""
    encoded = encoded_description(description, syntax)
    frame = pixels(description, smooth=True)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = encoded.rows, encoded.columns, encoded.samples_per_pixel
    ds.PhotometricInterpretation = encoded.photometric_interpretation
    if encoded.samples_per_pixel > 1:
        ds.PlanarConfiguration = encoded.planar_configuration
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = encoded.bits_allocated, encoded.bits_stored, encoded.high_bit
    ds.PixelRepresentation = encoded.pixel_representation
    ds.PixelData = encapsulate([encode_frame(frame, encoded)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.save_as(path, enforce_file_format=True)
    return frame


@pytest.mark.parametrize("syntax", PYDICOM)
@pytest.mark.parametrize("description", KINDS, ids=named)
def test_pydicom_reads_what_was_encoded(description: PixelDescription, syntax: str, tmp_path: Path) -> None:
    path = tmp_path / "encoded.dcm"
    frame = written(description, syntax, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = dcmread(BytesIO(path.read_bytes()))
        assert np.array_equal(ds.pixel_array, frame)


@pytest.mark.parametrize("syntax", HTJ2K)
@pytest.mark.parametrize("description", KINDS, ids=named)
def test_another_decoder_than_ours_reads_htj2k(description: PixelDescription, syntax: str) -> None:
    encoded, frame = encoded_description(description, syntax), pixels(description, smooth=True)
    decoded = imagecodecs.htj2k_decode(encode_frame(frame, encoded))  # OpenJPH; ours is OpenJPEG
    assert np.array_equal(decoded, frame)


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("syntax", sorted(DCMTK))
@pytest.mark.parametrize("description", KINDS, ids=named)
def test_dcmtk_reads_what_was_encoded(description: PixelDescription, syntax: str, tmp_path: Path) -> None:
    path, plain = tmp_path / "encoded.dcm", tmp_path / "plain.dcm"
    frame = written(description, syntax, path)
    program = shutil.which(DCMTK[syntax])
    assert program is not None
    subprocess.run([program, str(path), str(plain)], check=True, timeout=60)
    assert np.array_equal(dcmread(plain).pixel_array, frame)
