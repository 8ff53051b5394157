"""Rendered resources and thumbnails over real sockets."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, RLE, ROOT, SR, US, VIDEO, parts
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
        (f"{CT}/rendered", "video/mp4", 406),
        (f"{CT}/rendered", 'multipart/related; type="application/dicom"', 406),
        (f"{ROOT}/rendered", "application/pdf", 406),
        (f"{VIDEO}/rendered", "*/*", 406),
        (f"{VIDEO}/rendered", "image/jpeg", 406),
        (f"{SR}/rendered", "image/jpeg", 406),
        (f"{US}/frames/1,2/rendered", "image/jpeg", 406),
        (f"{US}/frames/6/rendered", "*/*", 404),
        (f"{US}/frames/0/rendered", "*/*", 400),
        (f"{US}/frames/1,2/thumbnail", "*/*", 400),
        (f"{ROOT}/series/{uid(1, 6)}/rendered", "*/*", 404),
        (f"{ROOT}/series/{uid(1, 6)}/rendered", 'multipart/related; type="image/jpeg"', 406),
        (f"{ROOT}/series/{uid(1, 99)}/rendered", 'multipart/related; type="image/jpeg"', 404),
        (f"{PDF}/rendered", "image/jpeg", 406),
        (f"{ROOT}/series/{uid(1, 6)}/thumbnail", "*/*", 404),
        (f"{ROOT}/thumbnail", "application/pdf", 406),
        (f"{ROOT}/thumbnail?viewport=0,1", "*/*", 400),
    ],
)
def test_what_cannot_be_shown_is_said(client: httpx.Client, path: str, accept: str, status: int) -> None:
    response = client.get(path, headers={"Accept": accept})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


def test_who_takes_nothing_that_is_offered_is_told_what_is(client: httpx.Client) -> None:
    told = client.get(f"{CT}/rendered", headers={"Accept": "image/webp"}).json()["detail"]
    assert all(f"{form}" in told for form in ("image/jpeg", "image/png", "image/gif", 'type="image/jpeg"'))


def test_a_series_is_shown_by_its_middle_image(client: httpx.Client) -> None:
    middle = CT.removesuffix("1") + "2"
    shown = client.get(f"{middle}/rendered").content
    for path in (f"{ROOT}/series/{uid(1, 1)}", ROOT):
        assert client.get(f"{path}/rendered", headers={"Accept": "image/jpeg"}).content == shown


def test_every_image_of_a_study_comes_as_a_part_of_its_own(client: httpx.Client) -> None:
    accept = {"Accept": 'multipart/related; type="image/png"'}
    series = parts(client.get(f"{ROOT}/series/{uid(1, 1)}/rendered", headers=accept))
    alone = [client.get(f"{CT.removesuffix('1')}{n}/rendered", headers={"Accept": "image/png"}) for n in (1, 2, 3)]
    assert series == [("image/png", response.content) for response in alone]
    # What cannot be shown (a stream nobody decodes, a report, a document) has no part.
    assert len(parts(client.get(f"{ROOT}/rendered", headers=accept))) == 5


def test_parts_say_what_they_show(client: httpx.Client) -> None:
    response = client.get(f"{US}/frames/2,4/rendered", headers={"Accept": "multipart/related; type=image/jpeg"})
    assert response.headers["content-type"].startswith('multipart/related; type="image/jpeg"; boundary=')
    for number in (2, 4):
        assert f"content-location: {client.base_url}{US}/frames/{number}/rendered".encode() in response.content.lower()


def test_several_frames_come_as_parts_or_as_one_clip(client: httpx.Client) -> None:
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    found = parts(client.get(f"{US}/frames/4,2/rendered", headers={"Accept": 'multipart/related; type="image/png"'}))
    assert [np.asarray(Image.open(BytesIO(content))).tolist() for _, content in found] == clip[[3, 1]].tolist()
    assert len(parts(client.get(f"{US}/frames/4,2/rendered"))) == 2
    moving = picture(client.get(f"{US}/frames/1,3,5/rendered", headers={"Accept": "image/gif"}))
    assert getattr(moving, "n_frames", 1) == 3


def test_a_clip_moves_only_as_a_whole(client: httpx.Client) -> None:
    whole = picture(client.get(f"{US}/rendered?accept=image/gif"))
    assert (getattr(whole, "n_frames", 1), whole.size) == (5, (6, 8))
    assert getattr(picture(client.get(f"{US}/frames/2/rendered?accept=image/gif")), "n_frames", 1) == 1


def test_a_picture_is_asked_after_and_not_fetched_again(client: httpx.Client) -> None:
    first = client.get(f"{CT}/rendered?quality=50")
    again = {"If-None-Match": first.headers["etag"]}
    assert client.get(f"{CT}/rendered?quality=50", headers=again).status_code == 304
    assert client.get(f"{CT}/rendered?quality=51", headers=again).status_code == 200
    assert client.get(f"{CT}/rendered?quality=50&accept=image/png", headers=again).status_code == 200
    assert "Accept" in first.headers["vary"]
    head = client.head(f"{CT}/rendered?quality=50")
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "image/jpeg", b"")


def test_text_is_written_on_request_only(client: httpx.Client) -> None:
    asked = f"{CT}/rendered?accept=image/png&viewport=512,512"
    plain, patient, both = (
        np.asarray(picture(client.get(f"{asked}{more}")))
        for more in ("", "&annotation=patient", "&annotation=patient,technique")
    )
    changed = [(plain != other).mean() for other in (patient, both)]
    assert 0 < changed[0] < changed[1] < 0.2


def test_a_document_is_handed_out_as_what_it_is(client: httpx.Client) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = client.get(f"{PDF}/rendered", headers={"Accept": browser})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content.rstrip(b"\0") == studies.PDF
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
