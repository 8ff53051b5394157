"""Thousands of requests with something wrong in each: answered, never a fault (5xx)."""

import random
from urllib.parse import quote

import httpx
import pytest

from tests.acceptance.dicomweb.conftest import sample
from tests.acceptance.samples import SampleFile
from tests.support.running_gateway import RunningGateway

pytestmark = pytest.mark.xdist_group("dicomweb")

_N_REQUESTS = 1500
_TEXTS = (
    "",
    "*",
    "?",
    "**",
    "\\",
    "\\\\" * 50,
    ",",
    "-",
    "--",
    "0",
    "-1",
    "1e999",
    "NaN",
    "inf",
    "9" * 400,
    "1." * 200,
    "%",
    "%%' OR 1=1 --",
    "_%_",
    "' ; DROP TABLE study; --",
    "../../../etc/passwd",
    "\x00",
    "\x1b[31m",
    "\r\nX-Injected: 1",
    "\ufeff",
    "\u202e",
    "\ud7ff\ue000",
    "Nguyễn^Văn*",
    "e\u0301" * 100,
    "٠١٢",
    "²",
    "Ⅷ",
    "İ",
    "ß" * 100,
    "\U0001f600",
    "20260101-",
    "-20260101",
    "20261301-20260101",
    "99999999-99999999",
    "00000000",
    "000000.000000-235960.999999",
    "true",
    "TRUE",
    "null",
    "[]",
    "{}",
    "<script>",
    "${jndi:ldap://127.0.0.1/}",
    "{{7*7}}",
    "A" * 4000,
    "*" * 2000,
    "1.2.840.113619" + ".1" * 30,
)
_NAMES = (
    "PatientName",
    "PatientID",
    "00100010",
    "0010,0010",
    "StudyDate",
    "StudyTime",
    "ModalitiesInStudy",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassesInStudy",
    "SeriesNumber",
    "InstanceNumber",
    "AccessionNumber",
    "NumberOfStudyRelatedInstances",
    "OtherPatientIDsSequence.PatientID",
    "RequestAttributesSequence.00401001",
    "00400275.00400009",
    "00400275.00400275.00400009",
    "ProcedureCodeSequence",
    "PixelData",
    "7FE00010",
    "00000000",
    "FFFFFFFF",
    "includefield",
    "limit",
    "offset",
    "fuzzymatching",
    "emptyvaluematching",
    "multiplevaluematching",
    "orderby",
    "accept",
    "charset",
    "viewport",
    "window",
    "quality",
    "annotation",
    "iccprofile",
    "rows",
    "columns",
    "region",
    "requestType",
    "contentType",
    "objectUID",
    "transferSyntax",
    "frameNumber",
    "",
    "nonsense",
)
_ACCEPTS = (
    "*/*",
    "*",
    "/",
    "application/dicom+json",
    "application/dicom+xml",
    "application/dicom",
    "application/zip",
    "application/octet-stream",
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/jp2",
    "image/*",
    "video/mp4",
    "video/*",
    "text/html",
    "application/pdf",
    'multipart/related; type="application/dicom"',
    'multipart/related; type="application/dicom+xml"',
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50',
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90',
    'multipart/related; type="image/jls"',
    'multipart/related; type="image/dicom-rle"',
    'multipart/related; type="*/*"',
    "multipart/related",
    "multipart/*",
    "application/dicom; transfer-syntax=1.2.3.4",
    "application/dicom; transfer-syntax=1.2.840.10008.1.2.2",
    "application/dicom; transfer-syntax=1.2.840.10008.1.2.1.99",
    "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100",
)
_SPOILS = (
    ";",
    ",",
    "=",
    '"',
    "\\",
    "q=2",
    ";q=nan",
    ";q=-1",
    ";;",
    "\t",
    "\x7f",
    "é",
    "type=",
    "*",
    "/",
    " ",
    "a" * 5000,
)
_PATHS = (
    "/dicom-web/studies",
    "/dicom-web/series",
    "/dicom-web/instances",
    "/dicom-web/studies/{study}",
    "/dicom-web/studies/{study}/series",
    "/dicom-web/studies/{study}/instances",
    "/dicom-web/studies/{study}/metadata",
    "/dicom-web/studies/{study}/rendered",
    "/dicom-web/studies/{study}/thumbnail",
    "/dicom-web/studies/{study}/series/{series}",
    "/dicom-web/studies/{study}/series/{series}/instances",
    "/dicom-web/studies/{study}/series/{series}/metadata",
    "/dicom-web/studies/{study}/series/{series}/rendered",
    "/dicom-web/studies/{study}/series/{series}/thumbnail",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/rendered",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/thumbnail",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1,2,1",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1/rendered",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1/thumbnail",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/7FE00010",
    "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/54000100/0/54001010",
    "/wado",
    "/",
    "/list",
    "/studies/{study}",
    "/api/v1/studies/{study}/series/{series}/pictures",
)


