"""The list and the image page: what they show, and that nothing they show can act."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from tests.viewer_api import studies
from tests.viewer_api.site import PASSWORD, Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.viewer import install as fetching

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</title><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "<a href='javascript:alert(1)'>",
    "&lt;script&gt;",
    "`${alert(1)}`",
    "<iframe srcdoc='<script>alert(1)</script>'>",
)
_ACTIVE = {"svg", "object", "embed", "iframe", "base", "style", "math"}
_ADDRESSES = {"href", "src", "action", "formaction", "srcdoc", "data", "xlink:href"}


class Inspector(HTMLParser):
    """Collects what could act in a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        own_script = tag == "script" and (facts.get("src") or "").startswith("/static/")
        if tag in _ACTIVE or (tag == "script" and not own_script):
            self.active.append(tag)
        for name, value in attrs:
            leads_to_script = name in _ADDRESSES and (value or "").strip().lower().startswith("javascript:")
            if name.startswith("on") or name == "style" or leads_to_script:
                self.active.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def inspect(html: str) -> Inspector:
    inspector = Inspector()
    inspector.feed(html)
    return inspector


@contextmanager
def browse(site: Site, language: str = "vi") -> Iterator[httpx.Client]:
    headers = {"Origin": site.url, "Accept-Language": language}
    with httpx.Client(base_url=site.url, headers=headers, timeout=30) as browser:
        browser.post("/login", data={"name": "boss", "password": PASSWORD})
        yield browser


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[httpx.Client]:
    with browse(site) as opened:
        yield opened


def shown(page: httpx.Response) -> list[str]:
    """Return the studies of a list, in order."""
    assert page.status_code == 200
    return [uid(n) for n in (1, 2, 3) if f'data-study="{uid(n)}"' in page.text]


def test_the_list_shows_what_people_look_for(browser: httpx.Client) -> None:
    text = inspect(browser.get("/").text).text
    for expected in ("Nguyễn Văn Đức", "BN0001", "02/01/2026", "08:15", "CT bụng", "ELSEWHERE", "8 ảnh", "6 chuỗi"):
        assert expected in text
    assert "Không dùng để chẩn đoán chính" in text


def test_the_language_is_the_readers(site: Site) -> None:
    with browse(site, "en-GB,vi;q=0.5") as browser:
        assert "2026-01-02" in browser.get("/").text
        assert 'lang="vi"' in browser.get("/?lang=vi").text
        assert "Đăng xuất" in browser.get("/").text
    with browse(site, "fr") as browser:
        assert "Log out" in browser.get("/").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=duc+nguyen", [1, 2, 3]),
        ("name=%C4%91%E1%BB%A9c", [1, 2, 3]),
        ("name=tran", []),
        ("id=BN0001", [1]),
        ("id=BN", [1, 2, 3]),
        ("id=*2", [2]),
        ("modality=US", [1]),
        ("from=2026-01-03&to=2026-01-03", [2]),
        ("from=2026-01-03", [2, 3]),
        ("to=2026-01-03", [1, 2]),
        ("name=nguyen&modality=CT&id=BN0003", [3]),
        ("page=2", []),
        ("page=x", [1, 2, 3]),
    ],
)
def test_the_search_finds(browser: httpx.Client, query: str, found: list[int]) -> None:
    assert shown(browser.get(f"/?{query}")) == [uid(n) for n in found]
    assert shown(browser.get(f"/list?{query}")) == [uid(n) for n in found]


def test_a_search_that_makes_no_sense_says_so(browser: httpx.Client) -> None:
    assert "không hợp lệ" in browser.get("/?from=yesterday").text


def test_an_open_list_is_sent_again_only_when_it_has_changed(browser: httpx.Client) -> None:
    first = browser.get("/list")
    again = browser.get("/list", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_image_page_lists_the_series(browser: httpx.Client) -> None:
    page = browser.get(f"/studies/{uid(1)}").text
    positions = [page.index(f'data-series="{uid(1, n)}"') for n in range(1, 7)]
    assert positions == sorted(positions)
    assert f"/series/{uid(1, 6)}/thumbnail" not in page


@pytest.mark.usefixtures("viewer")
def test_studies_open_in_the_viewer_where_there_is_one(browser: httpx.Client) -> None:
    for page in ("/", "/list", f"/studies/{uid(1)}"):
        assert f'href="/viewer/viewer?StudyInstanceUIDs={uid(1)}"' in browser.get(page).text
    assert 'href="/viewer/"' in browser.get("/").text
    assert "không phải là thiết bị y tế" in browser.get("/").text


def test_without_a_viewer_no_page_leads_to_it(
    browser: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PREPARED", tmp_path)

    for page in ("/", "/list", f"/studies/{uid(1)}"):
        assert "/viewer/" not in browser.get(page).text


def test_a_study_that_is_not_there_has_a_page_that_says_so(browser: httpx.Client) -> None:
    for path in (f"/studies/{uid(99)}", "/studies/not-a-uid"):
        answer = browser.get(path)
        assert answer.status_code in (400, 404)
        assert "not-a-uid" not in answer.text


def test_the_pictures_of_a_series_are_told_in_order(site: Site) -> None:
    with site.client() as client:
        found = client.get(f"/api/v1/studies/{uid(1)}/series/{uid(1, 3)}/pictures").json()
        assert found == {"images": [{"instance": uid(1, 3, 1), "frames": 5}], "documents": [], "others": []}
        assert client.get(f"/api/v1/studies/{uid(1)}/series/{uid(1, 5)}/pictures").json()["documents"] == [uid(1, 5, 1)]


def test_pages_forbid_everything_that_is_not_their_own(browser: httpx.Client) -> None:
    for path in ("/", f"/studies/{uid(1)}", "/login", "/list"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_own_files_are_kept_by_browsers_and_asked_about(browser: httpx.Client) -> None:
    script = browser.get("/static/list.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-cache"
    assert browser.get("/static/list.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    assert browser.get("/static/../templates/base.html").status_code == 404


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_typed_into_a_search_acts(browser: httpx.Client, payload: str) -> None:
    for name in ("name", "id", "from", "to", "modality", "page", "lang"):
        found = inspect(browser.get("/", params={name: payload}).text)
        assert found.active == [], name
    assert inspect(browser.get("/login", params={"next": payload}).text).active == []


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.filterwarnings("ignore:.*exceeds the maximum")
def test_nothing_that_devices_send_acts(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_site(tmp_path_factory.mktemp("payloads")) as site:
        for number, payload in enumerate(PAYLOADS, 1):
            ds = studies.base(number)
            short = payload[:16]
            ds.PatientName, ds.PatientID, ds.StudyDescription, ds.SeriesDescription = payload, payload, payload, payload
            ds.Modality, ds.PatientSex, ds.StudyTime, ds.PatientBirthDate = short, short, short, short
            ds.AccessionNumber, ds.StudyDate = short, short[:8]
            studies.pixels(ds, studies.values(number))
            site.put(studies.encode(ds), facility=payload)
        with browse(site) as browser:
            found = inspect(browser.get("/").text)
            assert found.active == []
            assert PAYLOADS[0] in found.text
            for number in range(1, len(PAYLOADS) + 1):
                assert inspect(browser.get(f"/studies/{uid(number)}").text).active == []
        with site.client() as client:
            answer = client.get("/dicom-web/studies")
            assert answer.headers["content-type"] == "application/dicom+json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert len(answer.json()) == len(PAYLOADS)
