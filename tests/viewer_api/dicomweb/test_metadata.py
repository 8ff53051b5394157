"""The metadata of studies, series and instances over real sockets: JSON and XML, compressed or not, or not again."""

import gzip

import httpx
import pytest

from pacs_gateway.dicomweb.dicom_xml_reader import decode
from tests.support.dicomweb import parts
from tests.viewer_api import studies
from tests.viewer_api.studies import uid

STUDY = f"/dicom-web/studies/{uid(1)}"
SERIES = f"{STUDY}/series/{uid(1, 1)}"
INSTANCE = f"{SERIES}/instances/{uid(1, 1, 2)}"
XML = {"Accept": 'multipart/related; type="application/dicom+xml"'}
LEVELS = {STUDY: 8, SERIES: 3, INSTANCE: 1}


@pytest.mark.parametrize("path", LEVELS)
def test_they_come_gzipped_or_not_and_only_once(client: httpx.Client, path: str) -> None:
    zipped = client.get(f"{path}/metadata")
    plain = client.get(f"{path}/metadata", headers={"Accept-Encoding": "identity"})
    assert (zipped.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert plain.json() == zipped.json()
    assert len(plain.json()) == LEVELS[path]
    assert plain.headers["content-type"] == "application/dicom+json"
    again = client.get(f"{path}/metadata", headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_compressed_answers_are_one_gzip_member_which_is_all_that_browsers_read(client: httpx.Client) -> None:
    with client.stream("GET", f"{STUDY}/metadata") as response:
        body = b"".join(response.iter_raw())
    assert body.count(b"\x1f\x8b\x08") == 1
    assert gzip.decompress(body).endswith(b"}]")


def test_they_tell_instances_in_their_order(client: httpx.Client) -> None:
    found = client.get(f"{STUDY}/metadata").json()
    expected = [uid(1, 1, 1), uid(1, 1, 2), uid(1, 1, 3), uid(1, 2, 1)]
    assert [one["00080018"]["Value"][0] for one in found[:4]] == expected
    assert found[0]["00100010"]["Value"][0]["Alphabetic"] == studies.NAME


@pytest.mark.parametrize("path", LEVELS)
def test_xml_says_the_same_one_document_an_instance(client: httpx.Client, path: str) -> None:
    response = client.get(f"{path}/metadata", headers=XML)
    assert response.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"; boundary=')
    assert [decode(part) for part in parts(response)] == client.get(f"{path}/metadata").json()


def test_what_is_known_as_json_is_not_known_as_xml(client: httpx.Client) -> None:
    etag = client.get(f"{SERIES}/metadata").headers["etag"]
    as_xml = client.get(f"{SERIES}/metadata", headers=XML | {"If-None-Match": etag})
    assert as_xml.status_code == 200
    again = client.get(f"{SERIES}/metadata", headers=XML | {"If-None-Match": as_xml.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("headers", [{}, XML])
def test_head_tells_the_same_without_a_body(client: httpx.Client, headers: dict[str, str]) -> None:
    response = client.head(f"{SERIES}/metadata", headers=headers)
    told = client.get(f"{SERIES}/metadata", headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["etag"] == told.headers["etag"]
    assert response.headers["content-type"].split("boundary")[0] == told.headers["content-type"].split("boundary")[0]
    assert client.head(f"{SERIES}.9/metadata").status_code == 404


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json;q=0.5, multipart/related;type=application/dicom+xml", "multipart/related"),
        ("application/dicom+xml", None),
        ("text/html", None),
    ],
)
def test_the_form_is_the_callers_choice(client: httpx.Client, accept: str, kind: str | None) -> None:
    response = client.get(f"{SERIES}/metadata", headers={"Accept": accept})
    assert response.status_code == (200 if kind else 406)
    assert kind is None or response.headers["content-type"].startswith(kind)
    wished = client.get(f"{SERIES}/metadata", params={"accept": accept}, headers={"Accept": "image/png"})
    assert wished.status_code == response.status_code
