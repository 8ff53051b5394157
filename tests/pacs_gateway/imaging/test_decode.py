import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from openjpeg.utils import decode as openjpeg_decode
from pydicom import uid
from pydicom.dataset import Dataset

from pacs_gateway.errors import GatewayError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.decode import CODECS, codec, decode_frame
from pacs_gateway.imaging.pixels import describe_pixels
from tests.pacs_gateway.imaging.samples import (
    BIG,
    LITTLE,
    REFUSED,
    colour_header,
    grey_header,
    image_paths,
    load,
    read,
)

# What pydicom with Pillow and its own RLE decoder cannot read; where another decoder can, it is the judge below.
BY_DCMTK = {
    "JPEG-lossy.dcm": "12-bit JPEG",
    "JPGExtended.dcm": "12-bit JPEG",
    "JPEGLSNearLossless_08.dcm": "JPEG-LS",
    "JPEGLSNearLossless_16.dcm": "JPEG-LS",
    "MR_small_jpeg_ls_lossless.dcm": "JPEG-LS",
    "SC_rgb_jls_lossy_line.dcm": "JPEG-LS",
    "SC_rgb_jls_lossy_sample.dcm": "JPEG-LS",
    "SC_rgb_jpeg_gdcm.dcm": "lossless JPEG",
}
BY_OPENJPEG = {"GDCMJ2K_TextGBR.dcm": "Pillow finds the stream broken"}
JPEG_ROUNDING = 1
"""Grey levels by which two builds of libjpeg may differ in the inverse transform."""

EXPLICIT_98, DEFLATED_FRAME, XL = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.110"


def _decode_all(path: Path) -> NDArray[np.number]:
    sample = load(path)
    frames = [decode_frame(data, sample.description, index=n) for n, data in enumerate(sample.frames())]
    return frames[0] if len(frames) == 1 else np.stack(frames)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "path",
    [path for path in image_paths() if path.name not in {**REFUSED, **BY_DCMTK, **BY_OPENJPEG}],
    ids=lambda path: path.name,
)
def test_files_decode_as_pydicom_decodes_them(path: Path) -> None:
    expected = read(path).pixel_array
    decoded = _decode_all(path)
    assert decoded.shape == expected.shape
    assert decoded.dtype == expected.dtype.newbyteorder("=")
    lossy = load(path).syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=JPEG_ROUNDING if lossy else 0)


@pytest.mark.parametrize("path", [path for path in image_paths() if path.name in REFUSED], ids=lambda path: path.name)
def test_files_without_an_image_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInstanceError):
        _decode_all(path)


@pytest.mark.peer("dcmtk")
@pytest.mark.skipif(not shutil.which("dcmdjpeg"), reason="DCMTK is not installed")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", [path for path in image_paths() if path.name in BY_DCMTK], ids=lambda path: path.name)
def test_files_decode_as_dcmtk_decodes_them(path: Path, tmp_path: Path) -> None:
    program = "dcmdjpls" if "JPEG-LS" in BY_DCMTK[path.name] else "dcmdjpeg"
    subprocess.run([program, path, tmp_path / "out.dcm"], check=True, capture_output=True)
    expected = pydicom.dcmread(tmp_path / "out.dcm").pixel_array
    np.testing.assert_allclose(_decode_all(path), expected, rtol=0, atol=JPEG_ROUNDING)


@pytest.mark.parametrize(
    "path", [path for path in image_paths() if path.name in BY_OPENJPEG], ids=lambda path: path.name
)
def test_files_decode_as_openjpeg_decodes_them(path: Path) -> None:
    np.testing.assert_array_equal(_decode_all(path), openjpeg_decode(load(path).frames()[0]))


def _described(header: Dataset, syntax: str) -> Callable[[bytes], NDArray[np.number]]:
    description = describe_pixels(header, syntax)
    return lambda data: decode_frame(data, description)


_RANDOM = np.random.default_rng(7)


