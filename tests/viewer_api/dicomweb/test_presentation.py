"""Presentation states over real sockets: what they name, shown as they have it."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from tests.pacs_gateway.imaging.softcopy.states import item, state
from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import parts
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid

ROOT = f"/dicom-web/studies/{uid(1)}"
GREY = np.arange(12 * 10, dtype="<i2").reshape(1, 12, 10) * 2
CLIP = np.stack([np.full((12, 10), level, "<i2") for level in (0, 60, 120, 180)])
PNG = {"Accept": "image/png"}
PNGS = {"Accept": 'multipart/related; type="image/png"'}
BLACK_BELOW_100 = [item(WindowCenter="100", WindowWidth="1")]


def path_of(series: int, instance: int = 1) -> str:
    return f"{ROOT}/series/{uid(1, series)}/instances/{uid(1, series, instance)}"


def picture(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(BytesIO(response.content)))


def naming(instance: int, *images: tuple[int, int, tuple[int, ...]], **changes: object) -> bytes:
    """Return a state, the `instance` of series 9, about images (series, instance, frames)."""
    named = []
    for series, number, frames in images:
        image = item(ReferencedSOPClassUID=uid(5), ReferencedSOPInstanceUID=uid(1, series, number))
        if frames:
            image.ReferencedFrameNumber = list(frames)
        named.append(item(SeriesInstanceUID=uid(1, series), ReferencedImageSequence=[image]))
    ds = state(12, 10, ReferencedSeriesSequence=named, SoftcopyVOILUTSequence=BLACK_BELOW_100, **changes)
    identity: Dataset = studies.base(1, 9, instance)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber", "InstanceNumber"):
        setattr(ds, keyword, identity[keyword].value)
    return studies.encode(ds)


@pytest.fixture(scope="module")
def presented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with an image, a clip, and states about them."""
    with open_site(tmp_path_factory.mktemp("presented")) as opened:
        opened.put(studies.encode(studies.pixels(studies.base(1, 1, 1), GREY)))
        opened.put(studies.encode(studies.pixels(studies.base(1, 2, 1), CLIP)))
        opened.put(naming(1, (1, 1, ())), naming(2, (1, 99, ()), (1, 1, ()), (2, 1, (2, 4))))
        opened.put(naming(3, (1, 99, ())), naming(4, (2, 1, (4, 77))))
        yield opened


@pytest.fixture
def client(presented: Site) -> Iterator[httpx.Client]:
    with presented.client() as opened:
        yield opened


def test_a_state_shows_its_image(client: httpx.Client) -> None:
    assert np.array_equal(picture(client.get(f"{path_of(9, 1)}/rendered", headers=PNG)), (GREY[0] >= 100) * 255)


def test_a_state_shows_the_frame_it_names(client: httpx.Client) -> None:
    assert (picture(client.get(f"{path_of(9, 4)}/rendered", headers=PNG)) == 255).all()


def test_each_image_of_a_state_is_a_part(client: httpx.Client) -> None:
    found = parts(client.get(f"{path_of(9, 2)}/rendered", headers=PNGS))
    shown = [np.asarray(Image.open(BytesIO(content))) for _, content in found]
    assert len(shown) == 2
    assert np.array_equal(shown[0], (GREY[0] >= 100) * 255)
    assert (shown[1] == 0).all()


@pytest.mark.parametrize("accept", [PNG, PNGS])
def test_a_state_whose_images_are_not_here_shows_nothing(client: httpx.Client, accept: dict[str, str]) -> None:
    response = client.get(f"{path_of(9, 3)}/rendered", headers=accept)
    assert response.status_code == 406
    assert response.json()["detail"]


def test_states_are_no_images_of_their_study(client: httpx.Client) -> None:
    assert len(parts(client.get(f"{ROOT}/rendered", headers=PNGS))) == 2
    assert client.get(f"{ROOT}/series/{uid(1, 9)}/rendered").status_code == 404


def of(**more: str) -> dict[str, str]:
    asked = {"requestType": "WADO", "studyUID": uid(1), "seriesUID": uid(1, 1), "objectUID": uid(1, 1, 1)}
    return asked | {"contentType": "image/png"} | more


def test_an_image_is_shown_by_the_state_that_is_asked_for(client: httpx.Client) -> None:
    by_state = of(presentationSeriesUID=uid(1, 9), presentationUID=uid(1, 9, 1))
    assert np.array_equal(picture(client.get("/wado", params=by_state)), (GREY[0] >= 100) * 255)
    assert not np.array_equal(picture(client.get("/wado", params=of())), (GREY[0] >= 100) * 255)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"presentationUID": uid(1, 9, 1)}, 400),
        ({"presentationSeriesUID": uid(1, 9)}, 400),
        ({"presentationSeriesUID": uid(1, 9), "presentationUID": uid(1, 9, 99)}, 404),
        ({"presentationSeriesUID": uid(1, 1), "presentationUID": uid(1, 9, 1)}, 404),
        ({"presentationSeriesUID": uid(1, 2), "presentationUID": uid(1, 2, 1)}, 400),
        ({"presentationSeriesUID": uid(1, 9), "presentationUID": uid(1, 9, 4)}, 400),
        ({"presentationSeriesUID": uid(1, 9), "presentationUID": uid(1, 9, 1), "windowCenter": "1"}, 400),
        ({"presentationSeriesUID": "x", "presentationUID": uid(1, 9, 1)}, 400),
    ],
)
def test_a_state_that_does_not_fit_is_refused(client: httpx.Client, more: dict[str, str], status: int) -> None:
    assert client.get("/wado", params=of(**more)).status_code == status
