import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.imaging.decode import decode_cells, decode_frame
from pacs_gateway.imaging.overlay import drawn, has_embedded, overlay_mask
from pacs_gateway.imaging.pixels import describe_pixels
from tests.pacs_gateway.imaging.samples import BIG, LITTLE, as_received, grey_header, image_paths, load, named

_SHAPE = (4, 6)
_IMPLICIT = "1.2.840.10008.1.2"


def _with_overlay(header: Dataset, planes: NDArray[np.bool_], group: int = 0x6000, **changes: object) -> Dataset:
    """Add an overlay of `planes` (frames, rows, columns)."""
    n_frames, rows, columns = planes.shape
    data = np.packbits(planes.ravel(), bitorder="little").tobytes()
    attributes: dict[int, tuple[str, object]] = {
        0x0010: ("US", rows),
        0x0011: ("US", columns),
        0x0015: ("IS", changes.get("n_frames", n_frames)),
        0x0040: ("CS", "G"),
        0x0050: ("SS", changes.get("origin", [1, 1])),
        0x0051: ("US", changes.get("frame_origin")),
        0x0100: ("US", 1),
        0x0102: ("US", 0),
        0x3000: ("OW", data + bytes(len(data) % 2)),
    }
    for element, (vr, value) in attributes.items():
        if value is not None:
            header.add_new(group << 16 | element, vr, value)
    return header


def _mask(header: Dataset, *, index: int = 0) -> NDArray[np.bool_]:
    mask = overlay_mask(header, _SHAPE, index=index)
    assert mask is not None
    return mask


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    origin=st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
)
def test_an_overlay_lies_where_its_origin_says(seed: int, size: tuple[int, int], origin: tuple[int, int]) -> None:
    plane = np.random.default_rng(seed).random((1, *size)) < 0.5
    mask = _mask(as_received(_with_overlay(grey_header(), plane, origin=list(origin))))
    expected = np.zeros(_SHAPE, bool)
    for row, column in np.argwhere(plane[0]):
        at = (row + origin[0] - 1, column + origin[1] - 1)
        if 0 <= at[0] < _SHAPE[0] and 0 <= at[1] < _SHAPE[1]:
            expected[at] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("syntax", [LITTLE, _IMPLICIT])
def test_overlays_of_all_groups_lie_together(syntax: str) -> None:
    first, last = np.zeros((2, 1, *_SHAPE), bool)
    first[0, 0, 0] = last[0, 3, 5] = True
    header = _with_overlay(_with_overlay(grey_header(), first), last, 0x601E)
    np.testing.assert_array_equal(_mask(as_received(header, syntax)), (first | last)[0])


def test_words_of_a_big_endian_overlay_are_swapped() -> None:
    planes = np.random.default_rng(3).random((1, *_SHAPE)) < 0.5
    header = _with_overlay(grey_header(), planes)
    data = header[0x6000, 0x3000].value
    header[0x6000, 0x3000].value = np.frombuffer(data, "<u2").byteswap().tobytes()
    np.testing.assert_array_equal(_mask(as_received(header, BIG)), planes[0])


def test_frames_of_an_overlay_lie_over_the_frames_they_begin_with() -> None:
    planes = np.random.default_rng(4).random((2, 3, 5)) < 0.5  # 15 bits: the second begins inside a byte
    header = _with_overlay(grey_header(NumberOfFrames=4), planes, frame_origin=2)
    assert overlay_mask(header, (3, 5), index=0) is None
    for position in range(2):
        np.testing.assert_array_equal(overlay_mask(header, (3, 5), index=position + 1), planes[position])
    assert overlay_mask(header, (3, 5), index=3) is None


def test_one_plane_lies_over_every_frame() -> None:
    plane = np.ones((1, *_SHAPE), bool)
    header = _with_overlay(grey_header(NumberOfFrames=9), plane, n_frames=None)
    assert _mask(header, index=8).all()


