from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.imaging.decode import decode_frame
from pacs_gateway.imaging.display import pixel_aspect, render
from pacs_gateway.imaging.window import VoiFunction, Window
from tests.pacs_gateway.imaging.samples import (
    REFUSED,
    as_received,
    colour_header,
    grey_header,
    image_paths,
    load,
    read,
)

_GREY = [
    path
    for path in image_paths()
    if path.name not in REFUSED and str(read(path).get("PhotometricInterpretation")).startswith("MONOCHROME")
]


def _independent(stored: NDArray[np.number], dataset: Dataset) -> NDArray[np.float64]:
    """What pydicom's processing makes of stored values, as shades from 0 to 255."""
    values = np.asarray(apply_modality_lut(stored, dataset), np.float64)
    if "WindowWidth" in dataset:
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        bits = dataset.BitsStored
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1)
        low, high = low * slope + intercept, high * slope + intercept
        values = apply_voi_lut(values, dataset)
    elif dataset.BitsAllocated == 1:
        low, high = 0, 1
    else:
        low, high = np.percentile(values, [1, 99])
    shades = np.clip((values - low) / (high - low), 0, 1) * 255
    return np.asarray(255 - shades if dataset.PhotometricInterpretation == "MONOCHROME1" else shades)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", _GREY, ids=lambda path: path.name)
def test_grey_files_are_shown_as_pydicom_computes_them(path: Path) -> None:
    sample = load(path)
    frame = decode_frame(sample.frames()[0], sample.description)
    np.testing.assert_allclose(render(frame, sample.header, index=0), _independent(frame, read(path)), rtol=0, atol=1)


def _lut(values: list[int], first: int, bits: int = 16) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = np.array(values, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def _ramp(n: int = 24, dtype: str = "u2", first: int = 0) -> NDArray[np.number]:
    return np.arange(first, first + n).astype(dtype).reshape(4, 6)


def test_the_objects_window_is_used_after_the_rescale() -> None:
    header = grey_header(RescaleSlope="2", RescaleIntercept="-10", WindowCenter=["0", "99"], WindowWidth=["5", "1"])
    shown = render(_ramp(), header, index=0).ravel()
    expected = np.clip((np.arange(24) * 2 - 10 + 0.5) / 4 + 0.5, 0, 1) * 255
    np.testing.assert_allclose(shown, expected, atol=0.51)


def test_a_window_that_is_asked_for_replaces_the_objects() -> None:
    header = grey_header(WindowCenter="1000", WindowWidth="10")
    asked = Window(12, 24, VoiFunction.LINEAR_EXACT)
    np.testing.assert_allclose(render(_ramp(), header, index=0, window=asked).ravel(), np.arange(24) / 24 * 255, atol=1)


def test_the_voi_function_is_the_objects() -> None:
    header = grey_header(WindowCenter="12", WindowWidth="8", VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (np.arange(24) - 12) / 8))
    np.testing.assert_allclose(render(_ramp(), header, index=0).ravel(), expected, atol=0.51)


@pytest.mark.parametrize("width", ["0", "-5"])
def test_an_unusable_window_counts_as_none(width: str) -> None:
    header = grey_header(WindowCenter="5", WindowWidth=width)
    np.testing.assert_array_equal(render(_ramp(), header, index=0), render(_ramp(), grey_header(), index=0))


def test_a_voi_lut_goes_before_a_window() -> None:
    header = grey_header(WindowCenter="5", WindowWidth="1", VOILUTSequence=[_lut([0, 65535, 0, 65535], 10)])
    shown = render(_ramp(), as_received(header), index=0).ravel()
    assert shown[:10].tolist() == [0] * 10
    assert shown[10:13].tolist() == [0, 255, 0]
    assert shown[13:].tolist() == [255] * 11


def test_a_modality_lut_replaces_the_rescale() -> None:
    header = grey_header(
        ModalityLUTSequence=[_lut([100, 200, 300], -1)],
        PixelRepresentation=1,
        WindowCenter="200",
        WindowWidth="200",
        VOILUTFunction="LINEAR_EXACT",
    )
    shown = render(_ramp(dtype="i2", first=-3), as_received(header), index=0).ravel()
    assert shown[:6].tolist() == [0, 0, 0, 128, 255, 255]


