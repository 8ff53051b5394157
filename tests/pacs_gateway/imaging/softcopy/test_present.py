from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import GatewayError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.icc import lab_colour
from pacs_gateway.imaging.softcopy.present import COLOUR, PSEUDO_COLOUR, present
from tests.pacs_gateway.imaging.samples import as_received, colour_header
from tests.pacs_gateway.imaging.softcopy.states import SOP_UID, by_dcmtk, image_header, image_reference, item, state

_ROWS, _COLUMNS = 48, 64
_FRAME = np.random.default_rng(8).integers(0, 4096, (_ROWS, _COLUMNS), "u2")


def _lut(entries: NDArray[np.number], first: int = 0, **elements: object) -> Dataset:
    table = item(LUTDescriptor=[len(entries) % 65536, first, 16], **elements)
    table["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    table.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return table


_WINDOW = item(WindowCenter="1000", WindowWidth="2000")
_HU: dict[str, object] = {"RescaleSlope": "2", "RescaleIntercept": "-1024", "RescaleType": "HU"}
_GREY_STATES: dict[str, dict[str, object]] = {
    "nothing": {},
    "rescale": _HU,
    "inverse": {"PresentationLUTShape": "INVERSE"},
    "window": {"SoftcopyVOILUTSequence": [_WINDOW]},
    "rescale and window": {"SoftcopyVOILUTSequence": [_WINDOW], **_HU},
    "modality table": {"ModalityLUTSequence": [_lut(np.arange(4096) * 3 + 7, ModalityLUTType="US")]},
    "VOI table": {"SoftcopyVOILUTSequence": [item(VOILUTSequence=[_lut(np.arange(400) * 160, 500)])]},
    "presentation table": {
        "PresentationLUTSequence": [_lut(np.linspace(0, 1, 4096) ** 2 * 65535)],
        "PresentationLUTShape": None,
        "SoftcopyVOILUTSequence": [_WINDOW],
    },
}
_TURNS: dict[str, dict[str, object]] = {
    f"{turn} {flip}": {"ImageRotation": turn, "ImageHorizontalFlip": flip}
    for turn in (0, 90, 180, 270)
    for flip in "NY"
}
_STATES = _GREY_STATES | _TURNS


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("name", _STATES)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_states_are_shown_as_dcmtk_shows_them(name: str, photometric: str, tmp_path: Path) -> None:
    own_rescale = {} if name == "modality table" else {"RescaleSlope": "3", "RescaleIntercept": "9"}
    header = image_header(_ROWS, _COLUMNS, PhotometricInterpretation=photometric, **own_rescale)
    wanted = state(**_STATES[name])
    shown = present(_FRAME, as_received(header), as_received(wanted), index=0)
    np.testing.assert_allclose(shown.astype(int), by_dcmtk(_FRAME, header, wanted, tmp_path), rtol=0, atol=1)


def test_the_images_own_display_is_not_used() -> None:
    own = {"WindowCenter": "10", "WindowWidth": "3", "RescaleSlope": "7", "PresentationLUTShape": "INVERSE"}
    plain = present(_FRAME, image_header(_ROWS, _COLUMNS), state(), index=0)
    np.testing.assert_array_equal(present(_FRAME, image_header(_ROWS, _COLUMNS, **own), state(), index=0), plain)
    np.testing.assert_allclose(plain, _FRAME / 4095 * 255, atol=0.51)


def test_a_sigmoid_of_the_state_is_used() -> None:
    window = item(WindowCenter="1000", WindowWidth="2000", VOILUTFunction="SIGMOID")
    shown = present(_FRAME, image_header(_ROWS, _COLUMNS), state(SoftcopyVOILUTSequence=[window]), index=0)
    np.testing.assert_allclose(shown, 255 / (1 + np.exp(-4 * (_FRAME - 1000.0) / 2000)), atol=0.51)


def test_items_are_for_the_frames_they_name() -> None:
    def window(center: str, *references: Dataset) -> Dataset:
        voi = item(WindowCenter=center, WindowWidth="2")
        if references:
            voi.ReferencedImageSequence = list(references)
        return voi

    wanted = state(
        SoftcopyVOILUTSequence=[
            window("100", image_reference("9.9.9")),
            window("200", image_reference(SOP_UID, 2, 3)),
            window("300", image_reference(SOP_UID, 1)),
        ]
    )
    frame = np.arange(_ROWS * _COLUMNS, dtype="u2").reshape(_ROWS, _COLUMNS)
    header = image_header(_ROWS, _COLUMNS, NumberOfFrames=4)
    borders = [int((present(frame, header, wanted, index=index) == 0).sum()) for index in range(3)]
    assert borders == [300, 200, 200]
    np.testing.assert_allclose(present(frame, header, wanted, index=3), frame / 4095 * 255, atol=0.51)


def _with_overlay(dataset: Dataset, plane: NDArray[np.bool_], group: int = 0x6000) -> Dataset:
    rows, columns = plane.shape
    for element, vr, value in (
        (0x10, "US", rows),
        (0x11, "US", columns),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
        (0x100, "US", 1),
        (0x102, "US", 0),
        (0x3000, "OW", np.packbits(plane.ravel(), bitorder="little").tobytes()),
    ):
        dataset.add_new(group << 16 | element, vr, value)
    return dataset


_PLANE = np.random.default_rng(9).random((_ROWS, _COLUMNS)) < 0.3
_LAYER = item(GraphicLayer="L", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=0x6060)


@pytest.mark.parametrize("is_states_own", [True, False])
def test_overlays_that_are_activated_are_drawn_in_their_layers_grey(is_states_own: bool) -> None:
    header, wanted = image_header(_ROWS, _COLUMNS), state(GraphicLayerSequence=[_LAYER])
    _with_overlay(wanted if is_states_own else header, _PLANE)
    plain = present(_FRAME, header, wanted, index=0)
    assert (plain[_PLANE] != 0x60).any()
    wanted.add_new(0x60001001, "CS", "L")
    shown = present(_FRAME, as_received(header), as_received(wanted), index=0)
    assert np.all(shown[_PLANE] == 0x60)
    np.testing.assert_array_equal(shown[~_PLANE], plain[~_PLANE])


def test_a_bitmap_shutter_covers_in_its_grey() -> None:
    bitmap = {"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6002, "ShutterPresentationValue": 0x4040}
    wanted = _with_overlay(state(**bitmap), _PLANE, 0x6002)
    shown = present(_FRAME, image_header(_ROWS, _COLUMNS), as_received(wanted), index=0)
    assert np.all(shown[_PLANE] == 0x40)
    np.testing.assert_array_equal(
        shown[~_PLANE], present(_FRAME, image_header(_ROWS, _COLUMNS), state(), index=0)[~_PLANE]
    )


def test_colour_states_place_and_cover_colours_as_they_are() -> None:
    frame = np.random.default_rng(10).integers(0, 256, (_ROWS, _COLUMNS, 3), "u1")
    header = colour_header(Rows=_ROWS, Columns=_COLUMNS, SOPInstanceUID=SOP_UID)
    edges = {
        "ShutterShape": "RECTANGULAR",
        "ShutterLeftVerticalEdge": 3,
        "ShutterRightVerticalEdge": 60,
        "ShutterUpperHorizontalEdge": 2,
        "ShutterLowerHorizontalEdge": 40,
        "ShutterPresentationColorCIELabValue": [0x8000, 0xFFFF, 0x8080],
    }
    wanted = state(SOPClassUID=COLOUR, PresentationLUTShape=None, ImageHorizontalFlip="Y", ImageRotation=0, **edges)
    shown = present(frame, header, as_received(wanted), index=0)[:, ::-1]
    np.testing.assert_array_equal(shown[1:40, 2:60], frame[1:40, 2:60])
    assert np.all(shown[0] == lab_colour([0x8000, 0xFFFF, 0x8080]))


def test_pseudo_colour_states_colour_the_greys() -> None:
    wanted = state(SOPClassUID=PSEUDO_COLOUR, PresentationLUTShape=None)
    for colour, entries in {"Red": np.arange(256), "Green": 255 - np.arange(256), "Blue": np.zeros(256)}.items():
        setattr(wanted, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(wanted, f"{colour}PaletteColorLookupTableData", (entries * 257).astype("<u2").tobytes())
    grey = present(_FRAME, image_header(_ROWS, _COLUMNS), state(), index=0)
    shown = present(_FRAME, image_header(_ROWS, _COLUMNS), as_received(wanted), index=0)
    np.testing.assert_array_equal(shown, np.stack([grey, 255 - grey, 0 * grey], axis=-1))


def test_states_of_other_kinds_are_refused() -> None:
    with pytest.raises(UnsupportedSyntaxError):
        present(_FRAME, image_header(_ROWS, _COLUMNS), state(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.4"), index=0)


def test_a_grey_state_does_not_fit_a_colour_image() -> None:
    with pytest.raises(UnsupportedSyntaxError):
        present(np.zeros((4, 6, 3), np.uint8), colour_header(), state(4, 6), index=0)


@pytest.mark.parametrize(
    ("encoded", "levels"),
    [
        ([0, 0x8080, 0x8080], (0, 0, 0)),
        ([0xFFFF, 0x8080, 0x8080], (255, 255, 255)),
        # CIELab (D50) of sRGB's red: 54.29, 80.80, 69.89
        ([round(54.29 * 655.35), round(208.80 * 257), round(197.89 * 257)], (255, 0, 0)),
    ],
)
def test_colours_of_layers_and_shutters_are_srgb(encoded: list[int], levels: tuple[int, ...]) -> None:
    np.testing.assert_allclose(lab_colour(encoded), levels, atol=1)


_NUMBERS = st.integers(-(2**15), 2**15 - 1)


@settings(deadline=None, max_examples=60)
@given(
    corners=st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 4),
    shapes=st.lists(st.sampled_from(["RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP", "OTHER"]), max_size=3),
    numbers=st.lists(_NUMBERS, min_size=10, max_size=10),
    points=st.lists(st.floats(width=32), max_size=12),
    kind=st.sampled_from(["POINT", "POLYLINE", "INTERPOLATED", "CIRCLE", "ELLIPSE", "OTHER"]),
)
def test_no_number_of_a_state_stops_the_process(
    corners: tuple[int, ...], shapes: list[str], numbers: list[int], points: list[float], kind: str
) -> None:
    wanted = state()
    area = wanted.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = list(corners[:2]), list(corners[2:])
    edges = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
    for position, edge in enumerate(edges):
        setattr(wanted, f"Shutter{edge}Edge", numbers[position])
    wanted.ShutterShape, wanted.CenterOfCircularShutter, wanted.RadiusOfCircularShutter = (
        shapes,
        numbers[:2],
        numbers[2],
    )
    wanted.VerticesOfThePolygonalShutter, wanted.ImageRotation = numbers, abs(numbers[3])
    graphic = item(GraphicType=kind, GraphicData=points, GraphicAnnotationUnits="PIXEL", GraphicFilled="Y")
    wanted.GraphicAnnotationSequence = [item(GraphicLayer="L", GraphicObjectSequence=[graphic])]
    try:
        shown = present(_FRAME, image_header(_ROWS, _COLUMNS), wanted, index=0, viewport=(40, 40))
    except GatewayError:
        return
    assert max(shown.shape[:2]) <= 40


def test_a_displayed_area_without_measure_is_refused() -> None:
    wanted = state()
    wanted.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner = [100_000, 100_000]
    with pytest.raises(InvalidInstanceError):
        present(_FRAME, image_header(_ROWS, _COLUMNS), wanted, index=0)
