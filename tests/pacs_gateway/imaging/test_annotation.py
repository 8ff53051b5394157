import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from pacs_gateway.errors import GatewayError
from pacs_gateway.imaging.annotation import annotated
from pacs_gateway.imaging.lettering import MAX_LETTERS, plain
from pacs_gateway.imaging.view import Annotation
from tests.pacs_gateway.imaging.samples import as_received, grey_header

_GREY = np.full((256, 400), 100, np.uint8)


def _header(**changes: object) -> Dataset:
    facts = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Nguyễn^Thị Đức",
        "PatientID": "0042",
        "PatientBirthDate": "19700102",
        "PatientSex": "F",
        "StudyDate": "20260401",
        "Modality": "CT",
        "SeriesDescription": "Bụng",
        "InstanceNumber": "7",
    }
    return as_received(grey_header(**(facts | changes)))


def test_nothing_is_written_unasked() -> None:
    assert annotated(_GREY, _header(), (), index=0) is _GREY


@pytest.mark.parametrize(
    ("kind", "side"), [(Annotation.PATIENT, slice(0, 200)), (Annotation.TECHNIQUE, slice(200, 400))]
)
def test_each_kind_has_its_corner(kind: Annotation, side: slice) -> None:
    changed = annotated(_GREY, _header(), [kind], index=0) != _GREY
    assert changed[:128, side].any()
    changed[:128, side] = False
    assert not changed.any()


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "PatientBirthDate", "PatientSex"])
def test_every_fact_of_the_patient_is_written(keyword: str) -> None:
    full = annotated(_GREY, _header(), [Annotation.PATIENT], index=0)
    without = annotated(_GREY, _header(**{keyword: None}), [Annotation.PATIENT], index=0)
    assert (full != without).any()


def test_the_frame_is_said() -> None:
    header = _header(NumberOfFrames=3)
    first, second = (annotated(_GREY, header, [Annotation.TECHNIQUE], index=index) for index in range(2))
    assert (first != second).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (40, 4, 3), (64, 64, 3)])
def test_pictures_of_any_size_and_colour_are_written_on(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    assert annotated(image, _header(), list(Annotation), index=0).shape == shape


def test_every_letter_of_vietnamese_is_drawn() -> None:
    vowels = "aăâeêioôơuưy"
    letters = [
        unicodedata.normalize("NFC", vowel + tone)
        for vowel in vowels
        for tone in ("", *"\u0300\u0301\u0303\u0309\u0323")
    ]
    alphabet = "".join(["đ", *letters])
    assert plain(alphabet + alphabet.upper()) == alphabet + alphabet.upper()
    # An accent of its own is put onto its letter.
    assert plain(unicodedata.normalize("NFD", "Nguyễn Thị Đức")) == "Nguyễn Thị Đức"


def test_letters_that_the_font_lacks_are_spelt_otherwise() -> None:
    assert plain("王\x1b[0m") == "? [0m"
    assert plain("Ｂ") == "B"


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=2 * MAX_LETTERS), st.binary(max_size=200))
def test_no_text_stops_the_drawing(text: str, raw: bytes) -> None:
    header = _header()
    header.PatientID = text
    header.add_new("SeriesDescription", "UN", raw)
    try:
        shown = annotated(_GREY, header, list(Annotation), index=0)
    except GatewayError:
        return
    assert shown.shape == _GREY.shape
