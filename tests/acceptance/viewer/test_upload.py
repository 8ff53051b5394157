"""Files dragged into OHIF: kept and found, or refused in words; offered only to who may store."""

from base64 import b64encode
from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.acceptance.viewer.ohif import Ohif
from tests.acceptance.viewer.sites import logged_in, small_site, study_of, value
from tests.support.builders import Identity, image, part10
from tests.support.running_gateway import RunningGateway

pytestmark = [
    pytest.mark.peer("chromium"),
    pytest.mark.peer("ohif"),
    pytest.mark.xdist_group("viewer"),
    pytest.mark.timeout(600),
]

_DROP = """(zone, files) => {
  const transfer = new DataTransfer();
  for (const [name, content] of Object.entries(files)) {
    transfer.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with small_site(tmp_path_factory.mktemp("upload"), "dx") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def technician(chromium: Browser, site: RunningGateway) -> Iterator[BrowserContext]:
    with logged_in(chromium, site, "technician", "administrator") as context:
        yield context


def test_dragged_files_are_kept_and_broken_ones_named(technician: BrowserContext, site: RunningGateway) -> None:
    ohif = Ohif(technician.new_page(), site)
    whole, other = (part10(image(Identity(study=study, patient_id=f"KEO-{study}"))) for study in (1, 2))
    _open_list(ohif)

    _drop(ohif, {"whole.dcm": whole, "broken.dcm": other[:-20], "note.txt": b"no image at all"})

    dialog = ohif.page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 files completed.")
    expect(dialog).to_contain_text("Completed with 2 errors!")
    for why in ("request failed", "Not a valid DICOM file."):
        expect(dialog.get_by_text(why)).to_have_css("color", "rgb(255, 255, 255)")
    ohif.keep_screenshot("files dragged in")
    dialog.get_by_role("button", name="Close").first.click()
    # What was kept stands in the list at once.
    expect(ohif.page.locator("tbody tr", has_text="CT")).to_have_count(1)
    assert value(study_of(site, "CT"), "00100020") == "KEO-1"
    with site.client() as client:
        assert len(client.get("/dicom-web/studies").json()) == 2
    ohif.page.close()
    assert [fault for fault in ohif.faults if fault.startswith(("4", "5"))] == [f"409 {site.url}/dicom-web/studies"]


def test_a_file_sent_again_when_it_is_whole_is_kept(technician: BrowserContext, site: RunningGateway) -> None:
    ohif = Ohif(technician.new_page(), site)
    content = part10(image(Identity(study=3, patient_id="KEO-3")))
    _open_list(ohif)

    _drop(ohif, {"whole.dcm": content})

    expect(ohif.page.get_by_role("dialog")).to_contain_text("1 file completed.")
    with site.client() as client:
        (kept,) = client.get("/dicom-web/studies", params={"PatientID": "KEO-3"}).json()
    assert value(kept, "00201208") == 1
    ohif.page.close()
    assert ohif.faults == []


def test_who_may_not_store_is_offered_no_upload(chromium: Browser, site: RunningGateway) -> None:
    with logged_in(chromium, site, "student", "reader") as context:
        ohif = Ohif(context.new_page(), site)
        ohif.page.goto("/viewer/")
        expect(ohif.page.locator("tbody tr", has_text="DX")).to_have_count(1)

        expect(ohif.page.get_by_role("button", name="Upload")).to_have_count(0)
        ohif.page.close()
    assert ohif.faults == []


def _open_list(ohif: Ohif) -> None:
    ohif.page.goto("/viewer/")
    ohif.page.get_by_role("button", name="Upload").click()


def _drop(ohif: Ohif, files: Mapping[str, bytes]) -> None:
    """Drag files from the desktop into the dialogue for them."""
    zone = ohif.page.get_by_text("or drag images or folders here")
    zone.evaluate(_DROP, {name: b64encode(content).decode() for name, content in files.items()})
