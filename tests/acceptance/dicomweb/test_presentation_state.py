"""A presentation state is asked for as a picture: its images, as it shows them."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.pacs_gateway.imaging.softcopy.states import image_header, image_reference, item, state
from tests.support import dicomweb
from tests.support.running_gateway import running_gateway
from tests.support.synthetic_ct import new_uid

_FRAMES = np.random.default_rng(11).integers(0, 4096, (3, 48, 64), "u2")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_gateway(tmp_path_factory.mktemp("states")) as gateway, gateway.client() as client:
        yield client


def _part10(dataset: Dataset) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _store(client: httpx.Client, *datasets: Dataset) -> str:
    """Store an image or state of one study; return the path of the last one."""
    answer = dicomweb.store(client, [_part10(dataset) for dataset in datasets])
    assert answer.status_code == httpx.codes.OK, answer.text
    last = datasets[-1]
    return f"/dicom-web/studies/{last.StudyInstanceUID}/series/{last.SeriesInstanceUID}/instances/{last.SOPInstanceUID}"


def _image(study: str) -> Dataset:
    image = image_header(48, 64, StudyInstanceUID=study, SeriesInstanceUID=new_uid(), SOPInstanceUID=new_uid())
    image.NumberOfFrames, image.PatientID, image.WindowCenter, image.WindowWidth = 3, "1", "1", "1"
    image.add_new("PixelData", "OW", _FRAMES.astype("<u2").tobytes())
    return image


def _state(study: str, *references: Dataset) -> Dataset:
    series = item(SeriesInstanceUID=new_uid(), ReferencedImageSequence=list(references))
    ids = {"StudyInstanceUID": study, "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    return state(**ids, ImageRotation=90, ImageHorizontalFlip="N", ReferencedSeriesSequence=[series])


def _shown(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(body)), float)


def _expected(index: int) -> np.ndarray:
    return np.asarray(np.rot90(_FRAMES[index], -1) / 4095 * 255)


def test_the_first_image_is_shown_as_the_state_says(client: httpx.Client) -> None:
    study = new_uid()
    image = _image(study)
    path = _store(client, image, _state(study, image_reference(image.SOPInstanceUID, 3)))
    answer = client.get(f"{path}/rendered", headers={"Accept": "image/png"})
    assert answer.status_code == httpx.codes.OK, answer.text
    np.testing.assert_allclose(_shown(answer.content), _expected(2), atol=0.51)
    again = client.get(f"{path}/rendered", headers={"Accept": "image/png", "If-None-Match": answer.headers["etag"]})
    assert again.status_code == httpx.codes.NOT_MODIFIED


def test_every_image_of_a_state_is_a_part(client: httpx.Client) -> None:
    study = new_uid()
    images = [_image(study), _image(study)]
    references = [image_reference(image.SOPInstanceUID) for image in images]
    path = _store(client, *images, _state(study, *references, image_reference("1.2.3.9")))
    answer = client.get(f"{path}/rendered", headers={"Accept": 'multipart/related; type="image/png"'})
    assert answer.status_code == httpx.codes.OK, answer.text
    bodies = dicomweb.parts(answer)
    assert len(bodies) == 2
    for body in bodies:
        np.testing.assert_allclose(_shown(body), _expected(1), atol=0.51)


def test_a_state_whose_images_are_elsewhere_is_not_shown(client: httpx.Client) -> None:
    path = _store(client, _state(new_uid(), image_reference("1.2.3.9")))
    assert client.get(f"{path}/rendered").status_code == httpx.codes.NOT_ACCEPTABLE
