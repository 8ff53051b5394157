"""Health, readiness, metrics."""

import asyncio

import httpx
import pytest

from pacs_gateway.gateway import Gateway
from tests.viewer_api.site import Site
from viewer_api.app import create_app
from viewer_api.config import WebConfig


@pytest.fixture
def anyone(site: Site) -> httpx.Client:
    return site.client("")


def test_a_process_that_answers_is_alive_and_ready(anyone: httpx.Client) -> None:
    assert anyone.get("/healthz").json() == {"status": "ok"}
    ready = anyone.get("/readyz")
    assert (ready.status_code, ready.json()["index"]) == (200, "ok")


@pytest.mark.parametrize(
    ("states", "web", "beside_dicom", "for_all"),
    [
        ({"index": "ok", "spool": "ok", "store": "ok"}, 200, 200, 200),
        ({"index": "ok", "spool": "ok", "store": "down"}, 200, 200, 503),
        ({"index": "ok", "spool": "down", "store": "ok"}, 200, 503, 503),
        ({"index": "down", "spool": "ok", "store": "ok"}, 503, 503, 503),
    ],
)
def test_the_roles_that_run_decide_what_is_needed_and_every_dependency_is_named(
    anyone: httpx.Client,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, str],
    web: int,
    beside_dicom: int,
    for_all: int,
) -> None:
    monkeypatch.setattr(Gateway, "readiness", lambda _gateway: states)
    answer = anyone.get("/readyz")
    assert answer.status_code == web
    assert {name: answer.json()[name] for name in states} == states
    assert anyone.get("/readyz?all").status_code == for_all
    app = create_app(WebConfig(needs=frozenset({"index", "spool"})), site.gateway)
    transport = httpx.ASGITransport(app)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url=site.url) as client:
            return (await client.get("/readyz")).status_code

    assert asyncio.run(ask()) == beside_dicom


def test_figures_name_routes_not_what_was_asked_for(site: Site, anyone: httpx.Client) -> None:
    with site.client() as client:
        client.get("/dicom-web/studies?PatientName=Canary^Name")
        client.get("/dicom-web/studies/1.2.3.4.5.6.7/metadata")
        client.get("/nothing/Canary")
        client.request("CANARY", "/")
    figures = anyone.get("/metrics").text
    assert 'pacs_http_requests_total{method="GET",route="/dicom-web/studies",status="200"}' in figures
    assert 'route="/dicom-web/studies/{study}/metadata"' in figures
    assert 'pacs_process_resident_bytes{process="' in figures
    for canary in ("Canary", "CANARY", "1.2.3.4.5.6.7"):
        assert canary not in figures
