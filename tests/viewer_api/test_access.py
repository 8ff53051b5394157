"""Every route for every kind of caller; a new route without a rule fails here."""

from collections.abc import Iterable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.viewer_api import studies
from tests.viewer_api.site import TESTER, Site
from tests.viewer_api.studies import uid
from viewer_api.access import May
from viewer_api.app import create_app
from viewer_api.config import WebConfig

# Without a rule on purpose: they show no patient, or are how somebody gets to be known.
CANARY = ("Can", "ary")
INTERNAL = "/internal/spool/{process}/{name}"  # for other nodes: a seal instead of a login
PUBLIC = {INTERNAL, "/healthz", "/readyz", "/metrics", "/login", "/logout", "/password", "/dicom-web/", "/api/docs"}
UNUSUAL = {
    "/wado": 400,  # without its parameters; tests of its own say whom it serves
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}": 404,
}
FACTS = {
    "study": uid(1), "series": uid(1, 1), "instance": uid(1, 1, 1), "frames": "1", "frame": "1", "path": "00420011",
    "code": "113001%5EDCM",
}  # fmt: skip


@pytest.fixture(scope="module")
def app(site: Site) -> FastAPI:
    return create_app(WebConfig(), site.gateway)


def _routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in _all_routes(app.routes) if isinstance(route, APIRoute)]


def _all_routes(routes: Iterable[object]) -> Iterator[object]:
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        if inner is not None:
            yield from _all_routes(inner)
        else:
            yield route


def _guards(route: APIRoute) -> list[May]:
    return [dependant.call for dependant in route.dependant.dependencies if isinstance(dependant.call, May)]


def test_every_route_has_a_rule(app: FastAPI) -> None:
    routes = _routes(app)
    assert len(routes) > 30
    assert {route.path for route in routes if not _guards(route)} == PUBLIC


@pytest.mark.usefixtures("viewer")
def test_every_route_answers_by_who_is_calling(site: Site, app: FastAPI) -> None:
    with site.client("") as nobody, site.client("stranger") as stranger, site.client("reader") as reader:
        forged = {"Authorization": "Bearer pgw_" + "x" * 43}
        for route in _routes(app):
            if route.path in PUBLIC:
                continue
            is_page = "pages" in route.tags
            path = route.path.replace(":path", "").format_map(FACTS)
            method = min(route.methods or {""})
            assert nobody.request(method, path).status_code == (303 if is_page else 401), path
            assert nobody.request(method, path, headers=forged).status_code == (303 if is_page else 401), path
            if method != "GET":
                assert reader.request(method, path).status_code == 403, path
                continue
            accept = {"Accept": "*/*" if "rendered" in path or "thumbnail" in path else "*/*; transfer-syntax=*"}
            assert reader.get(path, headers=accept).status_code == UNUSUAL.get(route.path, 200), path
            unseen = stranger.get(path, headers=accept)
            if uid(1) in path and unseen.status_code != 404:
                assert unseen.json() == [], path


def test_a_token_that_was_taken_back_opens_nothing(site: Site) -> None:
    value = site.gateway.access.tokens.add("short", account_name="reader", by=TESTER)
    with httpx.Client(base_url=site.url, headers={"Authorization": f"bearer {value}"}) as client:
        assert client.get("/dicom-web/studies").status_code == 200
        site.gateway.access.tokens.remove("short", by=TESTER)
        answer = client.get("/dicom-web/studies")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("authorization", ["Bearer", "Basic Ym9zczp4", "Bearer x y", "", "Bearer " + "x" * 9000])
def test_what_is_no_token_is_refused(site: Site, authorization: str) -> None:
    with site.client("") as client:
        answer = client.get("/dicom-web/studies", headers={"Authorization": authorization})
    assert answer.status_code == 401


def test_every_answer_has_its_correlation_id_and_its_headers(site: Site) -> None:
    with site.client() as client:
        for path in ("/", "/dicom-web/studies", "/nothing", "/static/portal.css", "/healthz", "/dicom-web/studies/x"):
            answer = client.get(path, headers={"X-Request-ID": "trace-0001"})
            assert answer.headers["x-request-id"] == "trace-0001"
            assert answer.headers["server"] == "pacs-gateway"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "content-security-policy" in answer.headers
        assert client.get("/", headers={"X-Request-ID": "a\tb"}).headers["x-request-id"] != "a\tb"
        assert client.delete("/dicom-web/studies").status_code == 405


def test_a_fault_of_ours_tells_its_id_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("".join(CANARY))

    monkeypatch.setattr(type(site.gateway.archive.search), "find", fail)
    with site.client() as client:
        answer = client.get("/dicom-web/studies?PatientID=Canary")
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "Canary" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert "Canary" not in caplog.text


def test_the_interface_describes_itself(site: Site) -> None:
    with site.client("") as client:
        described = client.get("/api/openapi.json").json()
    assert "/dicom-web/studies/{study}/series" in described["paths"]
    assert studies.NAME not in str(described)
