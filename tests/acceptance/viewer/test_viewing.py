"""Every kind of sample study opened in OHIF: right pictures, no fault, nothing asked of anybody else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.acceptance.viewer.ohif import Ohif, likeness

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("npm"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

_PICTURES = {
    "uncompressed CT": "Ngực - bụng, thì tĩnh mạch",
    "film": "Ngực thẳng PA",
    "MR in implicit little endian": "T1 SE cắt ngang",
    "colour ultrasound": "Bốn buồng từ mỏm, Doppler màu",
    "ultrasound in JPEG": "Bốn buồng từ mỏm (JPEG)",
    "RLE": "NGUC RLE",
    "JPEG 2000": "NGUC JPEG 2000",
    "JPEG-LS": "NGUC JPEG-LS",
    "HTJ2K": "NGUC HTJ2K",
}


def _value(instance: Mapping[str, Any], tag: str) -> Any:
    return (instance.get(tag, {}).get("Value") or [None])[0]


def _series(ohif: Ohif, description: str) -> tuple[str, str]:
    """Return the UIDs of the study and series that has a description."""
    with ohif.site.client() as client:
        query = {"SeriesDescription": description, "includefield": "SeriesDescription"}
        (found,) = client.get("/dicom-web/series", params=query).json()
    return _value(found, "0020000D"), _value(found, "0020000E")


@pytest.mark.parametrize("description", _PICTURES.values(), ids=_PICTURES.keys())
def test_a_series_is_shown_as_it_is(ohif: Ohif, description: str) -> None:
    study, series = _series(ohif, description)
    ohif.open(study)
    ohif.show(description)
    ohif.wait_for_text(description.replace("(", r"\(").replace(")", r"\)"))
    number = int(ohif.wait_for_text(r"I:\s*(\d+)")[1])
    shown = ohif.wait_until_drawn()

    images = [one for one in ohif.metadata(study) if _value(one, "0020000E") == series]
    image = next(one for one in images if len(images) == 1 or _value(one, "00200013") == number)
    frame = "/frames/1" if _value(image, "00280008") else ""
    drawn = ohif.rendered(f"/studies/{study}/series/{series}/instances/{_value(image, '00080018')}{frame}")
    assert likeness(shown, drawn) > 0.9
    # A picture that lies on its back or shows its negative is less like it.
    assert likeness(shown, drawn) > max(likeness(shown, other) for other in (drawn[::-1], drawn[:, ::-1], 255 - drawn))


def test_an_examination_has_planes_and_a_body(ohif: Ohif) -> None:
    study, _ = _series(ohif, _PICTURES["uncompressed CT"])
    ohif.open(study)
    ohif.wait_until_drawn()

    for layout, n_pictures in (("MPR", 3), ("3D four up", 4)):
        ohif.page.locator('[data-cy="Layout"]').click()
        ohif.page.locator(f'[data-cy="{layout}"]').click()
        canvases = ohif.page.locator(".cornerstone-canvas")
        expect(canvases).to_have_count(n_pictures)
        for n in range(n_pictures):
            ohif.wait_until_drawn(canvases.nth(n))
        ohif.keep_screenshot(f"CT {layout}")


def test_a_clip_moves(ohif: Ohif) -> None:
    description = _PICTURES["colour ultrasound"]
    ohif.open(_series(ohif, description)[0])
    before = ohif.wait_until_drawn()

    ohif.page.locator('[data-cy="cine-player"], .cine-player').first.locator("svg, button").first.click()

    ohif.wait_for_text(r"\((?!1/)\d+/24\)")
    assert not np.array_equal(ohif.picture(ohif.viewport), before)


def test_a_report_is_read(ohif: Ohif) -> None:
    ohif.open(_series(ohif, "Kết quả đọc phim")[0])
    ohif.wait_until_drawn()

    ohif.show("Kết quả đọc phim")

    expect(ohif.page.get_by_text("Findings").first).to_be_visible()


def test_a_document_is_read(ohif: Ohif) -> None:
    study, series = _series(ohif, "Phiếu kết quả")
    ohif.open(study)
    ohif.wait_until_drawn()
    with ohif.page.expect_response(lambda answer: "/rendered" in answer.url and series in answer.url) as asked:
        ohif.show("Phiếu kết quả")

    assert asked.value.status == 200
    assert asked.value.headers["content-type"] == "application/pdf"


def test_studies_of_another_hospitals_patient_with_the_same_number_do_not_stand_beside(ohif: Ohif) -> None:
    ohif.open(_series(ohif, _PICTURES["uncompressed CT"])[0])
    ohif.wait_until_drawn()

    expect(ohif.page.get_by_text("CLVT ngực").first).to_be_visible()
    expect(ohif.page.get_by_text("Siêu âm tim kiểm tra")).to_have_count(0)


def test_the_list_finds_a_name_without_its_accents(ohif: Ohif) -> None:
    ohif.page.goto(f"{ohif.site.url}/viewer/")
    rows = ohif.page.locator("tbody tr")
    expect(rows).to_have_count(7)

    ohif.page.locator("thead input").first.fill("tran van an")

    expect(rows).to_have_count(2)


@pytest.mark.parametrize("source", ["dicomwebproxy", "dicomjson"])
def test_a_link_cannot_have_studies_loaded_from_elsewhere(ohif: Ohif, source: str) -> None:
    ohif.page.goto(f"{ohif.site.url}/viewer/viewer/{source}?url=https://example.org/studies.json")
    ohif.page.wait_for_load_state("networkidle")

    # The page knows no such source, and says so; that nothing was asked of the other site is seen at the end.
    ohif.faults[:] = [fault for fault in ohif.faults if "example.org" in fault]
