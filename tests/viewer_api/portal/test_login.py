"""Logging in and out in a browser's way: forms, cookies, origins."""

from collections.abc import Iterator

import httpx
import pytest

from pacs_gateway.access import Role
from tests.viewer_api.site import PASSWORD, TESTER, Site, open_site
from tests.viewer_api.studies import uid


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    """A browser: keeps cookies, says where its requests come from, follows nothing by itself."""
    with httpx.Client(base_url=site.url, headers={"Origin": site.url}, timeout=30) as opened:
        yield opened


def log_in(browser: httpx.Client, name: str = "boss", password: str = PASSWORD, target: str = "/") -> httpx.Response:
    return browser.post("/login", data={"name": name, "password": password, "next": target})


def test_a_page_leads_to_the_login_and_back(browser: httpx.Client) -> None:
    sent = browser.get(f"/studies/{uid(1)}?lang=en")
    assert sent.status_code == 303
    page = browser.get(sent.headers["location"])
    assert f'value="/studies/{uid(1)}?lang=en"' in page.text
    back = log_in(browser, target=f"/studies/{uid(1)}?lang=en")
    assert (back.status_code, back.headers["location"]) == (303, f"/studies/{uid(1)}?lang=en")
    assert browser.get(back.headers["location"]).status_code == 200


def test_the_cookie_is_unreadable_to_scripts_and_unsent_by_other_sites(browser: httpx.Client) -> None:
    cookie = log_in(browser).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert PASSWORD not in cookie


@pytest.mark.parametrize(("name", "password"), [("boss", "wrong"), ("nobody", PASSWORD), ("", ""), ("\ud7ff\x00", "x")])
def test_a_wrong_login_says_only_that(site: Site, name: str, password: str) -> None:
    with httpx.Client(base_url=site.url, headers={"Origin": site.url, "Accept-Language": "en"}) as browser:
        answer = log_in(browser, name, password)
    assert answer.status_code == 401
    assert "user name or password is wrong" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/\n//x", ""]
)
def test_nobody_is_led_away_after_logging_in(browser: httpx.Client, target: str) -> None:
    assert log_in(browser, target=target).headers["location"] == "/"


def test_logging_out_ends_the_session_everywhere(browser: httpx.Client) -> None:
    log_in(browser)
    stolen = dict(browser.cookies)
    answer = browser.post("/logout")
    assert answer.headers["location"] == "/login"
    assert "cache" in answer.headers["clear-site-data"]
    browser.cookies.update(stolen)
    assert browser.get("/").headers["location"].startswith("/login")
    assert browser.get("/dicom-web/studies").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout", "/password", "/dicom-web/studies"])
def test_other_sites_pages_cannot_act_for_a_reader(site: Site, headers: dict[str, str], path: str) -> None:
    with httpx.Client(base_url=site.url) as browser:
        browser.post("/login", data={"name": "boss", "password": PASSWORD}, headers={"Origin": site.url})
        answer = browser.post(path, data={"name": "boss", "password": PASSWORD}, headers=headers)
        assert answer.status_code == 403
        assert browser.get("/").status_code == 200


def test_a_one_time_password_opens_nothing_but_its_change(site: Site, browser: httpx.Client) -> None:
    made = site.gateway.access.accounts.create("newcomer", role=Role.READER, facility="LOCAL", by=TESTER)
    assert made.one_time_password is not None
    assert log_in(browser, "newcomer", made.one_time_password).headers["location"] == "/password"
    assert browser.get("/").headers["location"] == "/password"
    assert browser.get("/dicom-web/studies").status_code == 403

    def change(old: str, new: str, repeat: str) -> httpx.Response:
        return browser.post("/password", data={"old": old, "new": new, "repeat": repeat})

    assert change(made.one_time_password, "a new password", "another one").status_code == 422
    assert change(made.one_time_password, "short", "short").status_code == 422
    assert change("wrong", "a new password", "a new password").status_code == 422
    assert change(made.one_time_password, "a new password", "a new password").headers["location"] == "/"
    assert browser.get("/").status_code == 200
    assert log_in(browser, "newcomer", made.one_time_password).status_code == 401


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"name=x", "text/plain"),
        (b"name=" + b"x" * 10_000, "application/x-www-form-urlencoded"),
        (b"&".join([b"a=b"] * 50), "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_no_login_form_is_refused(browser: httpx.Client, content: bytes, kind: str) -> None:
    assert browser.post("/login", content=content, headers={"Content-Type": kind}).status_code == 400


def test_with_logins_off_only_this_machine_is_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_site(tmp_path_factory.mktemp("open"), auth="off") as opened, opened.client("") as anyone:
        assert anyone.get("/").status_code == 200
        assert anyone.get("/login").headers["location"] == "/"
        assert anyone.get("/dicom-web/studies").json() == []
        for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""):
            assert anyone.get("/dicom-web/studies", headers={"Host": host}).status_code == 421
        foreign = {"Origin": "https://evil.example"}
        assert anyone.post("/dicom-web/studies", headers=foreign).status_code == 403
        assert anyone.post("/dicom-web/studies").status_code == 415
