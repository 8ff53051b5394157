import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.softcopy.geometry import layout
from pacs_gateway.imaging.softcopy.graphic import MAX_OBJECTS, MAX_POINTS, annotate
from pacs_gateway.imaging.softcopy.reference import MAX_ITEMS, Target, references
from tests.pacs_gateway.imaging.samples import as_received
from tests.pacs_gateway.imaging.softcopy.states import SOP_UID, image_header, image_reference, item, state

_ROWS, _COLUMNS = 100, 120
_HEADER = image_header(_ROWS, _COLUMNS)
_TARGET = Target(SOP_UID, 0)
_Y, _X = np.mgrid[0.5:_ROWS, 0.5:_COLUMNS]


def _graphic(kind: str, points: list[float], **changes: object) -> Dataset:
    return item(GraphicType=kind, GraphicData=points, GraphicAnnotationUnits="PIXEL", GraphicDimensions=2, **changes)


def _text(text: str, **changes: object) -> Dataset:
    return item(UnformattedTextValue=text, **changes)


def _group(*objects: Dataset, layer: str = "L", **changes: object) -> Dataset:
    graphics = [each for each in objects if "GraphicType" in each]
    texts = [each for each in objects if "GraphicType" not in each]
    group = item(GraphicLayer=layer, **changes)
    if graphics:
        group.GraphicObjectSequence = graphics
    if texts:
        group.TextObjectSequence = texts
    return group


def _drawn(*groups: Dataset, **changes: object) -> NDArray[np.uint8]:
    """What is drawn on black."""
    return _drawn_over(_TARGET, *groups, **changes)


def _drawn_over(target: Target, *groups: Dataset, **changes: object) -> NDArray[np.uint8]:
    wanted = as_received(state(_ROWS, _COLUMNS, GraphicAnnotationSequence=list(groups), **changes))
    placed = layout(wanted, _HEADER, target, None)
    return annotate(placed.laid_out(np.zeros((_ROWS, _COLUMNS), np.uint8)), wanted, target, placed)


def test_a_line_goes_through_its_points() -> None:
    shown = _drawn(_group(_graphic("POLYLINE", [10.5, 10.5, 50.5, 10.5, 50.5, 60.5])))
    assert np.all(shown[10, 10:51] == 255)
    assert np.all(shown[10:61, 50] == 255)
    assert shown.sum() // 255 == 41 + 50


def test_a_filled_outline_is_filled() -> None:
    closed = [10.5, 20.5, 50.5, 20.5, 50.5, 60.5, 10.5, 60.5, 10.5, 20.5]
    assert np.all(_drawn(_group(_graphic("POLYLINE", closed, GraphicFilled="Y")))[20:61, 10:51] == 255)


def test_a_circle_has_its_radius() -> None:
    shown = _drawn(_group(_graphic("CIRCLE", [60, 50, 80, 50])))
    distance = np.hypot(_X - 60, _Y - 50)
    assert np.all(np.abs(distance[shown > 0] - 20) < 1.5)
    assert (shown > 0).sum() > 100


def test_an_ellipse_has_its_axes() -> None:
    shown = _drawn(_group(_graphic("ELLIPSE", [20, 50, 100, 50, 60, 30, 60, 70])))
    form = ((_X - 60) / 40) ** 2 + ((_Y - 50) / 20) ** 2
    assert np.all(np.abs(np.sqrt(form[shown > 0]) - 1) < 0.1)
    assert (shown > 0).sum() > 150


def test_a_curve_goes_through_its_points() -> None:
    points = [(10.5, 50.5), (40.5, 20.5), (70.5, 80.5), (110.5, 50.5)]
    shown = _drawn(_group(_graphic("INTERPOLATED", [number for point in points for number in point])))
    assert all(shown[int(y), int(x)] == 255 for x, y in points)
    assert (shown.any(axis=0)).sum() >= 100  # without gaps


def test_a_point_is_marked() -> None:
    assert _drawn(_group(_graphic("POINT", [30.5, 40.5])))[40, 30] == 255


