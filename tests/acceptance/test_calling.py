"""The gateway calls others: echo, find, send and fetch, with Orthanc and with another gateway on the other side."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.dicomweb import data_sets
from tests.support.orthanc import Orthanc, orthanc
from tests.support.ports import free_port
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.synthetic_ct import Ct, CtSeries, data_set_of, encoded, make_ct
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0
_NAME = "Trần^Văn An"

orthanc_as_peer = pytest.mark.peer("orthanc")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def archive(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that the gateway knows."""
    with orthanc(tmp_path_factory.mktemp("orthanc"), gateway.dicom_port) as peer:
        gateway.must("device", "add", peer.ae_title, "127.0.0.1", str(peer.port), "--rights", "all")
        yield peer


def keep(peer: Orthanc, images: list[Ct]) -> None:
    for image in images:
        assert peer.http.post("/instances", content=image.content).status_code == httpx.codes.OK


@orthanc_as_peer
def test_echo_says_who_answered_whom(gateway: RunningGateway, archive: Orthanc) -> None:
    facts = gateway.facts("echo", archive.ae_title)

    assert (facts["peer"], facts["calling"]) == (archive.ae_title, "PACSGW")
    assert facts["milliseconds"] >= 0


@orthanc_as_peer
def test_find_shows_names_with_their_accents(gateway: RunningGateway, archive: Orthanc) -> None:
    ds = make_ct(16, name=_NAME, patient_id="SYN-CALLING")
    assert archive.http.post("/instances", content=encoded(ds)).status_code == httpx.codes.OK

    by_id = gateway.facts("find", archive.ae_title, "-k", "PatientID=SYN-CALLING")
    by_name = gateway.facts(
        "find", archive.ae_title, "--level", "series", "-k", f"StudyInstanceUID={ds.StudyInstanceUID}"
    )

    assert [match["PatientName"] for match in by_id] == [_NAME]
    assert [match["SeriesInstanceUID"] for match in by_name] == [ds.SeriesInstanceUID]
    assert _NAME in gateway.must("find", archive.ae_title, "-k", "PatientID=SYN-CALLING")
    assert "nothing found" in gateway.must("find", archive.ae_title, "-k", "PatientID=NOBODY")


@orthanc_as_peer
def test_a_study_sent_arrives_as_it_is_stored(gateway: RunningGateway, archive: Orthanc, tmp_path: Path) -> None:
    series = CtSeries(32)
    images = [series.image() for _ in range(5)]
    for number, image in enumerate(images):
        (tmp_path / f"{number}.dcm").write_bytes(image.content)
    gateway.must("import", str(tmp_path))

    assert gateway.facts("send", archive.ae_title, series.study_uid)["sent"] == len(images)

    held = archive.files()
    assert {uid: data_set_of(content) for uid, content in held.items() if uid in {i.sop_uid for i in images}} == {
        image.sop_uid: image.data_set for image in images
    }


@orthanc_as_peer
def test_a_peer_commits_to_what_it_was_sent(gateway: RunningGateway, archive: Orthanc, tmp_path: Path) -> None:
    series = CtSeries(32)
    (tmp_path / "0.dcm").write_bytes(series.image().content)
    gateway.must("import", str(tmp_path))

    facts = gateway.facts("send", archive.ae_title, series.study_uid, "--commit")

    assert (facts["sent"], facts["committed"], facts["not_committed"], facts["unanswered"]) == (1, 1, [], 0)


@orthanc_as_peer
def test_a_study_fetched_is_kept_as_it_came(gateway: RunningGateway, archive: Orthanc) -> None:
    series = CtSeries(32)
    images = [series.image() for _ in range(5)]
    keep(archive, images)

    assert gateway.facts("fetch", archive.ae_title, series.study_uid) == {"fetched": len(images), "failed": 0}

    with gateway.client() as client:
        assert sorted(data_sets(client, series.study_uid)) == sorted(image.data_set for image in images)


@orthanc_as_peer
def test_what_a_peer_does_not_have_is_said(gateway: RunningGateway, archive: Orthanc) -> None:
    fetched = gateway.cli("fetch", archive.ae_title, "1.2.3.4")
    sent = gateway.cli("send", archive.ae_title, "1.2.3.4")

    assert (fetched.returncode, fetched.stderr) == (1, "pacs-gateway: the peer has no such study\n")
    assert (sent.returncode, sent.stderr) == (1, "pacs-gateway: no study, series or instance 1.2.3.4 is kept here\n")


def test_a_peer_without_c_get_sends_by_c_move(gateway: RunningGateway, tmp_path: Path) -> None:
    series = CtSeries(32)
    images = [series.image() for _ in range(3)]
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        (tmp_path / "images" / f"{number}.dcm").write_bytes(image.content)
    settings = {"PACS_AE_TITLE": "OTHERGW", "PACS_UNKNOWN_DEVICES": "reject"}
    with running_gateway(tmp_path, settings) as other:
        rights = ("--rights", "echo,find,move", "--facility", "LOCAL")
        other.must("device", "add", "PACSGW", "127.0.0.1", str(gateway.dicom_port), *rights)
        other.must("import", str(tmp_path / "images"))
        gateway.must("device", "add", "OTHERGW", "127.0.0.1", str(other.dicom_port), "--rights", "all")

        fetched = gateway.facts("fetch", "OTHERGW", series.study_uid)

    assert fetched == {"fetched": len(images), "failed": 0}
    with gateway.client() as client:
        expected = sorted(image.data_set for image in images)
        wait_until(lambda: sorted(data_sets(client, series.study_uid)) == expected, _DEADLINE_S, "the study")


def test_a_peer_that_is_not_there_is_one_clear_line(gateway: RunningGateway) -> None:
    port = str(free_port())
    gateway.must("device", "add", "AWAY", "127.0.0.1", port)

    unknown, away = gateway.cli("echo", "NOBODY"), gateway.cli("fetch", "AWAY", "1.2.3")

    said = "no device NOBODY with HOST and PORT is registered: see `pacs-gateway device list`"
    assert (unknown.returncode, unknown.stderr) == (1, f"pacs-gateway: {said}\n")
    said = f"127.0.0.1 port {port} cannot be reached: Connection refused"
    assert (away.returncode, away.stderr) == (1, f"pacs-gateway: {said}\n")


def test_a_key_that_is_no_keyword_is_wrong_usage(gateway: RunningGateway) -> None:
    answered = gateway.cli("find", "NOBODY", "-k", "Patient=X")

    assert answered.returncode == 2
    assert "no DICOM keyword" in answered.stderr
