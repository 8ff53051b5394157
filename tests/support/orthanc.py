"""Orthanc as a second archive: sender, destination, and one that queries and retrieves."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.clients.client import SUCCESS, Answer, Retrieved, level_of
from tests.support.ports import free_port
from tests.support.running_gateway import AE_TITLE
from tests.support.waiting import wait_until

_DEADLINE_S = 60.0
_LEVELS = {"PATIENT": "Patient", "STUDY": "Study", "SERIES": "Series", "IMAGE": "Instance"}


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc that knows the gateway as a modality."""

    http: httpx.Client
    ae_title: str
    port: int

    def echo(self) -> None:
        self._ask("/modalities/gateway/echo", {})

    def store(self, paths: Sequence[Path]) -> None:
        taken = [self.http.post("/instances", content=path.read_bytes()) for path in paths]
        assert {answer.status_code for answer in taken} == {httpx.codes.OK}
        sent = self._ask("/modalities/gateway/store", {"Resources": [answer.json()["ID"] for answer in taken]})
        assert (sent["InstancesCount"], sent["FailedInstancesCount"]) == (len(paths), 0)

    def find(self, level: str, keys: Mapping[str, str]) -> list[Answer]:
        answers = self.http.get(f"/queries/{self._query(level, keys)}/answers?expand&simplify")
        return [dict(answer) for answer in answers.json()]

    def move(self, keys: Mapping[str, str], destination: str) -> Retrieved:
        """Retrieve; Orthanc says only whether it went well."""
        query = self._query(level_of(keys), keys)
        n_answers = len(self.http.get(f"/queries/{query}/answers").json())
        path = f"/queries/{query}/retrieve"
        answer = self.http.post(path, json={"TargetAet": destination, "Synchronous": True})
        if answer.status_code == httpx.codes.OK:
            return Retrieved(SUCCESS, n_answers, 0)
        _, _, status = answer.json()["Details"].partition("DIMSE status 0x")
        return Retrieved(int(status[:4], 16), 0, n_answers)

    def request_commitment(self, instances: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """Ask the gateway to take over (SOP Class UID, SOP Instance UID); return the report, once it has come."""
        asked = {"DicomInstances": [list(one) for one in instances]}
        path = self._ask("/modalities/gateway/storage-commitment", asked)["Path"]
        wait_until(lambda: self.http.get(path).json()["Status"] != "Pending", _DEADLINE_S, "the report")
        report: Mapping[str, Any] = self.http.get(path).json()
        return report

    def files(self) -> dict[str, bytes]:
        """Return the Part 10 files it holds, by SOP Instance UID."""
        held = self.http.get("/instances?expand").json()
        return {
            one["MainDicomTags"]["SOPInstanceUID"]: self.http.get(f"/instances/{one['ID']}/file").content
            for one in held
        }

    def clear(self) -> None:
        """Forget everything."""
        for patient in self.http.get("/patients").json():
            self.http.delete(f"/patients/{patient}")

    def _query(self, level: str, keys: Mapping[str, str]) -> str:
        return str(self._ask("/modalities/gateway/query", {"Level": _LEVELS[level], "Query": dict(keys)})["ID"])

    def _ask(self, path: str, question: Mapping[str, object]) -> Any:
        answer = self.http.post(path, json=question)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


@contextmanager
def orthanc(folder: Path, gateway_port: int, *, ae_title: str = "ORTHANC") -> Iterator[Orthanc]:
    """Run an Orthanc in `folder` that knows the gateway, and lets it store."""
    folder.mkdir(parents=True, exist_ok=True)
    dicom_port, http_port = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "DefaultEncoding": "Utf8",
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {"gateway": [AE_TITLE, "127.0.0.1", gateway_port]},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(path)], stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=_DEADLINE_S) as client:
            wait_until(lambda: _is_up(client), _DEADLINE_S, "Orthanc to start")
            yield Orthanc(client, ae_title, dicom_port)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DEADLINE_S)
        process.kill()


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/system").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
