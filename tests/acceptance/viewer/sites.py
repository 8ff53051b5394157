"""A small gateway for a module that changes what it keeps, and people who are logged in to it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.acceptance.viewer.ohif import DEADLINE_MS
from tests.support.running_gateway import ROOT, RunningGateway, running_gateway

SUBSET = ROOT / "sample_dicom" / "subset"
PASSWORD = "correct horse battery"


@contextmanager
def small_site(folder: Path, *samples: str) -> Iterator[RunningGateway]:
    """Run a gateway that has some of the committed samples."""
    with running_gateway(folder / "gateway") as gateway:
        gateway.must("import", *(str(SUBSET / name) for name in samples))
        yield gateway


@contextmanager
def logged_in(browser: Browser, site: RunningGateway, name: str, role: str) -> Iterator[BrowserContext]:
    """Open a browser window of somebody new, who has logged in and chosen a password."""
    expect.set_options(timeout=DEADLINE_MS)
    once = site.facts("user", "add", name, "--role", role)["one_time_password"]
    context = browser.new_context(base_url=site.url, locale="en-US", viewport={"width": 1280, "height": 800})
    _post(context, site, "/login", {"name": name, "password": once})
    _post(context, site, "/password", {"old": once, "new": PASSWORD, "repeat": PASSWORD})
    yield context
    context.close()


def fill_in_login(page: Page, name: str) -> None:
    """Log in on the page that asks for it."""
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("button.primary")


def end_session(context: BrowserContext, site: RunningGateway) -> None:
    """End the session behind the browser's back, as time does: it keeps its cookie."""
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    answer = httpx.post(f"{site.url}/logout", cookies=cookies, headers={"Origin": site.url})
    assert answer.status_code == httpx.codes.SEE_OTHER


def study_of(site: RunningGateway, modality: str) -> Mapping[str, Any]:
    """Return the newest study that has images of a kind."""
    query = {"ModalitiesInStudy": modality, "includefield": "StudyDescription", "limit": "1"}
    with site.client() as client:
        (found,) = client.get("/dicom-web/studies", params=query).json()
    study: Mapping[str, Any] = found
    return study


def value(attributes: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute in DICOM JSON; None where there is none."""
    return (attributes.get(tag, {}).get("Value") or [None])[0]


def _post(context: BrowserContext, site: RunningGateway, path: str, form: dict[str, Any]) -> None:
    answer = context.request.post(path, form=form, headers={"Origin": site.url})
    assert answer.ok, path
