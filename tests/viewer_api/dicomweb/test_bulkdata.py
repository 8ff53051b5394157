"""Bulk data over real sockets: one value, ranges of it, all of them."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.uid import RLELossless

from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, RLE, ROOT, SR, US, parts
from tests.viewer_api.site import open_site
from tests.viewer_api.studies import uid

VALUE = bytes(range(256)) * 8
URI = f"{SR}/bulkdata/0040A730/0/00420011"
BIG = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, 3)}"
DEFLATED = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, 4)}"
ANY = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def ranged(client: httpx.Client, text: str, **headers: str) -> httpx.Response:
    return client.get(URI, headers={"Range": text, **headers})


@pytest.mark.parametrize("accept", ["*/*", "application/octet-stream", "application/octet-stream; transfer-syntax=*"])
def test_a_value_comes_alone_with_its_length_and_tag(client: httpx.Client, accept: str) -> None:
    response = client.get(URI, headers={"Accept": accept})
    assert (response.status_code, response.content) == (200, VALUE)
    assert response.headers["content-length"] == str(len(VALUE))
    assert response.headers["accept-ranges"] == "bytes"
    again = client.get(URI, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_head_tells_the_same_and_sends_nothing(client: httpx.Client) -> None:
    response = client.head(URI)
    assert (response.status_code, response.headers["content-length"], response.content) == (200, str(len(VALUE)), b"")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=2000-", 2000, 2048), ("bytes=-7", 2041, 2048),
     ("bytes=0-99999999999999999", 0, 2048), ("bytes=-9999", 0, 2048), ("BYTES=1-2", 1, 3)],
)  # fmt: skip
def test_a_range_comes_alone(client: httpx.Client, text: str, start: int, end: int) -> None:
    response = ranged(client, text)
    assert (response.status_code, response.content) == (206, VALUE[start:end])
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/2048"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("text", ["bytes=2048-", "bytes=9999999999-", "bytes=-0", "bytes=2048-2050", "bytes=5-2"])
def test_a_range_without_a_byte_is_refused(client: httpx.Client, text: str) -> None:
    response = ranged(client, text)
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */2048")


@pytest.mark.parametrize(
    "text",
    ["bytes=0-1,3-4", "bytes=" + ",".join(["0-"] * 2000), "bytes=a-b", "bytes=", "items=0-1", "bytes=-",
     "bytes=" + "9" * 5000 + "-", "bytes=1-2-3"],
)  # fmt: skip
def test_what_is_no_single_range_means_the_whole(client: httpx.Client, text: str) -> None:
    response = ranged(client, text)
    assert (response.status_code, response.content) == (200, VALUE)


def test_a_range_of_something_else_means_the_whole(client: httpx.Client) -> None:
    etag = client.get(URI).headers["etag"]
    assert ranged(client, "bytes=0-1", **{"If-Range": etag}).status_code == 206
    assert ranged(client, "bytes=0-1", **{"If-Range": '"other"'}).status_code == 200


def test_native_pixels_come_as_one_value_in_little_endian(client: httpx.Client) -> None:
    response = client.get(f"{BIG}/bulkdata/7FE00010")
    assert np.array_equal(np.frombuffer(response.content, "<i2").reshape(1, 12, 10), studies.values(3))
    part = client.get(f"{BIG}/bulkdata/7FE00010", headers={"Range": "bytes=3-10"})
    assert part.content == response.content[3:11]


def test_encapsulated_pixels_come_frame_by_frame(client: httpx.Client) -> None:
    ((plain_type, plain),) = parts(client.get(f"{RLE}/bulkdata/7FE00010"))
    assert plain == studies.values(1).tobytes()
    ((stored_type, _),) = parts(client.get(f"{RLE}/bulkdata/7FE00010", headers={"Accept": ANY}))
    assert (plain_type.rpartition("=")[2], stored_type.rpartition("=")[2]) == ("1.2.840.10008.1.2.1", RLELossless)


def test_all_bulk_data_of_an_instance_come_as_parts(client: httpx.Client) -> None:
    assert [content for _, content in parts(client.get(f"{SR}/bulkdata"))] == [VALUE]
    assert [content for _, content in parts(client.get(f"{CT}/bulkdata"))] == [studies.values(1).tobytes()]
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    assert [content for _, content in parts(client.get(f"{US}/bulkdata"))] == [clip.tobytes()]


def test_all_bulk_data_of_a_series_and_of_a_study_come_as_parts(client: httpx.Client) -> None:
    series = parts(client.get(f"{ROOT}/series/{uid(1, 1)}/bulkdata"))
    assert [content for _, content in series] == [studies.values(n).tobytes() for n in (1, 2, 3)]
    contents = [content for _, content in parts(client.get(f"{ROOT}/bulkdata", headers={"Accept": ANY}))]
    assert VALUE in contents
    assert b"not MPEG at all " in contents
    assert {studies.values(n).tobytes() for n in (1, 2, 3)} < set(contents)


def test_where_there_are_no_bulk_data_none_are_found(client: httpx.Client) -> None:
    assert client.get(f"{SR}/bulkdata/7FE00010").status_code == 404
    assert client.get(f"/dicom-web/studies/{uid(99)}/bulkdata").status_code == 404


def test_bulk_data_are_not_pictures(client: httpx.Client) -> None:
    for path in (URI, f"{CT}/bulkdata"):
        assert client.get(path, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(("path", "vr"), [(CT, "OW"), (BIG, "OW"), (RLE, "OB"), (US, "OB"), (DEFLATED, "OW")])
def test_metadata_refer_to_the_pixels_where_they_are(client: httpx.Client, path: str, vr: str) -> None:
    (metadata,) = client.get(f"{path}/metadata").json()
    assert metadata["7FE00010"] == {"vr": vr, "BulkDataURI": f"{path}/bulkdata/7FE00010"}
    assert list(metadata)[-1] == "7FE00010"
    response = client.get(metadata["7FE00010"]["BulkDataURI"])
    assert response.status_code == 200
    frames = [frame for _, frame in parts(client.get(f"{path}/frames/1"))]
    content = parts(response)[0][1] if path == RLE else response.content
    assert content.startswith(frames[0])


def test_metadata_of_what_has_no_pixels_refer_to_none(client: httpx.Client) -> None:
    (metadata,) = client.get(f"{SR}/metadata").json()
    assert not [tag for tag in metadata if tag.startswith("7FE0")]


def test_floating_point_pixels_are_referred_to_by_their_own_element(tmp_path: Path) -> None:
    ds = studies.base()
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.BitsAllocated = 12, 10, 32
    ds.FloatPixelData = np.linspace(0, 1, 120, dtype="<f4").tobytes()
    with open_site(tmp_path) as site, site.client() as client:
        site.put(studies.encode(ds))
        (metadata,) = client.get(f"{CT}/metadata").json()
        assert metadata["7FE00008"] == {"vr": "OF", "BulkDataURI": f"{CT}/bulkdata/7FE00008"}
        assert client.get(metadata["7FE00008"]["BulkDataURI"]).content == ds.FloatPixelData
        assert [content for _, content in parts(client.get(f"{CT}/bulkdata"))] == [ds.FloatPixelData]
