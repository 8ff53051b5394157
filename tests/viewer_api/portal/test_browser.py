"""The pages in a real browser: a study appears by itself, images scroll, nothing foreign is asked for."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.viewer_api import studies
from tests.viewer_api.site import PASSWORD, Site, open_site
from tests.viewer_api.studies import uid

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine"),
]
# An image that is drawn has pixels that are not black.
IS_DRAWN = """() => {
  const canvas = document.getElementById("canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let most = 0;
  for (let at = 0; at < data.length; at += 4) most = Math.max(most, data[at]);
  return most > 100;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("browser")) as opened:
        opened.put(*(studies.ct(instance=n) for n in range(1, 8)))
        opened.put(studies.us(), studies.pdf(), studies.report())
        yield opened


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """A page that has logged in; at the end it must have met no fault and no foreign address."""
    context = chromium.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    own = (site.url, "blob:", "chrome:", "chrome-extension:")  # the last two: its own reader of PDFs
    opened.on("request", lambda request: None if request.url.startswith(own) else faults.append(request.url))
    opened.goto(site.url)
    opened.fill("[name=name]", "boss")
    opened.fill("[name=password]", PASSWORD)
    opened.click("button.primary")
    expect(opened.locator("[data-study]").first).to_be_visible()
    yield opened
    context.close()
    assert faults == []


def test_a_study_appears_by_itself_and_its_picture_with_it(page: Page, site: Site) -> None:
    expect(page.locator("#live")).to_be_visible()
    before = page.locator("[data-study]").count()
    site.put(studies.ct(5))
    row = page.locator(f'[data-study="{uid(5)}"]')
    expect(row).to_be_visible(timeout=10_000)
    expect(row).to_have_class("row fresh")
    assert page.locator("[data-study]").count() == before + 1
    page.wait_for_function("uid => document.querySelector(`[data-study='${uid}'] img`).naturalWidth > 0", arg=uid(5))


def test_the_list_follows_what_is_typed(page: Page, site: Site) -> None:
    site.put(studies.ct(6))
    page.fill("#search [name=id]", "BN0006")
    expect(page.locator("[data-study]")).to_have_count(1)
    page.wait_for_url("**/?id=BN0006")
    page.fill("#search [name=id]", "nobody")
    expect(page.get_by_text("No studies found.")).to_be_visible()
    page.click("#clear")
    expect(page.locator(f'[data-study="{uid(1)}"]')).to_be_visible()


def test_images_are_drawn_and_scroll_by_wheel_keys_and_slider(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/studies/{uid(1)}")
    corner = page.locator("#corner")
    expect(corner).to_have_text("4 / 7")
    page.wait_for_function(IS_DRAWN)
    page.locator("#picture").hover()
    page.mouse.wheel(0, 100)
    expect(corner).to_have_text("6 / 7")
    page.keyboard.press("End")
    expect(corner).to_have_text("7 / 7")
    page.keyboard.press("ArrowDown")
    expect(corner).to_have_text("7 / 7")
    page.locator("#slider").fill("2")
    expect(corner).to_have_text("2 / 7")
    page.wait_for_function(IS_DRAWN)


def test_windows_and_inversion_change_the_picture(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/studies/{uid(1)}")
    page.wait_for_function(IS_DRAWN)
    with page.expect_request(lambda request: "window=-600" in request.url):
        page.select_option("#window", "-600,1500,linear")
    page.click("#invert")
    assert "invert" in page.locator("#canvas").evaluate("canvas => canvas.style.filter")
    page.click("#reset")
    assert page.input_value("#window") == ""


def test_a_clip_plays(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/studies/{uid(1)}")
    page.click(f'[data-series="{uid(1, 3)}"]')
    expect(page.locator("#corner")).to_have_text("1 / 5")
    page.click("#play")
    expect(page.locator("#corner")).to_have_text("4 / 5")
    page.click("#play")


def test_what_is_no_image_is_offered_as_what_it_is(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/studies/{uid(1)}")
    page.click(f'[data-series="{uid(1, 6)}"]')
    with page.expect_download() as download:
        page.get_by_text("Download DICOM file").click()
    assert download.value.suggested_filename == f"{uid(1, 6, 1)}.dcm"
    page.click(f'[data-series="{uid(1, 5)}"]')
    expect(page.get_by_text("Open document")).to_be_visible()