def _in_cells(position: int) -> Dataset:
    header = grey_header(BitsStored=12, HighBit=11)
    for element, value in {0x10: 4, 0x11: 6, 0x100: 16, 0x102: position}.items():
        header.add_new(0x60000000 | element, "US", value)
    return header


def test_overlays_in_the_bits_beside_the_samples_are_found() -> None:
    random = np.random.default_rng(5)
    samples, plane = random.integers(0, 4096, _SHAPE, "u2"), random.random(_SHAPE) < 0.5
    header = as_received(_in_cells(15))
    data = (samples | plane.astype("u2") << 15).astype("<u2").tobytes()
    description = describe_pixels(header, LITTLE)
    np.testing.assert_array_equal(decode_frame(data, description), samples)
    assert has_embedded(header)
    cells = decode_cells(data, description)
    np.testing.assert_array_equal(overlay_mask(header, _SHAPE, index=0, cells=cells), plane)


@pytest.mark.parametrize("position", [0, 11, 16])
def test_bits_of_the_samples_are_no_overlay(position: int) -> None:
    header = _in_cells(position)
    assert not has_embedded(header)
    assert overlay_mask(header, _SHAPE, index=0, cells=np.ones(_SHAPE, "u2")) is None


def test_the_overlay_of_a_file_is_found() -> None:
    sample = named("examples_overlay.dcm")
    mask = overlay_mask(sample.header, sample.description.shape, index=0)
    assert mask is not None
    assert mask.any()


def test_an_image_without_overlays_stays_as_it_is() -> None:
    image = np.zeros(_SHAPE, np.uint8)
    assert drawn(image, overlay_mask(grey_header(), _SHAPE, index=0)) is image


@pytest.mark.parametrize("shape", [_SHAPE, (*_SHAPE, 3)])
def test_overlays_are_drawn_white(shape: tuple[int, ...]) -> None:
    mask = np.zeros(_SHAPE, bool)
    mask[1, 2] = True
    shown = drawn(np.full(shape, 7, np.uint8), mask)
    assert np.all(shown[1, 2] == 255)
    assert np.all(shown[~mask] == 7)


@settings(deadline=None)
@given(
    rows=st.integers(0, 65535),
    columns=st.integers(0, 65535),
    n_frames=st.integers(-(2**31), 2**31 - 1),
    frame_origin=st.integers(0, 65535),
    origin=st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)),
    index=st.integers(0, 2**31),
)
def test_no_number_of_an_overlay_reads_or_writes_outside(
    rows: int, columns: int, n_frames: int, frame_origin: int, origin: tuple[int, int], index: int
) -> None:
    header = _with_overlay(
        grey_header(), np.ones((1, 4, 6), bool), n_frames=n_frames, frame_origin=frame_origin, origin=list(origin)
    )
    header[0x6000, 0x0010].value, header[0x6000, 0x0011].value = rows, columns
    try:
        mask = overlay_mask(header, _SHAPE, index=index)
    except GatewayError:
        return
    assert mask is None or mask.shape == _SHAPE


def test_an_overlay_with_less_data_than_it_says_is_refused() -> None:
    header = _with_overlay(grey_header(), np.ones((1, *_SHAPE), bool))
    header[0x6000, 0x0010].value = 40
    with pytest.raises(InvalidInstanceError):
        overlay_mask(header, _SHAPE, index=0)


@pytest.mark.peer("dcmtk")
def test_an_overlay_lies_where_dcmtk_draws_it(tmp_path: Path) -> None:
    (path,) = (path for path in image_paths() if path.name == "examples_overlay.dcm")
    shown = {}
    for option in ("--no-overlays", "+Omr"):
        picture = tmp_path / f"{option}.png"
        subprocess.run(["dcm2pnm", "+Wm", option, "+on", str(path), str(picture)], check=True, timeout=60)
        shown[option] = np.asarray(Image.open(picture))
    plain = shown["--no-overlays"]
    mask = overlay_mask(load(path).header, plain.shape, index=0)
    np.testing.assert_array_equal(drawn(plain, mask), shown["+Omr"])
