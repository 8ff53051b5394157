"""The OpenAPI document tells what every route takes and gives, and the page shows it."""

import re
from typing import Any

import httpx
import pytest

from pacs_gateway.domain.attributes import ATTRIBUTES, Matching
from pacs_gateway.domain.levels import Level
from viewer_api.description.resources import RESOURCES

OPEN = {"/dicom-web/", "/healthz", "/readyz", "/metrics"}


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/api/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, one) for path, of_path in document["paths"].items() for method, one in of_path.items()]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for method, path, operation in _operations(document):
        assert (method, path.rstrip("/").rpartition("/")[2]) in RESOURCES, f"{method} {path} has no description"
        assert operation["summary"]
        assert operation["description"]
        assert any(status in operation["responses"] for status in ("200", "204"))
        assert operation["responses"].get("200", {"content": True})["content"]


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(set(names)) == len(names)


def test_problems_are_described_where_who_asks_has_to_say_so(document: dict[str, Any]) -> None:
    for _, path, operation in _operations(document):
        statuses = {status for status, one in operation["responses"].items() if "problem" in str(one)}
        assert ({"400", "401", "403", "404", "503"} <= statuses) is ("security" in operation)
        assert ("security" in operation) is (path not in OPEN)


def test_searches_tell_every_attribute_that_finds_something(document: dict[str, Any]) -> None:
    told = {one["name"] for one in document["paths"]["/dicom-web/studies"]["get"]["parameters"]}
    keys = {a.keyword for a in ATTRIBUTES if a.level in (Level.PATIENT, Level.STUDY) and not a.items}
    assert {a.keyword for a in ATTRIBUTES if a.keyword in keys and a.matching is not Matching.NONE} <= told
    assert {"limit", "offset", "includefield", "fuzzymatching", "accept"} <= told
    assert "ProcedureCodeSequence.CodeValue" in told
    of_series = document["paths"]["/dicom-web/studies/{study}/series"]["get"]["parameters"]
    assert "StudyInstanceUID" not in {one["name"] for one in of_series}


def test_the_page_shows_every_operation_and_loads_nothing_from_elsewhere(
    client: httpx.Client, document: dict[str, Any]
) -> None:
    page = client.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    assert page.text.count("<details>") == len(_operations(document))
    assert "<script" not in page.text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    assert addresses
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address).status_code == 200
