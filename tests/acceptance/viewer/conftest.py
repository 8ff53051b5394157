"""OHIF in a real browser, on a running gateway that has the sample studies; somebody has logged in."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from sample_dicom import generate
from tests.acceptance.viewer.ohif import Ohif
from tests.support.running_gateway import RunningGateway, running_gateway
from viewer_api.viewer.install import install

_PASSWORD = "correct horse battery"
# Software rendering: what is drawn is the same, only slower.
_ARGUMENTS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    install()
    folder = tmp_path_factory.mktemp("viewer")
    generate(folder / "samples")
    with running_gateway(folder / "gateway") as gateway:
        gateway.must("import", str(folder / "samples"))
        yield gateway


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def session(chromium: Browser, site: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the cookies of somebody who has logged in and chosen a password."""
    once = site.facts("user", "add", "reader1", "--role", "administrator")["one_time_password"]
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{site.url}/viewer/")
    page.fill("[name=name]", "reader1")
    page.fill("[name=password]", once)
    page.click("button.primary")
    page.fill("[name=old]", once)
    page.fill("[name=new]", _PASSWORD)
    page.fill("[name=repeat]", _PASSWORD)
    page.click("button.primary")
    page.wait_for_url(f"{site.url}/")
    file = tmp_path_factory.mktemp("session") / "cookies.json"
    file.write_text(json.dumps(context.storage_state()), encoding="utf-8")
    context.close()
    return file


@pytest.fixture
def context(chromium: Browser, session: Path) -> Iterator[BrowserContext]:
    opened = chromium.new_context(storage_state=str(session), locale="en-US", viewport={"width": 1280, "height": 800})
    yield opened
    opened.close()


@pytest.fixture
def ohif(context: BrowserContext, site: RunningGateway, request: pytest.FixtureRequest) -> Iterator[Ohif]:
    """The viewer; at the end it must have met no fault, no error of ours, and no foreign address."""
    viewer = Ohif(context.new_page(), site)
    yield viewer
    viewer.keep_screenshot(request.node.name)
    assert viewer.faults == []
