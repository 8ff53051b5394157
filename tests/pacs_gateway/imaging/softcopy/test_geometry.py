import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_gateway.imaging.softcopy.geometry import layout
from pacs_gateway.imaging.softcopy.reference import Target
from tests.pacs_gateway.imaging.softcopy.states import SOP_UID, image_header, item, state

_TARGET = Target(SOP_UID, 0)
_IMAGE = np.arange(1, 25, dtype=np.uint8).reshape(4, 6)
_HEADER = image_header(4, 6)


def _state(first: tuple[int, int], last: tuple[int, int], **changes: object) -> Dataset:
    """A state that shows columns and rows from `first` to `last`."""
    area = item(
        DisplayedAreaTopLeftHandCorner=list(first),
        DisplayedAreaBottomRightHandCorner=list(last),
        PresentationSizeMode="SCALE TO FIT",
    )
    return state(4, 6, DisplayedAreaSelectionSequence=[area], **changes)


def _padded(top: int, left: int, bottom: int, right: int) -> NDArray[np.uint8]:
    """Rows and columns (0-based) of the image, black where there is none."""
    return np.pad(_IMAGE, 10)[top + 10 : bottom + 10, left + 10 : right + 10]


@settings(deadline=None)
@given(
    first=st.tuples(st.integers(-5, 12), st.integers(-5, 12)),
    last=st.tuples(st.integers(-5, 12), st.integers(-5, 12)),
    turns=st.integers(0, 3),
    is_flipped=st.booleans(),
)
def test_the_area_is_cut_turned_and_flipped(
    first: tuple[int, int], last: tuple[int, int], turns: int, is_flipped: bool
) -> None:
    wanted = _state(first, last, ImageRotation=90 * turns, ImageHorizontalFlip="NY"[is_flipped])
    left, right = sorted((first[0], last[0]))
    top, bottom = sorted((first[1], last[1]))
    expected = np.rot90(_padded(top - 1, left - 1, bottom, right), -turns)
    expected = expected[:, ::-1] if is_flipped else expected
    placed = layout(wanted, _HEADER, _TARGET, None)
    np.testing.assert_array_equal(placed.laid_out(_IMAGE), expected)


@settings(deadline=None)
@given(
    turns=st.integers(0, 3),
    is_flipped=st.booleans(),
    pixel=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    viewport=st.sampled_from([None, (60, 60)]),
)
def test_points_go_where_their_pixels_go(
    turns: int, is_flipped: bool, pixel: tuple[int, int], viewport: tuple[int, int] | None
) -> None:
    wanted = _state((1, 1), (6, 4), ImageRotation=90 * turns, ImageHorizontalFlip="NY"[is_flipped])
    placed = layout(wanted, _HEADER, _TARGET, viewport)
    marked = np.zeros((4, 6), np.uint8)
    marked[pixel[1] - 1, pixel[0] - 1] = 255
    shown = placed.laid_out(marked)
    ((x, y),) = placed.of_image(np.array([[pixel[0] - 0.5, pixel[1] - 0.5]]))
    assert shown[int(y), int(x)] > 0.7 * shown.max()  # scaling softens


def test_display_units_are_parts_of_what_is_shown() -> None:
    placed = layout(_state((1, 1), (6, 4), ImageRotation=90, ImageHorizontalFlip="Y"), _HEADER, _TARGET, (80, 120))
    assert placed.size == (80, 120)
    np.testing.assert_allclose(
        placed.of_display(np.array([[0, 0], [0.5, 0.25], [1, 1]])), [[0, 0], [40, 30], [80, 120]]
    )


@pytest.mark.parametrize(
    ("shape", "turns", "size"),
    [
        ({"PresentationPixelSpacing": ["2", "1"]}, 0, (6, 8)),
        ({"PresentationPixelSpacing": ["2", "1"]}, 90, (8, 6)),
        ({"PresentationPixelAspectRatio": [1, 2]}, 0, (12, 4)),
        ({}, 0, (6, 4)),
    ],
)
def test_pixels_become_square(shape: dict[str, object], turns: int, size: tuple[int, int]) -> None:
    wanted = _state((1, 1), (6, 4), ImageRotation=turns, ImageHorizontalFlip="N")
    for keyword, value in shape.items():
        setattr(wanted.DisplayedAreaSelectionSequence[0], keyword, value)
    placed = layout(wanted, _HEADER, _TARGET, None)
    assert placed.size == size
    assert placed.laid_out(_IMAGE).shape == (size[1], size[0])


def test_without_an_area_the_whole_image_is_shown() -> None:
    placed = layout(state(DisplayedAreaSelectionSequence=None), _HEADER, _TARGET, None)
    np.testing.assert_array_equal(placed.laid_out(_IMAGE), _IMAGE)
