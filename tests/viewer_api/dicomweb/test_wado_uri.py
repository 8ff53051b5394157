"""WADO-URI over real sockets."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.viewer_api import studies
from tests.viewer_api.site import Site
from tests.viewer_api.studies import uid


def of(series: int = 1, instance: int = 1, study: int = 1, **more: object) -> dict[str, str]:
    """Return the parameters that ask for an object."""
    asked = {
        "requestType": "WADO",
        "studyUID": uid(study),
        "seriesUID": uid(study, series),
        "objectUID": uid(study, series, instance),
    }
    return asked | {name: str(value) for name, value in more.items()}


def picture(client: httpx.Client, **parameters: object) -> np.ndarray:
    response = client.get("/wado", params=of(**{"contentType": "image/png", **parameters}))  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(BytesIO(response.content)))


@pytest.mark.parametrize(
    ("parameters", "media_type"),
    [
        (of(), "image/jpeg"),
        (of(contentType="image/png"), "image/png"),
        (of(contentType="image/gif,image/png"), "image/gif"),
        (of(contentType="image/webp, image/png"), "image/png"),
        (of(contentType="image/*;q=0.5,application/dicom"), "application/dicom"),
        (of(series=3), "application/dicom"),
        (of(series=3, contentType="image/jpeg"), "image/jpeg"),
        (of(series=4), "application/dicom"),
        (of(series=5), "application/pdf"),
        (of(series=6), "text/html"),
        (of(series=6, contentType="text/plain"), "text/plain"),
        (of(series=6, contentType="application/dicom"), "application/dicom"),
    ],
)
def test_an_object_comes_as_what_is_asked_for(
    client: httpx.Client, parameters: dict[str, str], media_type: str
) -> None:
    response = client.get("/wado", params=parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize(
    ("more", "syntax"),
    [
        ({}, "1.2.840.10008.1.2.1"),
        ({"series": 2}, "1.2.840.10008.1.2.1"),
        ({"series": 2, "transferSyntax": "1.2.840.10008.1.2.5"}, "1.2.840.10008.1.2.5"),
        # What nobody here decodes leaves as it came.
        ({"series": 4}, "1.2.840.10008.1.2.4.100"),
    ],
)
def test_a_part_10_file_is_in_the_syntax_that_is_meant(client: httpx.Client, more: dict[str, int], syntax: str) -> None:
    response = client.get("/wado", params=of(contentType="application/dicom", **more))
    ds = dcmread(BytesIO(response.content))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.SOPInstanceUID == of(**more)["objectUID"]
    assert response.headers["content-disposition"] == "attachment"


def test_a_picture_is_windowed_cut_and_scaled(client: httpx.Client) -> None:
    shown = picture(client, windowCenter=500, windowWidth=1001)
    expected = np.clip((studies.values(1)[0].astype(float) - 499.5) / 1000 + 0.5, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 1
    part = picture(client, windowCenter=500, windowWidth=1001, region="0.2,0.25,0.7,0.75")
    assert np.array_equal(part, shown[3:9, 2:7])
    assert picture(client, rows=24).shape == (24, 20)
    assert picture(client, columns=5).shape == (6, 5)
    assert picture(client, rows=6, columns=100).shape == (6, 5)


def test_a_frame_is_asked_for_by_its_number(client: httpx.Client) -> None:
    clip = studies.values(1, (5, 8, 6, 3), "u1")
    assert np.array_equal(picture(client, series=3, frameNumber=4), clip[3])
    moving = client.get("/wado", params=of(series=3, contentType="image/gif"))
    assert getattr(Image.open(BytesIO(moving.content)), "n_frames", 1) == 5


def test_quality_and_text_are_as_asked_for(client: httpx.Client) -> None:
    sizes = [len(client.get("/wado", params=of(rows=300, imageQuality=q)).content) for q in (10, 95)]
    assert sizes[0] < sizes[1]
    plain, written = (picture(client, rows=300, **more) for more in ({}, {"imageAnnotation": "patient,technique"}))
    assert 0 < (plain != written).mean() < 0.3


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({}, 400),
        (of() | {"requestType": "wado"}, 400),
        ({name: value for name, value in of().items() if name != "seriesUID"}, 400),
        (of() | {"objectUID": "../../etc/passwd"}, 400),
        (of() | {"objectUID": "1." * 40 + "1"}, 400),
        (of(instance=99), 404),
        # An object is found under its own series and study only.
        (of() | {"seriesUID": uid(1, 2)}, 404),
        (of() | {"studyUID": uid(2)}, 404),
        (of(anonymize="yes"), 406),
        (of(contentType="image/webp"), 406),
        (of(contentType="video/mp4"), 406),
        (of(series=6, contentType="image/jpeg"), 406),
        (of(series=5, contentType="text/html"), 406),
        (of(contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.50"), 406),
        (of(contentType="application/dicom", transferSyntax="x"), 400),
        (of(contentType="image/jpeg", transferSyntax="1.2.840.10008.1.2.1"), 400),
        (of(series=3, contentType="image/jpeg", frameNumber=6), 404),
        (of(frameNumber=0), 400),
        (of(frameNumber="1e3"), 400),
        (of(rows=0), 400),
        (of(rows=20000), 400),
        (of(rows=16000, columns=16000), 400),
        (of(columns="9" * 40), 400),
        (of(region="0,0,1"), 400),
        (of(region="0,0,1,1.1"), 400),
        (of(region="0.5,0,0.5,1"), 400),
        (of(region="nan,0,1,1"), 400),
        (of(windowCenter=40), 400),
        (of(windowCenter=40, windowWidth=0), 400),
        (of(windowCenter="inf", windowWidth=1), 400),
        (of(imageQuality=0), 400),
        (of(imageAnnotation="everything"), 400),
    ],
)
def test_what_cannot_be_done_is_said(client: httpx.Client, parameters: dict[str, str], status: int) -> None:
    response = client.get("/wado", params=parameters)
    assert response.status_code == status
    assert response.json()["detail"]


def test_anonymize_no_is_no_wish(client: httpx.Client) -> None:
    assert client.get("/wado", params=of(anonymize="no")).status_code == 200


def test_an_object_is_for_those_who_may_see_its_study(site: Site) -> None:
    for account, parameters, status in (
        ("reader", of(), 200),
        ("stranger", of(), 404),
        ("", of(), 401),
        ("reader", of(study=3), 404),
        ("stranger", of(study=3), 200),
    ):
        with site.client(account) as client:
            assert client.get("/wado", params=parameters).status_code == status