def test_points_are_placed_as_their_units_say() -> None:
    turned = {"ImageRotation": 90, "ImageHorizontalFlip": "N"}
    of_image = _drawn(_group(_graphic("POINT", [10.5, 5.5])), **turned)
    assert of_image.shape == (_COLUMNS, _ROWS)
    assert of_image[10, _ROWS - 6] == 255
    of_display = _graphic("POINT", [0.5, 0.25])
    of_display.GraphicAnnotationUnits = "DISPLAY"
    assert _drawn(_group(of_display), **turned)[_COLUMNS // 4, _ROWS // 2] == 255


def test_layers_have_their_order_and_grey() -> None:
    layers = [
        item(GraphicLayer="ABOVE", GraphicLayerOrder=2, GraphicLayerRecommendedDisplayGrayscaleValue=0x4040),
        item(GraphicLayer="BELOW", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=0xFFFF),
    ]
    line = _graphic("POLYLINE", [10.5, 10.5, 50.5, 10.5])
    shown = _drawn(_group(line, layer="ABOVE"), _group(line, layer="BELOW"), GraphicLayerSequence=layers)
    assert np.all(shown[10, 10:51] == 0x40)


def test_a_layer_in_colour_makes_the_picture_one() -> None:
    red = [round(54.29 * 655.35), round(208.80 * 257), round(197.89 * 257)]
    layer = item(GraphicLayer="L", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayCIELabValue=red)
    shown = _drawn(_group(_graphic("POLYLINE", [10.5, 10.5, 50.5, 10.5])), GraphicLayerSequence=[layer])
    np.testing.assert_allclose(shown[10, 30], [255, 0, 0], atol=1)


def test_text_is_written_into_its_box() -> None:
    box = {
        "BoundingBoxAnnotationUnits": "PIXEL",
        "BoundingBoxTopLeftHandCorner": [20.0, 30.0],
        "BoundingBoxBottomRightHandCorner": [100.0, 60.0],
        "BoundingBoxTextHorizontalJustification": "LEFT",
    }
    shown = _drawn(_group(_text("Khối u\r\n12 mm", **box)), SpecificCharacterSet="ISO_IR 192").copy()
    assert shown[30:60, 20:100].any()
    shown[28:62, 18:102] = 0
    assert not shown.any()
    anchored = _text(
        "A", **box, AnchorPoint=[10.5, 90.5], AnchorPointVisibility="Y", AnchorPointAnnotationUnits="PIXEL"
    )
    assert _drawn(_group(anchored))[90, 10] == 255


def test_annotations_are_for_the_frames_they_name() -> None:
    line = _graphic("POLYLINE", [10.5, 10.5, 50.5, 10.5])
    second = _group(line, ReferencedImageSequence=[image_reference(SOP_UID, 2)])
    other = _group(line, ReferencedImageSequence=[image_reference("9.9")])
    assert not _drawn(second, other).any()
    assert _drawn_over(Target(SOP_UID, 1), second, other).any()


@pytest.mark.parametrize(
    "malformed",
    [
        _graphic("SPIRAL", [1, 1]),
        _graphic("ELLIPSE", [1, 1, 2, 2]),
        _graphic("POLYLINE", []),
        _text("nowhere"),
    ],
)
def test_malformed_annotations_are_refused(malformed: Dataset) -> None:
    with pytest.raises(InvalidInstanceError):
        _drawn(_group(malformed))


def test_there_is_an_end_to_annotations() -> None:
    with pytest.raises(InvalidInstanceError):
        _drawn(
            _group(*[_graphic("POINT", [1, 1])] * (MAX_OBJECTS // 2)),
            *[_group(_graphic("POINT", [1, 1]))] * MAX_OBJECTS,
        )
    with pytest.raises(InvalidInstanceError):
        _drawn(_group(*[_graphic("POLYLINE", [1.0, 1.0] * 10_000)] * (MAX_POINTS // 10_000 + 1)))


def test_a_state_names_its_images() -> None:
    series = item(
        SeriesInstanceUID="1.2", ReferencedImageSequence=[image_reference("3.4"), image_reference("5.6", 7, 8)]
    )
    found = references(as_received(state(ReferencedSeriesSequence=[series])))
    assert [(one.series_uid, one.sop_uid, one.frames) for one in found] == [("1.2", "3.4", ()), ("1.2", "5.6", (7, 8))]
    series.ReferencedImageSequence = [image_reference("3.4")] * (MAX_ITEMS + 1)
    with pytest.raises(InvalidInstanceError):
        references(state(ReferencedSeriesSequence=[series]))
