"""However often and by whichever way an object comes, it is one; two contents under one UID are both kept."""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from tests.support import dicomweb
from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import Ct, CtSeries, data_set_of, encoded, make_ct
from tests.support.waiting import wait_until

SUCCESS = StoreAnswer(0)
_DEADLINE_S = 60.0
_N_SENDERS = 64


def store(gateway: RunningGateway, images: Sequence[Ct], *, calling: str = "CT1") -> set[StoreAnswer]:
    """Send images over one association; return the different answers."""
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, calling=calling) as sender:
        return {sender.store(image.sop_uid, image.data_set) for image in images}


def counts(client: httpx.Client, study_uid: str) -> tuple[int, int, int]:
    """Return how many studies there are under a UID, and its numbers of series and instances."""
    studies = dicomweb.search(client, "/studies", StudyInstanceUID=study_uid)
    if len(studies) != 1:
        return len(studies), 0, 0
    return 1, dicomweb.value(studies[0], "00201206"), dicomweb.value(studies[0], "00201208")


def objects(gateway: RunningGateway, digest: str) -> list[str]:
    """Return every file that holds these bytes, in the store or in the spool."""
    return [path.name for path in (*gateway.objects(), *gateway.spooled()) if digest in path.name]


def n_encodings(gateway: RunningGateway, files: Iterable[bytes]) -> int:
    """Return how many of these files' data sets are in the store: shipped, and so indexed."""
    digests = {hashlib.sha256(data_set_of(file)).hexdigest() for file in files}
    return sum(1 for path in gateway.objects() if path.stem in digests)


