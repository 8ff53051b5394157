import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.softcopy.shutter import MAX_VERTICES, covered
from tests.pacs_gateway.imaging.samples import as_received
from tests.pacs_gateway.imaging.softcopy.states import state

_SHAPE = (30, 40)
_Y, _X = np.mgrid[1:31, 1:41]


def _covered(**attributes: object) -> NDArray[np.bool_]:
    mask = covered(as_received(state(**attributes)), _SHAPE, index=0)
    assert mask is not None
    return mask


def _edges(left: int, right: int, upper: int, lower: int) -> dict[str, int]:
    return {
        "ShutterLeftVerticalEdge": left,
        "ShutterRightVerticalEdge": right,
        "ShutterUpperHorizontalEdge": upper,
        "ShutterLowerHorizontalEdge": lower,
    }


_EDGE = st.integers(-10, 60)


@settings(deadline=None)
@given(_EDGE, _EDGE, _EDGE, _EDGE)
def test_a_rectangle_is_open_between_its_edges(left: int, right: int, upper: int, lower: int) -> None:
    mask = _covered(ShutterShape="RECTANGULAR", **_edges(left, right, upper, lower))
    is_open = (left <= _X) & (right >= _X) & (upper <= _Y) & (lower >= _Y)
    np.testing.assert_array_equal(mask, ~is_open)


@settings(deadline=None)
@given(_EDGE, _EDGE, st.integers(0, 50))
def test_a_circle_is_open_within_its_radius(row: int, column: int, radius: int) -> None:
    mask = _covered(ShutterShape="CIRCULAR", CenterOfCircularShutter=[row, column], RadiusOfCircularShutter=radius)
    np.testing.assert_array_equal(mask, np.hypot(_X - column, _Y - row) > radius)


@settings(deadline=None)
@given(st.tuples(_EDGE, _EDGE), st.tuples(_EDGE, _EDGE), st.tuples(_EDGE, _EDGE))
def test_a_polygon_is_open_inside(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> None:
    corners = [first, second, third]
    mask = _covered(ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=[n for corner in corners for n in corner])
    sides = []
    for (row, column), (next_row, next_column) in zip(corners, [second, third, first], strict=True):
        length = np.hypot(next_row - row, next_column - column) or 1
        sides.append(((next_column - column) * (_Y - row) - (next_row - row) * (_X - column)) / length)
    inner = (
        np.minimum(np.min(sides, axis=0), -np.max(sides, axis=0)) * -1
    )  # distance to the nearest side, negative inside
    inside = np.maximum(np.min(sides, axis=0), np.min(-np.asarray(sides), axis=0))
    assert not mask[inside > 1].any(), inner
    assert mask[inside < -1].all()


def test_several_shapes_leave_open_what_all_of_them_do() -> None:
    circle = {"CenterOfCircularShutter": [10, 10], "RadiusOfCircularShutter": 9}
    both = _covered(ShutterShape=["RECTANGULAR", "CIRCULAR"], **_edges(5, 30, 8, 20), **circle)
    one = _covered(ShutterShape="RECTANGULAR", **_edges(5, 30, 8, 20))
    np.testing.assert_array_equal(both, one | _covered(ShutterShape="CIRCULAR", **circle))


def test_without_a_shutter_nothing_is_covered() -> None:
    assert covered(state(), _SHAPE, index=0) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 3},
        {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 3},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 5, 5]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 2] * (MAX_VERTICES + 1)},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x7000},
        {"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6000},
    ],
)
def test_malformed_shutters_are_refused(attributes: dict[str, object]) -> None:
    with pytest.raises(InvalidInstanceError):
        covered(state(**attributes), _SHAPE, index=0)