def _encoders() -> dict[str, Callable[[NDArray[np.number]], bytes]]:
    def jpeg_lossless(pixels: NDArray[np.number]) -> bytes:
        bits = 8 * pixels.dtype.itemsize
        space = "rgb" if pixels.ndim == 3 else None
        unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
        return bytes(
            imagecodecs.jpeg8_encode(
                unsigned, lossless=True, bitspersample=bits, predictor=1, colorspace=space, outcolorspace=space
            )
        )

    def jpeg2000(pixels: NDArray[np.number]) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0, reversible=True))

    def boxed_jpeg2000(pixels: NDArray[np.number]) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="jp2", level=0, reversible=True))

    def jpeg_ls(pixels: NDArray[np.number]) -> bytes:
        return bytes(imagecodecs.jpegls_encode(pixels.view(f"u{pixels.dtype.itemsize}")))

    def htj2k(pixels: NDArray[np.number]) -> bytes:
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))

    def jpeg_xl(pixels: NDArray[np.number]) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(pixels.view(f"u{pixels.dtype.itemsize}"), lossless=True))

    def boxed_jpeg_xl(pixels: NDArray[np.number]) -> bytes:
        unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
        return bytes(imagecodecs.jpegxl_encode(unsigned, lossless=True, usecontainer=True))

    def deflated(pixels: NDArray[np.number]) -> bytes:
        deflate = zlib.compressobj(wbits=-15)
        return deflate.compress(pixels.tobytes()) + deflate.flush()

    return {
        f"{uid.JPEGLossless} first order": jpeg_lossless,
        f"{uid.JPEGLosslessSV1} first order": jpeg_lossless,
        f"{uid.JPEGLSLossless} bare": jpeg_ls,
        f"{uid.JPEG2000Lossless} bare": jpeg2000,
        f"{uid.JPEG2000} boxed": boxed_jpeg2000,
        f"{uid.HTJ2KLossless} bare": htj2k,
        f"{uid.HTJ2KLosslessRPCL} bare": htj2k,
        f"{uid.HTJ2K} by the other decoder's encoder": htj2k,
        f"{XL} bare": jpeg_xl,
        f"{XL} boxed": boxed_jpeg_xl,
        f"{EXPLICIT_98} plain": lambda pixels: pixels.tobytes(),
        f"{DEFLATED_FRAME} deflated": deflated,
    }


@pytest.mark.parametrize("kind", _encoders())
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_lossless_grey_comes_back_bit_for_bit(kind: str, dtype: str) -> None:
    info = np.iinfo(dtype)
    pixels = _RANDOM.integers(info.min, info.max, (33, 47), dtype=dtype, endpoint=True)
    header = grey_header(
        Rows=33,
        Columns=47,
        BitsAllocated=info.bits,
        BitsStored=info.bits,
        HighBit=info.bits - 1,
        PixelRepresentation=int(info.min < 0),
    )
    decoded = _described(header, kind.split()[0])(_encoders()[kind](pixels))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == dtype


@pytest.mark.parametrize("kind", _encoders())
def test_lossless_colour_comes_back_bit_for_bit(kind: str) -> None:
    pixels = _RANDOM.integers(0, 255, (33, 47, 3), dtype=np.uint8, endpoint=True)
    decoded = _described(colour_header(Rows=33, Columns=47), kind.split()[0])(_encoders()[kind](pixels))
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("photometric", ["YBR_ICT", "RGB"])
def test_lossy_htj2k_colour_is_close_to_the_original(photometric: str) -> None:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], ramp[::-1]), axis=-1)
    data = bytes(imagecodecs.htj2k_encode(pixels, reversible=False, level=0.01))
    decoded = _described(colour_header(Rows=64, Columns=64, PhotometricInterpretation=photometric), uid.HTJ2K)(data)
    np.testing.assert_allclose(decoded, pixels, rtol=0, atol=5)


