"""From login to the viewer and back, in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.acceptance.viewer.conftest import NAME
from tests.acceptance.viewer.ohif import DEADLINE_MS, Ohif
from tests.acceptance.viewer.sites import fill_in_login

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]


def test_who_logs_in_opens_a_study_from_the_list_and_comes_back(ohif: Ohif) -> None:
    page, url = ohif.page, ohif.site.url
    page.context.clear_cookies()
    page.goto(f"{url}/")
    fill_in_login(page, NAME)
    page.wait_for_url(f"{url}/")
    ohif.keep_screenshot("portal")
    row = page.locator("[data-study]", has_text="CLVT ngực - bụng").first
    row.get_by_role("link", name="Open in the viewer").click()
    ohif.wait_until_drawn()
    assert "/viewer/viewer?StudyInstanceUIDs=" in page.url
    expect(page.get_by_text("Not a cleared medical device")).to_be_visible()

    page.get_by_text("← PACS gateway").click()

    page.wait_for_url(f"{url}/")
    expect(page.get_by_text("The viewer (OHIF) is not a cleared medical device.")).to_be_visible()
    row.locator(".patient a").click()
    expect(page.locator("#canvas")).to_be_visible()
    expect(page.get_by_role("link", name="Open in the viewer")).to_be_visible()


def test_the_viewers_own_list_is_a_click_away(ohif: Ohif) -> None:
    ohif.page.goto(f"{ohif.site.url}/?lang=vi")
    expect(ohif.page.get_by_role("link", name="Mở trình xem").first).to_be_visible()

    ohif.page.get_by_role("link", name="Danh sách của trình xem").click()

    expect(ohif.studies).to_have_count(7, timeout=DEADLINE_MS)
    ohif.page.get_by_text("← PACS gateway").click()
    ohif.page.wait_for_url(f"{ohif.site.url}/")
    ohif.page.goto(f"{ohif.site.url}/?lang=en")
