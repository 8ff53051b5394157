"""What the service and its resources can do, asked by OPTIONS and GET (PS3.18 8.9)."""

from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.viewer_api.site import Site
from tests.viewer_api.studies import uid

WADL = "application/vnd.sun.wadl+xml"
SPACE = {"w": "http://wadl.dev.java.net/2009/02"}
SERIES = f"/dicom-web/studies/{uid(1)}/series/{uid(1, 1)}"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/dicom-web/", "GET, HEAD, OPTIONS"),
        ("/dicom-web/studies", "GET, POST, HEAD, OPTIONS"),
        (f"{SERIES}/metadata", "GET, HEAD, OPTIONS"),
        (f"{SERIES}/instances", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_tell_what_can_be_done(client: httpx.Client, path: str, allowed: str) -> None:
    response = client.options(path)
    assert (response.status_code, response.headers["allow"]) == (200, allowed)
    assert response.headers["content-type"] == WADL
    silent = client.options(path, headers={"Accept": "text/html"})
    assert (silent.status_code, silent.headers["allow"], silent.content) == (204, allowed, b"")


def test_what_is_not_there_has_no_options(client: httpx.Client) -> None:
    assert client.options("/dicom-web/nothing").status_code == 404


def test_a_method_that_is_not_allowed_is_told_which_are(client: httpx.Client) -> None:
    response = client.put("/dicom-web/studies", headers={"Origin": str(client.base_url).rstrip("/")})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")


def test_the_service_describes_itself_as_wadl(client: httpx.Client) -> None:
    application = ET.fromstring(client.get("/dicom-web/", headers={"Accept": WADL}).content)
    (resources,) = application.findall("w:resources", SPACE)
    assert resources.get("base") == f"{str(client.base_url).rstrip('/')}/dicom-web"
    (studies,) = resources.findall("w:resource[@path='studies']", SPACE)
    methods = {one.get("name"): one for one in studies.findall("w:method", SPACE)}
    assert set(methods) == {"GET", "POST"}
    names = {one.get("name") for one in methods["GET"].findall("w:request/w:param", SPACE)}
    assert {"PatientName", "limit", "includefield"} <= names
    kinds = {one.get("mediaType") for one in methods["GET"].findall("w:response/w:representation", SPACE)}
    assert {"application/dicom+json", "multipart/related", "application/problem+json"} <= kinds
    of_study = "w:resource[@path='{study}']/w:resource[@path='series']/w:resource[@path='{series}']"
    assert studies.find(f"{of_study}/w:resource[@path='metadata']/w:method[@name='GET']", SPACE) is not None


def test_a_resource_describes_itself_and_what_is_below(client: httpx.Client) -> None:
    application = ET.fromstring(client.options(SERIES).content)
    paths = [one.get("path") for one in application.iter(f"{{{SPACE['w']}}}resource")]
    assert paths[:4] == ["studies", "{study}", "series", "{series}"]
    assert {"instances", "metadata", "{instance}", "{frames}"} <= set(paths)
    assert len(application.findall(".//w:resource[@path='studies']/w:method", SPACE)) == 0


def test_openapi_is_the_other_form(client: httpx.Client) -> None:
    found = client.get("/dicom-web/", headers={"Accept": "application/json"})
    assert found.json() == client.get("/api/openapi.json").json()
    assert client.get("/dicom-web/", headers={"Accept": "text/plain"}).status_code == 406


def test_capabilities_are_told_to_whoever_asks(site: Site) -> None:
    with site.client("") as nobody:
        assert nobody.get("/dicom-web/").status_code == 200
        assert nobody.options("/dicom-web/studies").status_code == 200
