"""Thumbnails over real sockets."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine, event

from pacs_gateway.archive.stored import Holdings
from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, ROOT, US
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid

SERIES_KEY = 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with one large image."""
    with open_site(tmp_path_factory.mktemp("large")) as opened:
        ds = studies.pixels(studies.base(), np.arange(600 * 400, dtype="<u2").reshape(1, 600, 400))
        opened.put(studies.encode(ds))
        yield opened


@pytest.fixture
def looks() -> Iterator[list[str]]:
    """What is asked of the database."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


def picture(response: httpx.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    image = Image.open(BytesIO(response.content))
    assert response.headers["content-type"] == f"image/{str(image.format).lower()}"
    return image


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/series/{uid(1, 1)}", CT, f"{US}/frames/2"])
def test_thumbnails_are_small_and_fetched_once(client: httpx.Client, path: str) -> None:
    response = client.get(f"{path}/thumbnail")
    assert max(picture(response).size) <= 256
    again = client.get(f"{path}/thumbnail", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/series/{uid(1, 1)}", CT, f"{US}/frames/2"])
@pytest.mark.parametrize("media_type", ["image/png", "image/gif", "image/jpeg"])
def test_thumbnails_come_as_each_kind_of_picture(client: httpx.Client, path: str, media_type: str) -> None:
    assert picture(client.get(f"{path}/thumbnail", headers={"Accept": media_type})).format == media_type[6:].upper()


def test_a_thumbnail_fits_the_viewport_and_is_never_enlarged(large: Site) -> None:
    study = f"/dicom-web/studies/{uid(1)}"
    for path in (study, f"{study}/series/{uid(1, 1)}", f"{study}/series/{uid(1, 1)}/instances/{uid(1, 1, 1)}"):
        with large.client() as client:
            sizes = {
                viewport: picture(client.get(f"{path}/thumbnail", params={"viewport": viewport})).size
                for viewport in ("64,64", "256,256", "300,450", "2000,2000")
            }
        assert sizes == {"64,64": (43, 64), "256,256": (171, 256), "300,450": (300, 450), "2000,2000": (400, 600)}


def test_a_thumbnail_that_is_kept_takes_one_look_and_opens_no_object(
    large: Site, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    large.gateway.archive.derive.run(SERIES_KEY)
    monkeypatch.setattr(Holdings, "open", lambda *_: pytest.fail("an object was opened"))
    study = f"/dicom-web/studies/{uid(1)}"
    with large.client() as client:
        for path in (study, f"{study}/series/{uid(1, 1)}"):
            for viewport in ("", "?viewport=100,100", "?accept=image/png"):
                looks.clear()
                assert picture(client.get(f"{path}/thumbnail{viewport}")).height == (100 if "100" in viewport else 256)
                assert len([look for look in looks if "FROM series" in look]) == 1
