"""OHIF in a real browser, on a running gateway that has the sample studies; somebody has logged in."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from sample_dicom import generate
from tests.acceptance.viewer.ohif import Ohif
from tests.acceptance.viewer.sites import logged_in
from tests.support.chromium import ARGUMENTS
from tests.support.running_gateway import RunningGateway, running_gateway
from viewer_api.viewer.install import install

NAME = "reader1"


# Not for the session: while Playwright is there, an event loop runs in its thread, and no other test can run its own.
@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    install()
    folder = tmp_path_factory.mktemp("viewer")
    generate(folder / "samples")
    with running_gateway(folder / "gateway") as gateway:
        gateway.must("import", str(folder / "samples"))
        yield gateway


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def context(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    """A browser window in which somebody has logged in; what it has loaded it keeps."""
    with logged_in(chromium, site, NAME, "administrator") as opened:
        yield opened


@pytest.fixture
def ohif(context: BrowserContext, site: RunningGateway, request: pytest.FixtureRequest) -> Iterator[Ohif]:
    """The viewer; at the end it must have met no fault, no error of ours, and no foreign address."""
    viewer = Ohif(context.new_page(), site)
    yield viewer
    viewer.keep_screenshot(request.node.name)
    viewer.page.close()
    assert viewer.faults == []
