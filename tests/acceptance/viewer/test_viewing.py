"""Every kind of sample study opened in OHIF: right pictures, no fault, nothing asked of anybody else.

Screenshots are kept in ``test-artefacts/viewer``, or below the folder that ``PACS_TEST_ARTEFACTS`` names.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import expect

from tests.acceptance.viewer.ohif import DEADLINE_MS, Ohif, difference
from tests.acceptance.viewer.sites import value

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

CT, FILM, BRAIN = "Ngực - bụng, thì tĩnh mạch", "Ngực thẳng PA", "T1 SE cắt ngang"
CLIP, JPEG_CLIP = "Bốn buồng từ mỏm, Doppler màu", "Bốn buồng từ mỏm (JPEG)"
LOSSLESS = ("NGUC RLE", "NGUC JPEG 2000", "NGUC JPEG-LS", "NGUC HTJ2K")
# Seen: at most 1 grey level for the same picture, at least 2.6 for one that lies otherwise or has another window.
_MOST_DIFFERENT = 1.6


def _series(ohif: Ohif, description: str) -> tuple[str, str]:
    """Return the UIDs of the study and series that has a description."""
    with ohif.site.client() as client:
        query = {"SeriesDescription": description, "includefield": "SeriesDescription"}
        (found,) = client.get("/dicom-web/series", params=query).json()
    return value(found, "0020000D"), value(found, "0020000E")


def _open(ohif: Ohif, description: str) -> None:
    ohif.open(_series(ohif, description)[0])


def _check_picture(ohif: Ohif, description: str) -> None:
    """Show a series and compare the picture with what we draw of the same image."""
    study, series = _series(ohif, description)
    ohif.show(description)
    ohif.wait_for_text(re.escape(description))
    shown = ohif.wait_until_drawn()
    images = [one for one in ohif.metadata(study) if value(one, "0020000E") == series]
    if len(images) > 1:
        number = int(ohif.wait_for_text(r"I:\s*(\d+)")[1])
        images = [one for one in images if value(one, "00200013") == number]
    frame = "/frames/1" if value(images[0], "00280008") else ""
    path = f"/studies/{study}/series/{series}/instances/{value(images[0], '00080018')}{frame}"
    drawn = ohif.rendered(path)

    assert difference(shown, drawn) < _MOST_DIFFERENT
    # What the comparison is worth: it knows a picture that lies otherwise, is negative, or has another window.
    for wrong in (drawn[::-1], drawn[:, ::-1], drawn[::-1, ::-1], 255 - drawn, *_windowed(ohif, path, images[0])):
        assert difference(shown, wrong) > _MOST_DIFFERENT


def _windowed(ohif: Ohif, path: str, image: Mapping[str, Any]) -> Iterator[NDArray[np.uint8]]:
    """Yield an image in windows beside its own; what has no window has none."""
    if value(image, "00281050") is not None:
        centre, width = float(value(image, "00281050")), float(value(image, "00281051"))
        yield ohif.rendered(path, f"{centre:g},{width * 1.5:g},linear")
        yield ohif.rendered(path, f"{centre + width / 12:g},{width:g},linear")


def test_a_ct_is_shown_as_a_stack_as_planes_and_as_a_body(ohif: Ohif) -> None:
    _open(ohif, CT)
    _check_picture(ohif, CT)
    # The patient lies on the back, feet towards us: the right is on the left (PS3.3 C.7.6.1.1.1).
    assert {"A", "R"} <= set(ohif.text().split("\n"))
    ohif.keep_screenshot("CT stack")

    for layout, n_pictures in (("MPR", 3), ("3D four up", 4)):
        ohif.page.locator('[data-cy="Layout"]').click()
        ohif.page.locator(f'[data-cy="{layout}"]').click()
        canvases = ohif.page.locator(".cornerstone-canvas")
        expect(canvases).to_have_count(n_pictures, timeout=DEADLINE_MS)
        for n in range(n_pictures):
            ohif.wait_until_drawn(canvases.nth(n))
        ohif.keep_screenshot(f"CT {layout}")


@pytest.mark.parametrize("description", [FILM, BRAIN, JPEG_CLIP], ids=["film", "implicit MR", "JPEG ultrasound"])
def test_a_series_is_shown_as_it_is(ohif: Ohif, description: str) -> None:
    _open(ohif, description)

    _check_picture(ohif, description)


def test_every_lossless_compression_is_shown_as_it_is(ohif: Ohif) -> None:
    _open(ohif, LOSSLESS[0])

    for description in LOSSLESS:
        _check_picture(ohif, description)
        ohif.keep_screenshot(description)


def test_a_clip_is_in_colour_and_moves(ohif: Ohif) -> None:
    _open(ohif, CLIP)
    _check_picture(ohif, CLIP)
    before = ohif.picture(ohif.viewport)
    assert ohif.n_coloured(ohif.viewport) > 1000

    ohif.page.locator('[data-cy="cine-player-play-pause"]').click()

    ohif.wait_for_text(r"\((?!1/)\d+/24\)")
    ohif.wait_until_changed(before)


def test_studies_of_another_hospitals_patient_with_the_same_number_do_not_stand_beside(ohif: Ohif) -> None:
    _open(ohif, CT)

    expect(ohif.page.get_by_text("CLVT ngực").first).to_be_visible(timeout=DEADLINE_MS)
    expect(ohif.page.get_by_text("Siêu âm tim kiểm tra")).to_have_count(0)


def test_the_viewers_own_list_finds_a_name_without_its_accents(ohif: Ohif) -> None:
    ohif.page.goto(f"{ohif.site.url}/viewer/")
    rows = ohif.studies
    expect(rows).to_have_count(7, timeout=DEADLINE_MS)

    ohif.page.locator("tbody input").first.fill("tran van an")

    expect(rows).to_have_count(2, timeout=DEADLINE_MS)


@pytest.mark.parametrize("source", ["dicomwebproxy", "dicomjson"])
def test_a_link_cannot_have_studies_loaded_from_elsewhere(ohif: Ohif, source: str) -> None:
    ohif.page.goto(f"{ohif.site.url}/viewer/viewer/{source}?url=https://example.org/studies.json")
    ohif.page.wait_for_load_state("networkidle")

    # The page knows no such source, and says so; that nothing was asked of the other site is seen at the end.
    ohif.faults[:] = [fault for fault in ohif.faults if "example.org" in fault]
