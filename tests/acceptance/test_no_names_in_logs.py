"""Whatever happens, no patient's name, number or date of birth leaves by a log, an error or a metric."""

from pathlib import Path

import httpx

from tests.support import dicomweb
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import data_set_of, encoded, make_ct
from tests.support.waiting import wait_until

_NAME, _PATIENT_ID, _BIRTH = "Zyxwvut^Qponmlk", "CANARY-84721", "19331122"
_CANARIES = ("zyxwvut", "qponmlk", "canary-84721", "19331122")
_DEADLINE_S = 60.0


def test_canary_names_stay_out_of_logs_and_metrics(tmp_path: Path) -> None:
    with running_gateway(tmp_path / "gateway", {"PACS_LOG_LEVEL": "debug"}) as gateway, gateway.client() as client:
        uid, said_by_commands = store_in_every_way(gateway, client, tmp_path)
        wait_until(lambda: client.get(f"/dicom-web/studies/{uid}/thumbnail").is_success, _DEADLINE_S, "the thumbnail")
        answers = [client.get(path) for path in paths(uid)]
        metrics = client.get("/metrics")
        gateway.kill_child("shipper")
        gateway.stop()

        assert metrics.is_success
        assert any(answer.is_error for answer in answers)
        assert any(_PATIENT_ID in answer.text for answer in answers), "the canary was to be found by those who may"
        said = {"log": gateway.log.read_text(encoding="utf-8"), "metrics": metrics.text, "commands": said_by_commands}
        assert len(said["log"]) > 1000
        for where, text in said.items():
            assert [canary for canary in _CANARIES if canary in text.lower()] == [], where


def store_in_every_way(gateway: RunningGateway, client: httpx.Client, folder: Path) -> tuple[str, str]:
    """Store an image, another under its UID, and broken ones; return the study's UID, and what commands say."""
    ds = make_ct(64, name=_NAME, patient_id=_PATIENT_ID)
    ds.PatientBirthDate = _BIRTH
    good = encoded(ds)
    ds.PatientComments = f"{_NAME} {_PATIENT_ID}"
    other = encoded(ds)
    broken = (good[:-100], good.replace(b"1.2.840.10008.5.1.4.1.1.2\0", _NAME.encode().ljust(26)[:26]))
    files = (good, other, *broken)
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT, calling="CT1") as sender:
        statuses = [sender.store(ds.SOPInstanceUID, data_set_of(file)).status for file in (good, other, broken[0])]
    assert statuses == [0, 0, 0xC000]
    assert dicomweb.store(client, files).status_code == httpx.codes.ACCEPTED
    imports = folder / "imports"
    imports.mkdir()
    for number, file in enumerate(files):
        (imports / f"{number}.dcm").write_bytes(file)
    done = gateway.cli("import", str(imports))
    assert done.returncode == 1
    listed = gateway.cli("conflicts", "list")
    return str(ds.StudyInstanceUID), done.stdout + done.stderr + listed.stdout + listed.stderr


def paths(study_uid: str) -> list[str]:
    """Return requests that name the patient, rightly and wrongly."""
    return [
        f"/dicom-web/studies?PatientID={_PATIENT_ID}",
        f"/dicom-web/studies?PatientName={_NAME}&fuzzymatching=true",
        f"/dicom-web/studies?PatientBirthDate={_BIRTH}&{_NAME}=1",
        f"/dicom-web/studies?StudyDate={_NAME}",
        f"/dicom-web/studies/{_NAME}/metadata",
        f"/dicom-web/studies/{study_uid}/metadata",
        f"/?name={_NAME}",
        f"/{_PATIENT_ID}",
        f"/dicom-web/studies/{study_uid}/series/1.2.3/instances/1.2.3/rendered?window={_NAME}",
    ]
