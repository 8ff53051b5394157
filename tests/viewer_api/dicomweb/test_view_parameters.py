"""Parameters of pictures: what they mean, and that no text makes more of them than a bounded view."""

from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_gateway.errors import GatewayError, InputError
from pacs_gateway.imaging.picture import MAX_PIXELS, draw
from pacs_gateway.imaging.view import Annotation, IccProfile, Region, View
from pacs_gateway.imaging.window import VoiFunction, Window
from tests.pacs_gateway.imaging.samples import LITTLE, encoded, grey_header
from viewer_api.dicomweb.view_parameters import uri_view_of, view_of

NUMBERS = st.one_of(
    st.sampled_from(
        ["0", "-0", "1", "-1", "0.5", "1e9", "nan", "inf", "-inf", "999999999999", "16384", "", " ", "1.", ".5"]
    ),
    st.integers(-20, 20).map(str),
    st.floats(allow_nan=False, width=32).map(lambda value: f"{value:.3f}"),
)
LISTS = st.lists(NUMBERS, max_size=8).map(",".join)
TEXTS = st.one_of(NUMBERS, LISTS, LISTS.map(lambda text: f"{text},linear"), st.text(max_size=12))
RS_NAMES = ("viewport", "window", "quality", "annotation", "iccprofile")
URI_NAMES = ("rows", "columns", "region", "windowCenter", "windowWidth", "imageQuality", "imageAnnotation")


def queries(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(names), TEXTS)


@pytest.mark.parametrize(
    ("asked", "view"),
    [
        ({}, View()),
        ({"viewport": ""}, View()),
        ({"viewport": "10,20"}, View(viewport=(10, 20))),
        ({"viewport": "10,20,3,4"}, View(viewport=(10, 20), region=Region(3, 4, 0, 0))),
        ({"viewport": "10, 20, , , -5, 6"}, View(viewport=(10, 20), region=Region(0, 0, -5, 6))),
        ({"window": "40,400,linear"}, View(window=Window(40, 400))),
        ({"window": "40,400"}, View(window=Window(40, 400))),
        ({"window": "-1.5,0.5,LINEAR_EXACT"}, View(window=Window(-1.5, 0.5, VoiFunction.LINEAR_EXACT))),
        ({"window": "0,1,sigmoid"}, View(window=Window(0, 1, VoiFunction.SIGMOID))),
        ({"quality": "5"}, View(quality=5)),
        ({"annotation": "technique, patient"}, View(annotations=(Annotation.PATIENT, Annotation.TECHNIQUE))),
        ({"iccprofile": "no"}, View(icc_profile=IccProfile.NO)),
        ({"unknown": "x"}, View()),
    ],
)
def test_each_parameter_is_a_part_of_the_view(asked: dict[str, str], view: View) -> None:
    assert view_of(asked) == view


@pytest.mark.parametrize(
    ("asked", "view"),
    [
        ({}, View()),
        ({"rows": "100"}, View(viewport=(16_384, 100))),
        ({"columns": "100"}, View(viewport=(100, 16_384))),
        ({"rows": "16384"}, View(viewport=(4096, 16_384))),
        ({"rows": "30", "columns": "20"}, View(viewport=(20, 30))),
        ({"region": "0.25,0.5,0.75,1"}, View(region=Region(0.25, 0.5, 0.5, 0.5, is_fraction=True))),
        ({"windowCenter": "40", "windowWidth": "400"}, View(window=Window(40, 400))),
        ({"imageQuality": "5", "imageAnnotation": "patient"}, View(quality=5, annotations=(Annotation.PATIENT,))),
    ],
)
def test_each_parameter_of_the_older_service_is_one_too(asked: dict[str, str], view: View) -> None:
    assert uri_view_of(asked) == view


def _look(read: Callable[[Mapping[str, str]], View], asked: dict[str, str]) -> None:
    """Make a view of parameters, and a picture of it where that is quick; only what names a fault may be raised."""
    view = read(asked)
    assert view.viewport is None or view.viewport[0] * view.viewport[1] <= MAX_PIXELS
    if view.viewport is None or max(view.viewport) <= 64:
        draw(encoded(grey_header()), LITTLE, [bytes(range(48))], [0], view)


@settings(deadline=None, max_examples=200)
@given(queries(RS_NAMES))
def test_no_text_makes_more_than_a_bounded_picture(asked: dict[str, str]) -> None:
    with suppress(GatewayError):
        _look(view_of, asked)


@settings(deadline=None, max_examples=200)
@given(queries(URI_NAMES))
def test_no_text_makes_more_of_the_older_service(asked: dict[str, str]) -> None:
    with suppress(GatewayError):
        _look(uri_view_of, asked)


@pytest.mark.parametrize("name", RS_NAMES)
def test_what_was_sent_is_not_repeated(name: str) -> None:
    with pytest.raises(InputError) as caught:
        view_of({name: "<script>"})
    assert "<" not in str(caught.value)