@pytest.mark.parametrize("changes", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}])
def test_inverse_images_are_inverted_once(changes: dict[str, object]) -> None:
    plain = render(_ramp(), grey_header(), index=0)
    np.testing.assert_array_equal(render(_ramp(), grey_header(**changes), index=0), 255 - plain)
    both = grey_header(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    np.testing.assert_array_equal(render(_ramp(), both, index=0), 255 - plain)


def test_padding_does_not_widen_the_spread() -> None:
    frame = _ramp(dtype="i2")
    frame[0] = -2000
    with_padding = render(frame, grey_header(PixelRepresentation=1, PixelPaddingValue=-2000), index=0)
    assert with_padding[1:].min() == 0
    assert with_padding[1:].max() == 255
    assert with_padding[2, 3] not in (0, 255)
    in_range = grey_header(PixelRepresentation=1, PixelPaddingValue=-2100, PixelPaddingRangeLimit=-1900)
    np.testing.assert_array_equal(render(frame, in_range, index=0), with_padding)


@pytest.mark.parametrize(
    "changes", [{}, {"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}]
)
def test_padding_is_black_background(changes: dict[str, object]) -> None:
    frame = _ramp(dtype="i2")
    frame[0] = 100
    changes = {"PixelRepresentation": 1, "WindowCenter": "100", "WindowWidth": "300"} | changes
    header = grey_header(PixelPaddingValue=90, PixelPaddingRangeLimit=110, **changes)
    shown = render(frame, as_received(header), index=0)
    assert not shown[0].any()
    np.testing.assert_array_equal(shown[1:], render(frame, grey_header(**changes), index=0)[1:])


@pytest.mark.parametrize(
    ("dtype", "value", "limit"),
    [
        ("f4", "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
        ("f8", "DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
    ],
)
def test_floating_point_padding_is_black_and_not_spread(dtype: str, value: str, limit: str) -> None:
    frame = np.linspace(0, 1, 24).reshape(4, 6).astype(dtype)
    frame[0] = -1.1
    header = as_received(grey_header(**{value: -1.1, limit: -1.2}))
    shown = render(frame, header, index=0)
    assert not shown[0].any()
    assert shown[3, 5] == 255
    assert shown[2, 2] not in (0, 255)


def test_an_image_of_nothing_but_padding_is_shown() -> None:
    frame = _ramp()
    header = grey_header(PixelPaddingValue=0, PixelPaddingRangeLimit=100)
    np.testing.assert_array_equal(render(frame, header, index=0), render(frame, grey_header(), index=0))


def test_a_presentation_lut_maps_the_windows_whole_range() -> None:
    header = grey_header(WindowCenter="12", WindowWidth="24", VOILUTFunction="LINEAR_EXACT")
    header.PresentationLUTSequence = [_lut([0, 65535, 0], 0)]
    shown = render(_ramp(), as_received(header), index=0).ravel()
    shades = np.arange(24) / 24
    np.testing.assert_array_equal(shown, np.where((shades > 0.25) & (shades < 0.75), 255, 0))


@pytest.mark.parametrize("presentation", ["COLOR", "MIXED", "MONOCHROME"])
@pytest.mark.parametrize("is_per_frame", [True, False])
def test_a_supplemental_palette_colours_what_lies_above_the_grey(presentation: str, is_per_frame: bool) -> None:
    header = _palette(grey_header(WindowCenter="5", WindowWidth="10", NumberOfFrames=2), 14, 10, 16)
    header.PixelPresentation = "MIXED" if is_per_frame else presentation
    if is_per_frame:
        frame_types = []
        for said in ("MONOCHROME", presentation):
            frame_type = Dataset()
            frame_type.PixelPresentation = said
            frame_types.append(_groups(MRImageFrameTypeSequence=frame_type))
        header.PerFrameFunctionalGroupsSequence = frame_types
    shown = render(_ramp(), as_received(header), index=1)
    grey = render(_ramp(), grey_header(WindowCenter="5", WindowWidth="10"), index=0)
    if presentation == "MONOCHROME":
        np.testing.assert_array_equal(shown, grey)
        return
    is_coloured = _ramp() >= 10
    np.testing.assert_array_equal(shown[~is_coloured], np.repeat(grey[~is_coloured][:, np.newaxis], 3, axis=1))
    del header.PixelPresentation  # pydicom only knows plain palettes
    np.testing.assert_array_equal(shown[is_coloured], (apply_color_lut(_ramp(), header) >> 8)[is_coloured])


def test_values_of_32_bits_and_of_more_than_a_table_are_shown() -> None:
    header = grey_header(BitsAllocated=32, BitsStored=32, WindowCenter="0", WindowWidth="4e9", PixelRepresentation=1)
    frame = np.linspace(-2e9, 2e9, 24).astype("i4").reshape(4, 6)
    np.testing.assert_allclose(render(frame, header, index=0).ravel(), np.linspace(0, 255, 24), atol=0.51)


def test_an_image_of_one_value_is_shown() -> None:
    assert render(np.zeros((4, 6), np.uint16), grey_header(), index=0).max() == 0
    assert render(np.ones((4, 6), np.uint8), grey_header(BitsAllocated=1), index=0).min() == 255


def test_one_bit_pixels_are_black_and_white() -> None:
    frame = np.zeros((100, 100), np.uint8)
    frame[3, 4] = 1
    shown = render(frame, grey_header(BitsAllocated=1), index=0)
    assert (shown[3, 4], shown.sum()) == (255, 255)


def test_float_pixels_without_a_number_are_shown() -> None:
    frame = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    frame[0, 0], frame[0, 1] = np.nan, np.inf
    shown = render(frame, grey_header(), index=0)
    assert shown[0, 1] == 255
    assert shown[3, 0] not in (0, 255)


def _groups(**macros: Dataset) -> Dataset:
    groups = Dataset()
    for keyword, item in macros.items():
        setattr(groups, keyword, [item])
    return groups


def _window_item(center: int, width: int) -> Dataset:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = str(center), str(width)
    return item


def test_enhanced_frames_have_their_own_window_and_a_shared_rescale() -> None:
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "-1000", "HU"
    header = grey_header(
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[_groups(PixelValueTransformationSequence=rescale)],
        PerFrameFunctionalGroupsSequence=[
            _groups(FrameVOILUTSequence=_window_item(-990, 2)),
            _groups(FrameVOILUTSequence=_window_item(-980, 2)),
        ],
    )
    received = as_received(header)
    first, second = (render(_ramp(), received, index=index).ravel() for index in range(2))
    assert [int(np.argmax(shown > 0)) for shown in (first, second)] == [10, 20]


def _palette(header: Dataset, n: int, first: int, bits: int, *, packed: bool = False) -> Dataset:
    for step, colour in enumerate(("Red", "Green", "Blue"), start=1):
        entries = (np.arange(n) * step * 257 if bits == 16 else np.arange(n) * step) % 2**bits
        setattr(header, f"{colour}PaletteColorLookupTableDescriptor", [n % 65536, first, bits])
        data = entries.astype("u1" if packed else "<u2").tobytes()
        setattr(header, f"{colour}PaletteColorLookupTableData", data + bytes(len(data) % 2))
    return header


@pytest.mark.parametrize(("bits", "packed"), [(8, False), (8, True), (16, False)])
def test_palette_colours_are_pydicoms(bits: int, packed: bool) -> None:
    header = _palette(grey_header(PhotometricInterpretation="PALETTE COLOR"), 20, 2, bits, packed=packed)
    frame = _ramp(dtype="u1")
    expected = apply_color_lut(frame, header) >> (bits - 8)
    np.testing.assert_array_equal(render(frame, as_received(header), index=0), expected)


def test_a_palette_said_to_be_deeper_than_it_is_is_not_black() -> None:
    header = _palette(grey_header(PhotometricInterpretation="PALETTE COLOR"), 24, 0, 8)
    for colour in ("Red", "Green", "Blue"):
        setattr(header, f"{colour}PaletteColorLookupTableDescriptor", [24, 0, 16])
    assert render(_ramp(), header, index=0)[..., 0].max() == 23


def test_a_missing_palette_is_refused() -> None:
    with pytest.raises(InvalidInstanceError):
        render(_ramp(), grey_header(PhotometricInterpretation="PALETTE COLOR"), index=0)


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("u2", 12), ("u4", 32)])
def test_colour_of_any_depth_becomes_eight_bit(dtype: str, bits: int) -> None:
    top = 2**bits - 1
    frame = np.array([[[0, top, top // 2]]], dtype)
    assert render(frame, colour_header(BitsStored=bits), index=0).tolist() == [[[0, 255, pytest.approx(127, abs=1)]]]


@pytest.mark.parametrize(
    ("changes", "aspect"),
    [
        ({}, 1),
        ({"PixelSpacing": ["0.5", "0.25"]}, 2),
        ({"ImagerPixelSpacing": ["0.1", "0.2"]}, 0.5),
        ({"PixelAspectRatio": ["4", "3"], "PixelSpacing": ["1", "1"]}, 4 / 3),
        ({"PixelSpacing": ["0", "1"]}, 1),
        ({"PixelSpacing": ["1000", "1"]}, 1),
    ],
)
def test_the_pixels_shape_is_the_objects(changes: dict[str, object], aspect: float) -> None:
    assert pixel_aspect(as_received(grey_header(**changes)), index=0) == pytest.approx(aspect)


@pytest.mark.parametrize(
    "changes",
    [
        {"ModalityLUTSequence": [_lut([1, 2], 0, bits=17)]},
        {"VOILUTSequence": [Dataset()]},
        {"PixelSpacing": None, "RescaleSlope": "1e400"},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_malformed_display_attributes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInstanceError):
        render(_ramp(), as_received(grey_header(**changes)), index=0)


@settings(deadline=None)
@given(
    slope=st.floats(allow_nan=False, allow_infinity=False),
    intercept=st.floats(allow_nan=False, allow_infinity=False),
    center=st.floats(allow_nan=False, allow_infinity=False),
    width=st.floats(allow_nan=False, allow_infinity=False),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "OTHER", ""]),
)
def test_no_number_in_the_header_stops_the_rendering(
    slope: float, intercept: float, center: float, width: float, function: str
) -> None:
    header = grey_header(VOILUTFunction=function)
    for keyword, value in (
        ("RescaleSlope", slope),
        ("RescaleIntercept", intercept),
        ("WindowCenter", center),
        ("WindowWidth", width),
    ):
        header.add_new(keyword, "FD", value)
    try:
        shown = render(_ramp(), header, index=0)
    except GatewayError:
        return
    assert shown.shape == (4, 6)