class Mutator:
    """Makes requests, each near one that is right."""

    def __init__(self, samples: list[SampleFile], rng: random.Random) -> None:
        self._samples = samples
        self._rng = rng

    def request(self) -> tuple[str, str, dict[str, bytes]]:
        """Return a method, a target and headers."""
        file = self._rng.choice(self._samples)
        template = self._rng.choice(_PATHS)
        path = template.format(study=file.study_uid, series=file.series_uid, instance=file.sop_uid)
        query = [self._parameter() for _ in range(self._rng.choice((0, 0, 1, 1, 2, 5)))]
        if template == "/wado":
            query += [("requestType", "WADO"), ("studyUID", file.study_uid)]
            query += [("seriesUID", file.series_uid), ("objectUID", file.sop_uid)]
        if self._rng.random() < 0.3:
            path = self._spoilt_path(path)
        encoded = "&".join(f"{quote(name, safe='.')}={self._value(value)}" for name, value in query)
        headers = {"Accept": self._accept()} | ({"Range": self._range()} if self._rng.random() < 0.2 else {})
        method = self._rng.choices(("GET", "HEAD", "OPTIONS", "POST"), (20, 3, 1, 1))[0]
        return method, path + (f"?{encoded}" if encoded else ""), headers

    def _parameter(self) -> tuple[str, str]:
        value = self._rng.choice(_TEXTS)
        if self._rng.random() < 0.2:
            value = ",".join(self._rng.choices((*_TEXTS[:20], "1", "64", "256", "40,400,linear"), k=3))
        return self._rng.choice(_NAMES), value

    def _value(self, value: str) -> str:
        if self._rng.random() < 0.1:
            return self._rng.choice(("%", "%ZZ", "%00", "%FF%FE", "%C0%AF", "%ED%A0%80", "+", "%2", "=", "&", "%26"))
        return quote(value, safe="", errors="surrogatepass")

    def _spoilt_path(self, path: str) -> str:
        segments = path.split("/")
        at = self._rng.randrange(1, len(segments))
        match self._rng.randrange(5):
            case 0:
                segments[at] = quote(self._rng.choice(_TEXTS)[:500], safe="", errors="surrogatepass")
            case 1:
                segments.insert(at, self._rng.choice(("", ".", "..", "%2e%2e", "%2F", "frames", "rendered")))
            case 2:
                del segments[at]
            case 3:
                segments[at] += self._rng.choice(("%00", ".", "/", "%20", ",1", ",", "9" * 100, ";a=b", "%FF"))
            case _:
                segments[at] = segments[at][: self._rng.randrange(len(segments[at]) + 1)]
        return "/".join(segments) or "/"

    def _accept(self) -> bytes:
        text = ", ".join(self._rng.choices(_ACCEPTS, k=self._rng.choice((1, 1, 1, 2, 4))))
        while self._rng.random() < 0.3:
            at = self._rng.randrange(len(text) + 1)
            text = text[:at] + self._rng.choice(_SPOILS) + text[at:]
        return text.encode("utf-8").strip()

    def _range(self) -> bytes:
        return self._rng.choice((b"bytes=0-", b"bytes=1-5", b"bytes=-3", b"bytes=9999999-", b"bytes=0-1,2-3", b"x"))


def test_no_request_is_a_fault(gateway: RunningGateway, client: httpx.Client, samples: list[SampleFile]) -> None:
    before = gateway.children()
    mutator = Mutator(samples, random.Random(5))
    faults, seen = [], set()
    for _ in range(_N_REQUESTS):
        method, target, headers = mutator.request()
        request = client.build_request(method, "/", headers=[(k.encode(), v) for k, v in headers.items()])
        # The target as it is: what a client library would tidy up stays.
        request.url = request.url.copy_with(raw_path=target.encode())
        status = client.send(request).status_code
        seen.add(status)
        if status >= 500 and status != httpx.codes.NOT_IMPLEMENTED:
            faults.append((status, method, target[:300], headers))

    assert faults == []
    assert {200, 400, 404, 406} <= seen
    assert gateway.children() == before
    assert "request failed" not in gateway.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ct", "us-jpeg", "ct-pdf", "waveform_ecg.dcm"])
def test_frames_that_make_no_sense_are_refused(client: httpx.Client, samples: list[SampleFile], name: str) -> None:
    path = f"/dicom-web{sample(samples, name).url_path}/frames/"
    for frames in ("0", "-1", "1,", ",1", "1,,1", "1-2", "a", "1.0", "1e0", "%31%2C%30", "99999999999", "%D9%A1", "1 "):
        for resource in ("", "/rendered", "/thumbnail"):
            assert client.get(path + frames + resource).status_code in (400, 404), frames
    assert client.get(path + ",".join(["1"] * 100)).status_code in (200, 400, 404)
    assert client.get(path + ",".join(["1"] * 20_000)).status_code in (400, 404, 414)
