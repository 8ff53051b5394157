"""A length measured in OHIF: kept as a structured report, read again, and never lost without a word."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Response, expect
from pydicom import dcmread

from tests.acceptance.viewer.ohif import Ohif
from tests.acceptance.viewer.sites import SUBSET, end_session, fill_in_login, logged_in, small_site, study_of, value
from tests.support.running_gateway import RunningGateway

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

_DRAWN_PX = 300
_LENGTH_CODE = ("410668003", "SCT")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with small_site(tmp_path_factory.mktemp("measuring"), "ct", "ct-sr") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def doctor(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    with logged_in(chromium, site, "doctor", "administrator") as context:
        yield context


@pytest.fixture(scope="module")
def student(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    with logged_in(chromium, site, "student", "reader") as context:
        yield context


@pytest.fixture
def study_uid(site: RunningGateway) -> str:
    return str(value(study_of(site, "CT"), "0020000D"))


def test_a_measured_length_is_kept_as_a_report_and_read_again(
    doctor: BrowserContext, site: RunningGateway, study_uid: str
) -> None:
    ohif = Ohif(doctor.new_page(), site)
    study = study_of(site, "CT")
    ohif.open(study_uid)
    length_mm = _measure(ohif)

    assert _save(ohif, "Đo ngang ngực").status == 200

    (report,) = _reports(site, study_uid, "Đo ngang ngực")
    found = [item for item in _items(report) if _code(item, "0040A043") == _LENGTH_CODE]
    assert len(found) == 1
    (measured,) = found[0]["0040A300"]["Value"]
    assert value(measured, "0040A30A") == pytest.approx(length_mm, rel=0.005)
    assert _code(measured, "004008EA") == ("mm", "UCUM")
    after = study_of(site, "CT")
    for tag in ("00081030", "00080020", "00080030", "00080050", "00100010", "00100020", "00100030"):
        assert after.get(tag) == study.get(tag)

    ohif.page.reload()
    ohif.wait_until_drawn()
    ohif.show("Đo ngang ngực")
    # OHIF asks whether to go on with what the report holds.
    ohif.page.get_by_role("button", name="Yes").click()
    _open_measurements(ohif)
    row = ohif.page.locator('[data-cy="measurement-table-row-0"]')
    expect(row).to_contain_text(re.compile(rf"{round(length_mm)}(\.\d+)? mm"))
    ohif.keep_screenshot("a measured length read again")
    ohif.page.close()
    assert ohif.faults == []


def test_who_may_not_store_is_told_before_anything_is_sent(
    student: BrowserContext, site: RunningGateway, study_uid: str
) -> None:
    ohif = Ohif(student.new_page(), site)
    sent: list[str] = []
    ohif.page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    ohif.open(study_uid)
    _measure(ohif)

    ohif.page.get_by_role("button", name="Create SR").click()

    expect(ohif.page.get_by_role("dialog")).to_contain_text("You may read these studies, not add to them.")
    ohif.keep_screenshot("a report is refused")
    ohif.page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(ohif.page.locator('[data-cy="measurement-table-row-0"]')).to_be_visible()
    ohif.page.close()
    assert sent == []
    assert ohif.faults == []


def test_what_was_measured_outlives_the_session(doctor: BrowserContext, site: RunningGateway, study_uid: str) -> None:
    ohif = Ohif(doctor.new_page(), site)
    ohif.open(study_uid)
    _measure(ohif)
    end_session(doctor, site)

    assert _save(ohif, "Chưa lưu được").status == 401

    notice = ohif.page.get_by_role("alert").filter(has_text="Your session has ended.")
    expect(notice).to_be_visible()
    ohif.keep_screenshot("a session has ended")
    # What was not kept does not stand beside what was.
    expect(ohif.series("Chưa lưu được")).to_have_count(0)
    with doctor.expect_page() as opened:
        notice.get_by_role("link").click()
    expect(notice).to_have_count(0)
    fill_in_login(opened.value, "doctor")
    opened.value.wait_for_url(f"**/viewer/viewer?StudyInstanceUIDs={study_uid}", wait_until="commit")
    opened.value.close()
    assert _save(ohif, "Lưu lại").status == 200
    assert len(_reports(site, study_uid, "Lưu lại")) == 1
    assert _reports(site, study_uid, "Chưa lưu được") == []
    ohif.page.close()


def _measure(ohif: Ohif) -> float:
    """Draw a length across the image and have OHIF track it; return what it is by geometry, in mm."""
    ohif.wait_until_drawn()
    ohif.page.locator('[data-cy="Length-btn"]').click()
    box = ohif.viewport.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = ohif.page.mouse
    mouse.move(x - _DRAWN_PX / 2, y)
    mouse.down()
    mouse.move(x, y, steps=5)
    mouse.move(x + _DRAWN_PX / 2, y, steps=5)
    mouse.up()
    ohif.page.get_by_role("button", name="Yes").click()
    _open_measurements(ohif)
    expect(ohif.page.locator('[data-cy="measurement-table-row-0"]')).to_contain_text("mm")
    image = dcmread(SUBSET / "ct" / "001.dcm", stop_before_pixels=True)
    # The square image fills the viewport from top to bottom.
    return float(_DRAWN_PX * image.Rows * image.PixelSpacing[0] / min(box["width"], box["height"]))


def _open_measurements(ohif: Ohif) -> None:
    ohif.page.locator('[data-cy="trackedMeasurements-btn"]').click()


def _save(ohif: Ohif, name: str) -> Response:
    """Keep what was measured as a report; return the server's answer."""
    ohif.page.get_by_role("button", name="Create SR").click()
    ohif.page.locator('[data-cy="dialog-input"]').fill(name)
    with ohif.page.expect_response(lambda answer: answer.request.method == "POST") as stored:
        ohif.page.get_by_role("button", name="Save").click()
    return stored.value


def _reports(site: RunningGateway, study_uid: str, description: str) -> list[dict[str, Any]]:
    """Return the reports of a name: found by a search, as metadata."""
    query = {"Modality": "SR", "SeriesDescription": description}
    with site.client() as client:
        series = client.get(f"/dicom-web/studies/{study_uid}/series", params=query).json()
        return [
            report
            for one in series
            for report in client.get(f"/dicom-web/studies/{study_uid}/series/{value(one, '0020000E')}/metadata").json()
        ]


def _items(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all content items of a report (PS3.3 C.17.3)."""
    for child in item.get("0040A730", {}).get("Value", ()):
        yield child
        yield from _items(child)


def _code(item: dict[str, Any], tag: str) -> tuple[str, str]:
    code = value(item, tag) or {}
    return value(code, "00080100"), value(code, "00080102")
