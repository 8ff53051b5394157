"""Health, readiness, metrics."""

import httpx
import pytest

from pacs_gateway.gateway import Gateway
from tests.viewer_api.site import Site


@pytest.fixture
def anyone(site: Site) -> httpx.Client:
    return site.client("")


def test_a_process_that_answers_is_alive_and_ready(anyone: httpx.Client) -> None:
    assert anyone.get("/healthz").json() == {"status": "ok"}
    ready = anyone.get("/readyz")
    assert (ready.status_code, ready.json()["index"]) == (200, "ok")


@pytest.mark.parametrize(
    ("states", "ready", "ready_for_all"),
    [
        ({"index": "ok", "spool": "ok", "store": "ok"}, 200, 200),
        ({"index": "ok", "spool": "ok", "store": "down"}, 200, 503),
        ({"index": "ok", "spool": "degraded", "store": "ok"}, 200, 503),
        ({"index": "down", "spool": "ok", "store": "ok"}, 503, 503),
    ],
)
def test_the_web_needs_the_index_and_every_dependency_is_named(
    anyone: httpx.Client, monkeypatch: pytest.MonkeyPatch, states: dict[str, str], ready: int, ready_for_all: int
) -> None:
    monkeypatch.setattr(Gateway, "readiness", lambda _gateway: states)
    answer = anyone.get("/readyz")
    assert answer.status_code == ready
    assert {name: answer.json()[name] for name in states} == states
    assert anyone.get("/readyz?all").status_code == ready_for_all


def test_figures_name_routes_not_what_was_asked_for(site: Site, anyone: httpx.Client) -> None:
    with site.client() as client:
        client.get("/dicom-web/studies?PatientName=Canary^Name")
        client.get("/dicom-web/studies/1.2.3.4.5.6.7/metadata")
        client.get("/nothing/Canary")
        client.request("CANARY", "/")
    figures = anyone.get("/metrics").text
    assert 'pacs_http_requests_total{method="GET",route="/dicom-web/studies",status="200"}' in figures
    assert 'route="/dicom-web/studies/{study}/metadata"' in figures
    assert "process_resident_memory_bytes" in figures
    for canary in ("Canary", "CANARY", "1.2.3.4.5.6.7"):
        assert canary not in figures
