"""An image that is made to break its decoder is refused, and the service goes on (promises B9)."""

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import httpx
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.support import dicomweb
from tests.support.builders import encode, uid
from tests.support.clients import stock
from tests.support.hostile_images import JPEG, Hostile, bombs, sound, spoilt, streams
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import Child, RunningGateway, running_gateway
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("hostile-images")

_SYNTAXES = tuple(streams())
_N_SPOILT = 12
_SOUND = 900
_SUCCESS = 0x0000
_INDEXED_DEADLINE_S = 60.0
_WHOLE = 200
_REFUSED = frozenset({404, 406, 422})
"""No picture, not in this form, not an image that can be worked on."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("hostile")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        assert dicomweb.store(client, [sound(JPEG, _SOUND).file]).status_code == _WHOLE
        yield client


@pytest.fixture
def processes(gateway: RunningGateway, client: httpx.Client) -> Iterator[list[Child]]:
    """Run a test, after which the same processes serve as before it."""
    before = gateway.children()
    yield before
    assert gateway.children() == before
    assert rendered(client, _SOUND, sound(JPEG, _SOUND)).headers["content-type"] == "image/jpeg"
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def path(study: int, image: Hostile) -> str:
    return f"/dicom-web/studies/{uid(study)}/series/{uid(study, 1)}/instances/{image.sop_uid}"


def rendered(client: httpx.Client, study: int, image: Hostile) -> httpx.Response:
    return client.get(f"{path(study, image)}/rendered", headers={"Accept": "image/jpeg"})


def broken(client: httpx.Client, study: int, images: Sequence[Hostile], resources: Sequence[str]) -> list[str]:
    """Ask for resources of images; return what is neither given nor refused in order."""
    found = []
    for image in images:
        for resource in resources:
            status = client.get(path(study, image) + resource, headers={"Accept": "*/*"}).status_code
            if status != _WHOLE and status not in _REFUSED:
                found.append(f"{image.name} {resource}: {status}")
    return found


def holds(client: httpx.Client, study: int, n_images: int) -> bool:
    return len(dicomweb.instance_uids(client, uid(study))) == n_images


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(("study", "syntax"), list(enumerate(_SYNTAXES, start=1)), ids=_SYNTAXES)
def test_spoilt_code_streams_are_refused(client: httpx.Client, study: int, syntax: str) -> None:
    images = spoilt(syntax, study, _N_SPOILT)
    assert dicomweb.store(client, [image.file for image in images]).status_code == _WHOLE
    assert broken(client, study, images, ("/rendered", "/thumbnail", "/frames/1", "")) == []


@pytest.mark.usefixtures("processes")
def test_they_are_refused_to_devices_too(gateway: RunningGateway, client: httpx.Client) -> None:
    for study, syntax in enumerate(_SYNTAXES, start=100):
        images = [*spoilt(syntax, study, _N_SPOILT), sound(syntax, study)]
        with RawSender(gateway.dicom_port, sop_class_uid=CTImageStorage, transfer_syntax_uid=syntax) as sender:
            for image in images:
                assert sender.store(image.sop_uid, encode(image.dataset)).status == _SUCCESS
        wait_until(partial(holds, client, study, len(images)), _INDEXED_DEADLINE_S, "the images to be found")
        wanted = {"StudyInstanceUID": uid(study)}
        answer, inbox = stock.get(gateway.dicom_port, wanted, CTImageStorage, [ExplicitVRLittleEndian])
        assert answer.completed + answer.failed == len(images)
        assert set(inbox.objects) | set(inbox.failed_uids) == {image.sop_uid for image in images}
        assert images[-1].sop_uid in inbox.objects
    assert rendered(client, 100, sound(_SYNTAXES[0], 100)).status_code == _WHOLE


@pytest.mark.usefixtures("processes")
def test_bombs_are_refused_or_shown_and_disturb_nobody(client: httpx.Client) -> None:
    study = 500
    *images, endless = bombs(study)
    files = [image.file for image in (*images, endless)]
    assert max(map(len, files)) < 1 << 20
    assert dicomweb.store(client, files).status_code == _WHOLE

    wrong: list[str] = []

    def ask() -> None:
        wrong.extend(broken(client, study, images, ("/rendered",)))
        if (answer := rendered(client, study, endless)).status_code != httpx.codes.UNPROCESSABLE_ENTITY:
            wrong.append(f"endless: {answer.status_code}")

    asking = threading.Thread(target=ask)
    asking.start()
    others = []
    while asking.is_alive():
        others.append(rendered(client, _SOUND, sound(JPEG, _SOUND)).status_code)
    asking.join()

    assert wrong == []
    assert set(others) == {_WHOLE}
