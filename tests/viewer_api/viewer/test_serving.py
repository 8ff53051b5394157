"""The viewer's files as a browser gets them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.viewer_api.site import Site, open_site
from viewer_api.viewer import install as fetching
from viewer_api.viewer import serving
from viewer_api.viewer.install import PREPARED, install
from viewer_api.viewer.prepare import About

pytestmark = pytest.mark.peer("ohif")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    install()
    with open_site(tmp_path_factory.mktemp("viewer")) as opened:
        yield opened


@pytest.fixture(scope="module")
def about() -> About:
    return install()


def _get(site: Site, path: str, *, account: str = "reader", **headers: str) -> httpx.Response:
    with site.client(account) as client:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("path", ["/viewer", "/viewer/", "/viewer/viewer?StudyInstanceUIDs=1.2", "/viewer/local/basic"])
def test_the_viewers_own_addresses_show_its_page(site: Site, path: str) -> None:
    answer = _get(site, path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert '<div id="root">' in answer.text


@pytest.mark.parametrize(
    "path", ["/viewer/missing.js", "/viewer/ort/ort.js", "/viewer/..%2fserving.py", "/viewer/sw.js"]
)
def test_a_file_that_is_not_there_is_not_the_page(site: Site, path: str) -> None:
    assert _get(site, path).status_code == 404


def test_types_are_those_that_browsers_insist_on(site: Site, about: About) -> None:
    wanted = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm", ".css": "text/css; charset=utf-8"}
    for suffix, media_type in wanted.items():
        name = next(name for name in about.files if name.endswith(suffix))
        assert _get(site, f"/viewer/{name}").headers["content-type"] == media_type


def test_every_file_has_a_type(about: About) -> None:
    suffixes = {Path(name).suffix for name in about.files}

    assert suffixes <= set(serving._TYPES)


def test_files_named_by_their_content_are_kept_for_ever_others_asked_about(site: Site, about: About) -> None:
    bundle = next(name for name in about.files if re.fullmatch(r"app\.bundle\.[0-9a-f]{16}\.js", name))

    assert "immutable" in _get(site, f"/viewer/{bundle}").headers["cache-control"]
    style = _get(site, "/viewer/app.bundle.css")
    assert style.headers["cache-control"] == "private, no-cache"
    assert _get(site, "/viewer/app.bundle.css", if_none_match=style.headers["etag"]).status_code == 304


def test_files_leave_compressed(site: Site, about: About) -> None:
    bundle = next(name for name in about.files if name.startswith("app.bundle.") and name.endswith(".js"))

    packed = _get(site, f"/viewer/{bundle}", accept_encoding="gzip")
    plain = _get(site, f"/viewer/{bundle}", accept_encoding="identity")

    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 0.3 * about.files[bundle]
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == (PREPARED / bundle).read_bytes()


def test_the_page_may_run_its_own_scripts_only_and_a_decoder_may_make_code(site: Site, about: About) -> None:
    page, decoder = _get(site, "/viewer/"), _get(site, f"/viewer/{about.code_makers[0]}")

    assert len(about.inline_scripts) == 2
    for one in about.inline_scripts:
        assert one in page.headers["content-security-policy"]
    assert "'unsafe-eval'" not in page.headers["content-security-policy"]
    assert "'unsafe-inline'" not in page.headers["content-security-policy"].split("style-src")[0]
    assert "'unsafe-eval'" in decoder.headers["content-security-policy"]
    for answer in (page, decoder):
        assert "connect-src 'self' blob: data:;" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("account", "may_store"), [("boss", True), ("reader", False)])
def test_the_settings_offer_storing_to_who_may(site: Site, account: str, may_store: bool) -> None:
    script = _get(site, "/viewer/app-config.js", account=account).text

    assert f'"dicomUploadEnabled": {str(may_store).lower()}' in script
    assert "dicomwebproxy" not in script
    assert "dicomjson" not in script
    assert '"routerBasename": "/viewer"' in script


def test_who_has_not_logged_in_is_led_there_and_back(site: Site) -> None:
    answer = _get(site, "/viewer/viewer?StudyInstanceUIDs=1.2", account="")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fviewer%2Fviewer%3FStudyInstanceUIDs%3D1.2"


def test_without_a_viewer_a_page_says_how_to_get_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PREPARED", tmp_path)

    answer = _get(site, "/viewer/")

    assert answer.status_code == 404
    assert "pacs-gateway viewer install" in answer.text
    assert _get(site, "/dicom-web/studies").status_code == 200