@pytest.mark.parametrize("n_times", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_one_instance_sent_many_times_is_one_row_and_one_object(
    gateway: RunningGateway, client: httpx.Client, tmp_path: Path, n_times: int
) -> None:
    image = CtSeries().image()
    folder = tmp_path / "copies"
    folder.mkdir()
    for number in range(n_times // 10):
        (folder / f"{number}.dcm").write_bytes(image.content)
    n_by_stow = n_times // 10

    with ThreadPoolExecutor(10) as pool:
        stores = [pool.submit(store, gateway, [image] * (n_times // 10), calling=f"CT{n}") for n in range(8)]
        stow = pool.submit(dicomweb.store, client, [image.content] * n_by_stow)
        imported = pool.submit(gateway.facts, "import", str(folder))
        answers = {answer for future in stores for answer in future.result()}

    assert answers == {SUCCESS}
    assert stow.result().status_code == httpx.codes.OK
    assert imported.result()["bad"] == []
    wait_until(lambda: counts(client, image.study_uid) == (1, 1, 1), _DEADLINE_S, "one row")
    assert dicomweb.instance_uids(client, image.study_uid) == [image.sop_uid]
    wait_until(lambda: len(objects(gateway, image.digest)) == 1, _DEADLINE_S, "one object")
    assert image.sop_uid not in {one["sop_instance_uid"] for one in gateway.facts("conflicts", "list")}


def test_implicit_explicit_and_rle_of_one_image_are_no_conflict(gateway: RunningGateway, client: httpx.Client) -> None:
    ds = make_ct(64)
    files = {ExplicitVRLittleEndian: encoded(ds)}
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    files[ImplicitVRLittleEndian] = encoded(ds)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(RLELossless, generate_instance_uid=False)
    files[RLELossless] = encoded(ds)

    for syntax, file in files.items():
        with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=syntax) as sender:
            assert sender.store(ds.SOPInstanceUID, data_set_of(file)) == SUCCESS

    def is_disputed() -> bool:
        return ds.SOPInstanceUID in {version["sop_instance_uid"] for version in disputed(gateway)}

    # What is indexed and not yet compared is listed as pending; what is in the store is indexed.
    wait_until(lambda: n_encodings(gateway, files.values()) == len(files), _DEADLINE_S, "all to be kept")
    wait_until(lambda: not is_disputed(), _DEADLINE_S, "the comparison")
    assert counts(client, ds.StudyInstanceUID) == (1, 1, 1)
    (kept,) = dicomweb.data_sets(client, ds.StudyInstanceUID)
    assert kept == data_set_of(files[ExplicitVRLittleEndian])


def test_sixty_four_senders_that_open_a_study_at_once_make_one_row_each(
    gateway: RunningGateway, client: httpx.Client
) -> None:
    series = CtSeries()
    images = [series.image() for _ in range(_N_SENDERS)]
    together = threading.Barrier(_N_SENDERS)

    def send(number: int) -> StoreAnswer:
        image, calling = images[number], f"CT{number}"
        with RawSender(
            gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, calling=calling
        ) as sender:
            together.wait(_DEADLINE_S)
            return sender.store(image.sop_uid, image.data_set)

    with ThreadPoolExecutor(_N_SENDERS) as pool:
        answers = set(pool.map(send, range(_N_SENDERS)))

    assert answers == {SUCCESS}
    wait_until(lambda: counts(client, series.study_uid) == (1, 1, _N_SENDERS), _DEADLINE_S, "all to be indexed")
    (found,) = dicomweb.search(client, f"/studies/{series.study_uid}/series")
    assert dicomweb.value(found, "0020000E") == series.series_uid
    assert dicomweb.value(found, "00201209") == _N_SENDERS
    assert sorted(dicomweb.instance_uids(client, series.study_uid)) == sorted(image.sop_uid for image in images)


def test_two_contents_under_one_uid_are_both_kept_and_the_same_source_decides(tmp_path: Path) -> None:
    series = CtSeries()
    first = series.image()
    corrected, foreign = series.image(first.sop_uid), series.image(first.sop_uid)
    with running_gateway(tmp_path / "gateway", {"PACS_AUTH": "off"}) as gateway:
        assert store(gateway, [first, corrected], calling="CT1") == {SUCCESS}
        wait_until(lambda: current(gateway, first.study_uid) == corrected.digest, _DEADLINE_S, "the correction")
        assert store(gateway, [foreign], calling="CT2") == {SUCCESS}
        wait_until(lambda: len(disputed(gateway)) == 2, _DEADLINE_S, "both to be listed")

        assert current(gateway, first.study_uid) == corrected.digest
        with gateway.client() as client:
            assert counts(client, first.study_uid) == (1, 1, 1)
        saved = {}
        for version in gateway.facts("conflicts", "show", str(disputed(gateway)[0]["id"])):
            path = tmp_path / f"{version['id']}.dcm"
            assert gateway.cli("conflicts", "show", str(version["id"]), "--save", str(path)).returncode == 0
            saved[version["digest"]] = data_set_of(path.read_bytes())
        assert saved == {image.digest: image.data_set for image in (first, corrected, foreign)}


@pytest.mark.parametrize(("policy", "n_current"), [("first", 0), ("last", 1)])
def test_a_policy_by_time_decides_whoever_sends(tmp_path: Path, policy: str, n_current: int) -> None:
    series = CtSeries()
    images = [series.image()]
    images.append(series.image(images[0].sop_uid))
    settings = {"PACS_AUTH": "off", "PACS_CONFLICT_POLICY": policy}
    with running_gateway(tmp_path / "gateway", settings) as gateway:
        for image, device in zip(images, ("CT1", "CT2"), strict=True):
            assert store(gateway, [image], calling=device) == {SUCCESS}
            wait_until(lambda: len(gateway.spooled()) == 0, _DEADLINE_S, "the object store")
        wait_until(lambda: [v["state"] for v in disputed(gateway)] == ["conflict"], _DEADLINE_S, "the decision")

        assert current(gateway, series.study_uid) == images[n_current].digest
        assert disputed(gateway)[0]["digest"] == images[1 - n_current].digest


def current(gateway: RunningGateway, study_uid: str) -> str:
    """Return the digest of what a study's one instance is now; empty before it is indexed."""
    with gateway.client() as client:
        if counts(client, study_uid)[0] == 0:
            return ""
        (data_set,) = dicomweb.data_sets(client, study_uid)
    return hashlib.sha256(data_set).hexdigest()


def disputed(gateway: RunningGateway) -> list[dict[str, Any]]:
    """Return what ``conflicts list`` tells."""
    versions: list[dict[str, Any]] = gateway.facts("conflicts", "list")
    return versions