@pytest.mark.parametrize("kind", _encoders())
def test_a_cut_frame_is_refused(kind: str) -> None:
    pixels = _RANDOM.integers(0, 65535, (33, 47), dtype=np.uint16)
    data = _encoders()[kind](pixels)
    decode = _described(grey_header(Rows=33, Columns=47), kind.split()[0])
    for length in (0, 1, 2, 11, 40, 100, len(data) // 2, len(data) - 20):
        with pytest.raises(InvalidInstanceError):
            decode(data[:length])


@pytest.mark.parametrize("kind", _encoders())
@pytest.mark.parametrize("changes", [{"Rows": 34}, {"Columns": 2000, "Rows": 2000}])
def test_a_frame_of_another_size_is_refused(kind: str, changes: dict[str, object]) -> None:
    data = _encoders()[kind](np.zeros((33, 47), np.uint16))
    with pytest.raises(InvalidInstanceError):
        _described(grey_header(**({"Rows": 33, "Columns": 47} | changes)), kind.split()[0])(data)


@pytest.mark.parametrize("kind", _encoders())
@settings(deadline=None)
@given(noise=st.binary(max_size=200), at=st.integers(0, 400))
def test_noise_in_a_frame_never_crashes(kind: str, noise: bytes, at: int) -> None:
    data = bytearray(_encoders()[kind](np.arange(33 * 47, dtype=np.uint16).reshape(33, 47)))
    data[at : at + len(noise)] = noise
    try:
        decoded = _described(grey_header(Rows=33, Columns=47), kind.split()[0])(bytes(data))
    except GatewayError:
        return
    assert decoded.shape == (33, 47)


@pytest.mark.parametrize("marker", [b"\xff\xc0", b"\xff\xc3"])
def test_a_code_stream_that_claims_a_huge_frame_is_refused_before_it_is_decoded(marker: bytes) -> None:
    is_lossless = marker == b"\xff\xc3"
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((33, 47), np.uint8), lossless=is_lossless))
    position = data.find(marker)
    data[position + 5 : position + 9] = struct.pack(">HH", 65500, 65500)
    header = grey_header(Rows=33, Columns=47, BitsAllocated=8, BitsStored=8, HighBit=7)
    syntax = uid.JPEGLosslessSV1 if is_lossless else uid.JPEGBaseline8Bit
    with pytest.raises(InvalidInstanceError, match="another size"):
        _described(header, syntax)(bytes(data))


def test_a_deflated_frame_that_would_swell_is_refused() -> None:
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush()
    frame = _described(grey_header(), DEFLATED_FRAME)(bomb)
    assert frame.shape == (4, 6)  # what is beyond the frame is never inflated


def test_more_bits_than_the_header_says_are_refused() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.zeros((4, 6), np.uint16), codecformat="j2k", level=0, reversible=True))
    header = grey_header(BitsAllocated=8, BitsStored=8, HighBit=7)
    with pytest.raises(InvalidInstanceError):
        _described(header, uid.JPEG2000Lossless)(data)


@pytest.mark.parametrize("name", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.94", "1.2.3", ""])
def test_other_transfer_syntaxes_are_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedSyntaxError):
        codec(name)


def test_every_image_syntax_of_the_standard_is_in_the_table() -> None:
    undecoded = {
        # MPEG-2, MPEG-4, HEVC: video is not frames
        *(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109)),
        *(f"1.2.840.10008.1.2.4.{n}.1" for n in range(100, 107)),
        # JPEG 2000 part 2 multi-component, JPIP, SMPTE ST 2110: no decoder, or no pixels in the object
        *(f"1.2.840.10008.1.2.4.{n}" for n in (92, 93, 94, 95, 204, 205)),
        *(f"1.2.840.10008.1.2.7.{n}" for n in (1, 2, 3)),
    }
    assert set(uid.AllTransferSyntaxes) - set(CODECS) <= undecoded


