"""Reports and documents opened in OHIF, and the way back to a study for who has to log in again."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, expect
from pydicom import dcmread
from pydicom.uid import UID

from tests.acceptance.viewer.ohif import DEADLINE_MS, Ohif
from tests.acceptance.viewer.sites import SUBSET, end_session, fill_in_login, logged_in, small_site, study_of, value
from tests.support.builders import uid
from tests.support.running_gateway import RunningGateway

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

_LONG_DOCUMENT = "Phiếu dài"
# Chromium shows PDF by a page of its own.
_BROWSERS_OWN = ("chrome-extension://", "chrome://")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("documents")
    with small_site(folder, "ct", "ct-sr", "ct-pdf") as gateway:
        gateway.must("import", str(_long_document(folder)))
        yield gateway


@pytest.fixture(scope="module")
def reader(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    with logged_in(chromium, site, "doctor", "reader") as context:
        yield context


@pytest.fixture
def study_uid(site: RunningGateway) -> str:
    return str(value(study_of(site, "CT"), "0020000D"))


def test_a_report_and_documents_are_shown_one_after_the_other(
    reader: BrowserContext, site: RunningGateway, study_uid: str
) -> None:
    ohif = Ohif(reader.new_page(), site)
    ohif.open(study_uid)
    ohif.wait_until_drawn()
    document = ohif.page.locator("object[type='application/pdf']")

    # A short one stands in the metadata, a long one is asked for.
    ohif.show("Phiếu kết quả")
    _wait_until_white(document)
    with ohif.page.expect_response(lambda answer: answer.url.endswith("/rendered")) as asked:
        ohif.show(_LONG_DOCUMENT)
    assert asked.value.status == 200
    assert asked.value.headers["content-type"] == "application/pdf"
    assert asked.value.headers["content-disposition"].startswith("inline")
    _wait_until_white(document)
    ohif.keep_screenshot("a document")

    # Its picture has no name, as the standard allows: OHIF's own page ended over it.
    ohif.show("Kết quả đọc phim")
    for text in ("Findings", "Nốt mờ thuỳ trên phổi phải", "Conclusions", "IMAGE:"):
        expect(ohif.page.get_by_text(text).first).to_be_visible()
    ohif.keep_screenshot("a report")
    ohif.page.close()
    assert [fault for fault in ohif.faults if not fault.startswith(_BROWSERS_OWN)] == []


def test_after_the_session_a_reload_leads_to_the_login_and_back_to_the_study(
    reader: BrowserContext, site: RunningGateway, study_uid: str
) -> None:
    ohif = Ohif(reader.new_page(), site)
    ohif.open(study_uid)
    ohif.wait_until_drawn()
    end_session(reader, site)

    ohif.page.reload()
    fill_in_login(ohif.page, "doctor")

    ohif.page.wait_for_url(f"**/viewer/viewer?StudyInstanceUIDs={study_uid}")
    ohif.wait_until_drawn()
    ohif.page.close()
    assert ohif.faults == []


def _long_document(folder: Path) -> Path:
    """Make a document too long to stand in the metadata."""
    ds = dcmread(SUBSET / "ct-pdf" / "001.dcm")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(uid(8, 1, 1))
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = uid(8, 1), 8, _LONG_DOCUMENT
    content = ds.EncapsulatedDocument.rstrip(b"\0")
    # A comment after the end, and the end once more: where readers look for it (ISO 32000-1 7.5.5).
    content += b"\n%" + b" " * 20_000 + b"\n" + content[content.rindex(b"startxref") :]
    ds.EncapsulatedDocumentLength = len(content)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    file = folder / "long.dcm"
    ds.save_as(file)
    return file


def _wait_until_white(document: Locator) -> None:
    """Wait until a page is shown: most of it is paper."""
    page = document.page
    for _ in range(DEADLINE_MS // 500):
        shown = np.asarray(Image.open(io.BytesIO(document.screenshot())).convert("L"))
        if np.count_nonzero(shown > 250) > shown.size * 0.3:
            return
        page.wait_for_timeout(500)
    raise AssertionError("no page was shown")
