"""A thousand studies in OHIF's own list: every page is reached, and what stands on it is right."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.acceptance.viewer.ohif import Ohif
from tests.acceptance.viewer.sites import logged_in
from tests.support.builders import Identity, image, part10
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

_N_STUDIES = 1000
_PAGE = 100
_ARTEFACTS = ROOT / "test-artefacts" / "viewer"
# When a whole page of studies stands there, by the clock that the browser gives its requests.
_WATCH = """() => {
  window.rowsShownAt = undefined;
  const look = () => {
    const shown = [...document.querySelectorAll("tbody td")].filter((cell) => cell.textContent.startsWith("Ca "));
    if (shown.length > 1) window.rowsShownAt = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""
_IS_SHOWN = "() => window.rowsShownAt !== undefined"
_TIMING = """() => {
  const searches = performance.getEntriesByType("resource").filter((one) => one.name.includes("/dicom-web/studies?"));
  const search = searches[searches.length - 1];
  return { answered_ms: search.responseEnd - search.startTime, shown_ms: window.rowsShownAt - search.startTime };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("long-list")
    with running_gateway(folder / "gateway") as gateway:
        gateway.must("import", str(_studies(folder / "studies")))
        yield gateway


@pytest.fixture(scope="module")
def reader(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    with logged_in(chromium, site, "reader", "reader") as context:
        yield context


def test_every_page_of_a_thousand_studies_is_reached(reader: BrowserContext, site: RunningGateway) -> None:
    ohif = Ohif(reader.new_page(), site)
    page = ohif.page
    page.goto("/viewer/")
    count = page.get_by_role("button", name="Rows per page")
    expect(count).to_have_text(f"1-50 of {_N_STUDIES}")
    # From one study back to all of them, in an application that is loaded.
    description = page.locator("tbody input").last
    description.fill("Ca 0001")
    expect(count).to_have_text("1-1 of 1")
    page.evaluate(_WATCH)
    description.fill("")
    page.wait_for_function(_IS_SHOWN)
    _keep_timing(page.evaluate(_TIMING))
    count.click()
    page.get_by_role("menuitem", name=f"{_PAGE} per page").click()
    page.keyboard.press("Escape")

    seen: list[str] = []
    for first in range(0, _N_STUDIES, _PAGE):
        expect(count).to_have_text(f"{first + 1}-{first + _PAGE} of {_N_STUDIES}")
        seen += [text for text in page.locator("tbody tr td").all_inner_texts() if text.startswith("Ca ")]
        if first + _PAGE < _N_STUDIES:
            page.get_by_role("button", name="Next page").click()

    assert seen == [f"Ca {number:04d}" for number in reversed(range(_N_STUDIES))]
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    ohif.keep_screenshot("a long list")
    page.close()
    assert ohif.faults == []


def _studies(folder: Path) -> Path:
    """Make a thousand studies of one small image, one for each day."""
    folder.mkdir()
    for number in range(_N_STUDIES):
        day = date(2023, 6, 1) + timedelta(number)
        extra = {"StudyDate": f"{day:%Y%m%d}", "StudyDescription": f"Ca {number:04d}"}
        one = Identity(study=number + 1, patient_id=f"BN{number:04d}", extra=extra)
        (folder / f"{number:04d}.dcm").write_bytes(part10(image(one)))
    return folder


def _keep_timing(timing: dict[str, float]) -> None:
    """Keep how long the list took, beside the screenshots: no test, for a machine may be busy (docs/benchmarks.md)."""
    _ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (_ARTEFACTS / "a-long-list.json").write_text(json.dumps(timing), encoding="utf-8")