def test_bits_outside_the_stored_ones_do_not_count() -> None:
    header = grey_header(Rows=1, Columns=3, BitsStored=12, HighBit=11)
    overlay = np.array([0xF123, 0x8FFF, 0x0001], "<u2").tobytes()
    assert _described(header, LITTLE)(overlay).tolist() == [[0x123, 0xFFF, 1]]


def test_signed_values_are_extended_from_the_high_bit() -> None:
    header = grey_header(Rows=1, Columns=3, BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert _described(header, LITTLE)(np.array([0x0FFF, 0x0800, 0x07FF], "<u2").tobytes()).tolist() == [
        [-1, -2048, 2047]
    ]


def test_stored_bits_may_lie_high() -> None:
    header = grey_header(Rows=1, Columns=2, BitsStored=12, HighBit=15)
    assert _described(header, LITTLE)(np.array([0x123F, 0xFFF0], "<u2").tobytes()).tolist() == [[0x123, 0xFFF]]


@settings(deadline=None)
@given(index=st.integers(0, 20), seed=st.integers(0, 2**32))
def test_one_bit_frames_begin_inside_bytes(index: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 2, (21, 3, 5), np.uint8)
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    header = grey_header(Rows=3, Columns=5, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=21)
    first, last = index * 15 // 8, ((index + 1) * 15 + 7) // 8
    decoded = decode_frame(packed[first:last], describe_pixels(header, LITTLE), index=index)
    np.testing.assert_array_equal(decoded, frames[index])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_words_of_bytes_are_swapped_in_big_endian(index: int) -> None:
    header = grey_header(Rows=1, Columns=3, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=3)
    words = np.frombuffer(bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]), "<u2").astype(">u2").tobytes()
    first, last = index * 3 // 2 * 2, ((index + 1) * 3 + 1) // 2 * 2
    decoded = decode_frame(words[first:last], describe_pixels(header, BIG, vr="OW"), index=index)
    assert decoded.tolist() == [[3 * index, 3 * index + 1, 3 * index + 2]]


def test_planes_are_interleaved() -> None:
    pixels = _RANDOM.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    decode = _described(colour_header(PlanarConfiguration=1), LITTLE)
    np.testing.assert_array_equal(decode(np.moveaxis(pixels, 2, 0).tobytes()), pixels)


def test_native_ybr_becomes_rgb() -> None:
    # black, white, and the primaries of PS3.3 C.7.6.3.1.2's equations
    ybr = bytes([0, 128, 128, 255, 128, 128, 76, 85, 255, 150, 44, 21, 29, 255, 107, 128, 128, 128])
    decode = _described(colour_header(Rows=1, PhotometricInterpretation="YBR_FULL"), LITTLE)
    expected = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]
    np.testing.assert_allclose(decode(ybr)[0], expected, atol=1)


def test_float_pixels_stay_floats() -> None:
    header = grey_header(BitsAllocated=32, BitsStored=None, HighBit=None, PixelRepresentation=None)
    pixels = _RANDOM.normal(size=(4, 6)).astype(">f4")
    decoded = _described(header, BIG)(pixels.tobytes())
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == np.float32


def test_jpeg_without_markers_is_in_the_headers_colour_space() -> None:
    pixels = np.tile(np.array([200, 30, 40], np.uint8), (16, 16, 1))
    data = bytes(imagecodecs.jpeg8_encode(pixels, 100, colorspace="rgb", outcolorspace="ycbcr", subsampling="444"))
    position = data.find(b"\xff\xe0")
    bare = data[:position] + data[position + 2 + int.from_bytes(data[position + 2 : position + 4]) :]
    size = {"Rows": 16, "Columns": 16}
    as_ybr = _described(colour_header(PhotometricInterpretation="YBR_FULL_422", **size), uid.JPEGBaseline8Bit)(bare)
    np.testing.assert_allclose(as_ybr, pixels, atol=3)
    as_rgb = _described(colour_header(**size), uid.JPEGBaseline8Bit)(bare)
    assert abs(int(as_rgb[0, 0, 0]) - 200) > 50  # the header says nothing was transformed, and is believed
