"""Rendered resources and thumbnails over real sockets."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, RLE, ROOT, SR, US, VIDEO
from tests.viewer_api.studies import uid

PDF = f"{ROOT}/series/{uid(1, 5)}/instances/{uid(1, 5, 1)}"


def picture(response: httpx.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    image = Image.open(BytesIO(response.content))
    assert response.headers["content-type"] == f"image/{str(image.format).lower()}"
    return image


@pytest.mark.parametrize("accept", ["*/*", "image/jpeg", "image/*", "text/html,image/webp,*/*;q=0.8"])
def test_an_image_is_a_jpeg_unless_asked_otherwise(client: httpx.Client, accept: str) -> None:
    assert picture(client.get(f"{CT}/rendered", headers={"Accept": accept})).format == "JPEG"


def test_a_png_shows_the_windowed_values(client: httpx.Client) -> None:
    shown = np.asarray(picture(client.get(f"{CT}/rendered?window=500,1000,linear-exact&accept=image/png")))
    expected = np.clip(studies.values(1)[0].astype(float) / 1000, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 1


def test_compressed_and_colour_images_are_shown(client: httpx.Client) -> None:
    assert picture(client.get(f"{RLE}/rendered")).size == (10, 12)
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    for path, frame in ((f"{US}/frames/4/rendered", clip[3]), (f"{US}/rendered", clip[2])):
        assert np.array_equal(np.asarray(picture(client.get(f"{path}?accept=image/png"))), frame)


@pytest.mark.parametrize(
    ("viewport", "size"),
    [("256,256", (213, 256)), ("5,100", (5, 6)), ("10,12,2,3,4,5", (10, 12)), ("10,12,,,-10,12", (10, 12))],
)
def test_a_picture_fits_its_viewport(client: httpx.Client, viewport: str, size: tuple[int, int]) -> None:
    assert picture(client.get(f"{CT}/rendered", params={"viewport": viewport})).size == size


def test_a_negative_source_size_flips(client: httpx.Client) -> None:
    asked = f"{CT}/rendered?accept=image/png&viewport=10,12,0,0"
    plain, flipped = (np.asarray(picture(client.get(f"{asked},{side}"))) for side in ("10,12", "-10,12"))
    assert np.array_equal(plain[:, ::-1], flipped)


@pytest.mark.parametrize(
    "query",
    [
        "viewport=0,5", "viewport=1", "viewport=1,2,3", "viewport=99999,5", "viewport=a,b", "viewport=5,5,99,0,1,1",
        "viewport=nan,5", "window=1", "window=1,2,linear,3", "viewport=10000,10000", "annotation=all",
        "iccprofile=maybe", "window=1,2,cubic", "window=1,0,linear", "window=inf,1,linear",
        "window=1e400,1,linear", "quality=0", "quality=101", "quality=x",
    ],
)  # fmt: skip
def test_views_that_cannot_be_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"{CT}/rendered?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (f"{ROOT}/rendered", "*/*", 501),
        (f"{CT}/rendered", "image/gif", 406),
        (f"{CT}/rendered", "video/mp4", 406),
        (f"{SR}/rendered", "*/*", 406),
        (f"{VIDEO}/rendered", "*/*", 406),
        (f"{US}/frames/1,2/rendered", "*/*", 501),
        (f"{US}/frames/6/rendered", "*/*", 404),
        (f"{ROOT}/series/{uid(1, 6)}/rendered", "*/*", 404),
        (f"{PDF}/rendered", "image/jpeg", 406),
        (f"{ROOT}/series/{uid(1, 6)}/thumbnail", "*/*", 404),
        (f"{ROOT}/thumbnail", "image/png", 406),
    ],
)
def test_what_cannot_be_shown_is_said(client: httpx.Client, path: str, accept: str, status: int) -> None:
    assert client.get(path, headers={"Accept": accept}).status_code == status


def test_a_series_is_shown_by_its_middle_image(client: httpx.Client) -> None:
    middle = CT.removesuffix("1") + "2"
    series = f"{ROOT}/series/{uid(1, 1)}/rendered"
    assert client.get(series).content == client.get(f"{middle}/rendered").content


def test_a_document_is_handed_out_as_what_it_is(client: httpx.Client) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = client.get(f"{PDF}/rendered", headers={"Accept": browser})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content.rstrip(b"\0") == studies.PDF
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/series/{uid(1, 1)}", CT, f"{US}/frames/2"])
def test_thumbnails_are_small_and_fetched_once(client: httpx.Client, path: str) -> None:
    response = client.get(f"{path}/thumbnail")
    assert max(picture(response).size) <= 256
    again = client.get(f"{path}/thumbnail", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    assert response.headers["cache-control"] == "private, no-cache"
