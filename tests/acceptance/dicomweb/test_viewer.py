"""What the viewer asks for, as it asks for it, and what is known to break it (design: viewer.md, sections 5 and 8).

OHIF runs in a browser on our own origin: a session cookie and no token. Queries are percent-encoded and Accept headers
are spelled as it spells them.
"""

import gzip
import re
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, VideoPhotographicImageStorage

from tests.acceptance.dicomweb.conftest import sample, wait_until_derived
from tests.acceptance.samples import SampleFile
from tests.support import dicomweb
from tests.support.dicomweb import value
from tests.support.running_gateway import RunningGateway
from tests.support.synthetic_ct import CtSeries, encoded, make_ct, new_uid

pytestmark = pytest.mark.xdist_group("dicomweb")

JSON = {"Accept": "application/dicom+json"}
FRAMES = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'}
NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
LIST = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"
_READ_OF_STUDIES = frozenset(
    {"00080020", "00080030", "00080050", "00080061", "00081030", "00080090", "00100010", "00100020", "00100030"}
    | {"0020000D", "00201208"}
)
_MP4 = struct.pack(">L4s4sL4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41") + struct.pack(">L4s", 8, b"mdat")
_MPEG4 = UID("1.2.840.10008.1.2.4.102")

Json = dict[str, Any]


def _search(browser: httpx.Client, resource: str) -> list[Json]:
    answer = browser.get(f"/dicom-web{resource}", headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json"), resource
    found: list[Json] = answer.json()
    return found


def _uids(results: list[Json]) -> list[str]:
    return [value(one, "0020000D") for one in results]


def _own_study(browser: httpx.Client, *datasets: Dataset) -> str:
    """Store objects and return their study."""
    answer = dicomweb.store(browser, [encoded(ds) for ds in datasets])
    assert answer.status_code == httpx.codes.OK, answer.text
    return str(datasets[0].StudyInstanceUID)


def _path(ds: Dataset) -> str:
    return f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def test_the_list_is_newest_first_and_tells_what_it_shows(browser: httpx.Client, samples: list[SampleFile]) -> None:
    studies = _search(browser, f"/studies?{LIST}")

    assert {file.study_uid for file in samples} <= set(_uids(studies))
    for study in studies:
        assert study.keys() >= _READ_OF_STUDIES
        assert study["0020000D"]["Value"][0]
        assert study["00201208"]["Value"][0] > 0
    times = [(study["00080020"].get("Value", [""])[0], study["00080030"].get("Value", [""])[0]) for study in studies]
    assert times == sorted(times, reverse=True)


def test_every_filter_of_the_list_finds(browser: httpx.Client, samples: list[SampleFile]) -> None:
    ct, us = sample(samples, "ct").study_uid, sample(samples, "us").study_uid
    for keys, expected, unexpected in (
        ("PatientName=*v%C4%83n*", ct, us),
        ("PatientName=*VAN*", ct, us),
        ("00100020=*u-0001*", ct, us),
        ("AccessionNumber=*26-0001*", ct, us),
        ("StudyDescription=*B%E1%BB%A4NG*", ct, us),
        ("ModalitiesInStudy=CT%2CMR", ct, us),
        ("ModalitiesInStudy=US", us, ct),
        ("StudyDate=20260512-20260512", ct, us),
        ("StudyDate=20260513-20991231", us, ct),
    ):
        found = _uids(_search(browser, f"/studies?{LIST}&{keys}"))
        assert (expected in found, unexpected in found) == (True, False), keys
    of_both = _uids(_search(browser, f"/studies?{LIST}&ModalitiesInStudy=CT%2CUS&StudyDate=19700102-20991231"))
    assert {ct, us} <= set(of_both)


def test_a_study_is_found_by_its_uid_and_several_by_a_list(browser: httpx.Client, samples: list[SampleFile]) -> None:
    ct, us = sample(samples, "ct").study_uid, sample(samples, "us").study_uid
    for _ in range(2):
        assert _uids(_search(browser, f"/studies?{LIST}&StudyInstanceUID={ct}")) == [ct]
    assert set(_uids(_search(browser, f"/studies?{LIST}&StudyInstanceUID={ct}%5C{us}"))) == {ct, us}


def test_prior_studies_are_those_of_exactly_this_patient(browser: httpx.Client, samples: list[SampleFile]) -> None:
    found = _search(browser, f"/studies?{LIST}&00100020=000123")
    assert sample(samples, "jpeg2000").study_uid in _uids(found)
    assert {value(study, "00100020") for study in found} == {"000123"}


@pytest.mark.parametrize(
    "includefield", ["00080021%2C00080031%2C0008103E%2C00200011", "0008103E%2C00080021"], ids=["opened", "side panel"]
)
def test_the_series_of_a_study_tell_what_panels_show(
    browser: httpx.Client, samples: list[SampleFile], includefield: str
) -> None:
    ct = sample(samples, "ct")
    series = _search(browser, f"/studies/{ct.study_uid}/series?includefield={includefield}")
    assert len(series) == len({file.series_uid for file in samples if file.study_uid == ct.study_uid})
    for one in series:
        assert one.keys() >= {"0020000E", "00080060", "00200011", "00201209", *includefield.split("%2C")}
        assert value(one, "00201209") > 0


def test_the_metadata_of_a_series_are_whole_and_compressed(browser: httpx.Client, samples: list[SampleFile]) -> None:
    ct = sample(samples, "ct")
    expected = {file.sop_uid: dcmread(file.path) for file in samples if file.series_uid == ct.series_uid}
    address = f"/dicom-web/studies/{ct.study_uid}/series/{ct.series_uid}/metadata"
    with browser.stream("GET", address, headers=JSON) as answer:
        raw = b"".join(answer.iter_raw())
        assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    whole = gzip.decompress(raw)
    assert len(raw) < len(whole) / 2

    instances = browser.get(address, headers=JSON).json()
    assert {value(one, "00080018") for one in instances} == expected.keys()
    for one in instances:
        ds = expected[value(one, "00080018")]
        in_json = {f"{element.tag:08X}" for element in ds} - {"7FE00010"}
        assert in_json <= one.keys()
        assert one["00280030"]["Value"] == [float(number) for number in ds.PixelSpacing]


def test_frames_leave_as_they_are_stored(browser: httpx.Client, samples: list[SampleFile]) -> None:
    for name in ("ct", "us", "jpeg2000", "jpeg-ls", "rle", "us-jpeg", "htj2k"):
        file = sample(samples, name)
        ds = dcmread(file.path)
        n_frames = int(ds.get("NumberOfFrames", 1))
        answer = browser.get(f"/dicom-web{file.url_path}/frames/{n_frames}", headers=FRAMES)
        assert answer.status_code == httpx.codes.OK, name
        (frame,) = dicomweb.parts(answer)
        if file.transfer_syntax.is_compressed:
            *_, stored = generate_frames(ds.PixelData, number_of_frames=n_frames)
        else:
            stored = ds.PixelData[(n_frames - 1) * len(frame) :][: len(frame)]
        assert frame == stored, name


def test_bulk_data_are_where_the_metadata_say(browser: httpx.Client, samples: list[SampleFile]) -> None:
    palette, ecg = sample(samples, "examples_palette.dcm"), sample(samples, "waveform_ecg.dcm")
    (of_palette,) = browser.get(f"/dicom-web{palette.url_path}/metadata", headers=JSON).json()
    red = of_palette["00281201"]
    if "BulkDataURI" in red:
        assert _bulk(browser, palette, red, "*/*") == dcmread(palette.path)[0x00281201].value
    else:
        assert "InlineBinary" in red
    (of_ecg,) = browser.get(f"/dicom-web{ecg.url_path}/metadata", headers=JSON).json()
    waveform = of_ecg["54000100"]["Value"][0]["54001010"]
    expected = dcmread(ecg.path).WaveformSequence[0].WaveformData
    assert _bulk(browser, ecg, waveform, "application/octet-stream") == expected


def _bulk(browser: httpx.Client, file: SampleFile, element: Json, accept: str) -> bytes:
    address = urljoin(f"/dicom-web{file.url_path}/metadata", element["BulkDataURI"])
    answer = browser.get(address, headers={"Accept": accept})
    assert answer.status_code == httpx.codes.OK
    if answer.headers["content-type"].startswith("multipart/related"):
        (part,) = dicomweb.parts(answer)
        return part
    return answer.content


def test_thumbnails_are_pictures_of_the_size_asked_for(browser: httpx.Client, samples: list[SampleFile]) -> None:
    for name in ("ct", "dx", "us", "jpeg2000", "examples_palette.dcm"):
        file = sample(samples, name)
        series = file.url_path.partition("/instances/")[0]
        for resource in (series, file.url_path):
            address = f"/dicom-web{resource}/rendered?viewport=256%2C256"
            answer = browser.get(address, headers={"Accept": "image/jpeg"})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), address
            with Image.open(BytesIO(answer.content)) as picture:
                assert max(picture.size) <= 256, name


def test_the_first_instance_of_a_series_is_told(browser: httpx.Client, samples: list[SampleFile]) -> None:
    ct = sample(samples, "ct")
    address = f"/studies/{ct.study_uid}/series/{ct.series_uid}/instances?limit=1&includefield=00080018"
    (found,) = _search(browser, address)
    assert value(found, "00080018") in {file.sop_uid for file in samples}


def test_a_document_is_shown_in_a_frame_of_our_own_pages(browser: httpx.Client, samples: list[SampleFile]) -> None:
    answer = browser.get(f"/dicom-web{sample(samples, 'ct-pdf').url_path}/rendered", headers=NAVIGATION)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF-")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert not answer.headers["content-disposition"].startswith("attachment")


def _video() -> Dataset:
    ds = make_ct(16)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = VideoPhotographicImageStorage
    ds.file_meta.TransferSyntaxUID = _MPEG4
    ds.Modality, ds.NumberOfFrames, ds.CineRate, ds.SamplesPerPixel = "XC", 2, 25, 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_PARTIAL_420", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = encapsulate([_MP4])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def test_a_video_is_told_and_played_by_those_who_have_logged_in(browser: httpx.Client, gateway: RunningGateway) -> None:
    ds = _video()
    _own_study(browser, ds)
    (metadata,) = browser.get(f"{_path(ds)}/metadata", headers=JSON).json()
    assert value(metadata, "00083002") == _MPEG4

    # What a <video> element asks, without a token.
    answer = browser.get(f"{_path(ds)}/rendered", headers={"Accept": "*/*", "Range": "bytes=0-"})
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == _MP4
    piece = browser.get(f"{_path(ds)}/rendered", headers={"Accept": "*/*", "Range": "bytes=4-7"})
    assert (piece.status_code, piece.content) == (206, b"ftyp")
    assert httpx.get(f"{gateway.url}{_path(ds)}/rendered", headers={"Accept": "*/*"}).status_code == 401


def _post_one(browser: httpx.Client, content: bytes) -> httpx.Response:
    boundary = "OHIF boundary of 70 or less: 'quoted'"
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + content + f"\r\n--{boundary}--".encode()
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    return browser.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})


def test_an_upload_is_one_part_and_its_failure_names_the_object(browser: httpx.Client) -> None:
    ds = make_ct(16)
    stored = _post_one(browser, encoded(ds))
    assert stored.status_code == httpx.codes.OK
    assert value(stored.json()["00081199"]["Value"][0], "00081155") == ds.SOPInstanceUID

    broken = make_ct(16)
    del broken.StudyInstanceUID
    refused = _post_one(browser, encoded(broken))
    assert refused.status_code == httpx.codes.CONFLICT
    assert value(refused.json()["00081198"]["Value"][0], "00081155") == broken.SOPInstanceUID


def test_a_saved_report_leaves_the_study_as_it_was(browser: httpx.Client) -> None:
    ct = make_ct(16)
    ct.StudyDescription, ct.ReferringPhysicianName = "Thử", "Ai^Đó"
    study = _own_study(browser, ct)
    sr = make_ct(16)
    for keyword in ("PixelData", "Rows", "Columns", "StudyDescription"):
        sr.pop(keyword, None)
    sr.StudyInstanceUID = study
    sr.SOPClassUID = sr.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.33")
    sr.Modality, sr.StudyDate = "SR", ""
    assert _post_one(browser, encoded(sr)).status_code == httpx.codes.OK

    (found,) = _search(browser, f"/studies?{LIST}&StudyInstanceUID={study}")
    assert (value(found, "00081030"), value(found, "00080020")) == ("Thử", ct.StudyDate)
    assert found["00080061"]["Value"] == ["CT", "SR"]


@pytest.mark.parametrize("accept", ['multipart/related; type="application/dicom"', "*/*"])
def test_whole_objects_come_as_multipart_and_as_anything(
    browser: httpx.Client, samples: list[SampleFile], accept: str
) -> None:
    seg = sample(samples, "ct-seg")
    answer = browser.get(f"/dicom-web{seg.url_path}", headers={"Accept": accept})
    assert answer.status_code == httpx.codes.OK
    is_multipart = answer.headers["content-type"].startswith("multipart/related")
    (file,) = dicomweb.parts(answer) if is_multipart else [answer.content]
    assert dcmread(BytesIO(file)) == dcmread(seg.path)


def test_a_columns_attribute_at_the_wrong_level_is_left_out_quietly(browser: httpx.Client) -> None:
    answer = browser.get("/dicom-web/studies?includefield=00080060%2C00081030", headers=JSON)
    assert answer.status_code == httpx.codes.OK
    assert "includefield" not in answer.headers.get("warning", "")
    assert "00080060" not in answer.headers.get("warning", "")


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+json, text/html;q=0.2, application/x-unknown",
        "application/x-unknown, application/json",
        'multipart/related; type="application/x-unknown", application/dicom+json; q=0.1',
        "application/dicom+json;q=1, not a type, */*;q=0.1",
    ],
)
def test_one_acceptable_type_among_others_is_enough(
    browser: httpx.Client, samples: list[SampleFile], accept: str
) -> None:
    ct = sample(samples, "ct")
    answer = browser.get(f"/dicom-web/studies/{ct.study_uid}/series", headers={"Accept": accept})
    assert answer.status_code == httpx.codes.OK
    assert len(answer.json()) > 0


def test_every_frame_says_in_which_syntax_it_is(browser: httpx.Client, samples: list[SampleFile]) -> None:
    for name, media_type in {
        "ct": "application/octet-stream",
        "jpeg2000": "image/jp2",
        "jpeg-ls": "image/jls",
        "rle": "image/dicom-rle",
        "us-jpeg": "image/jpeg",
        "htj2k": "image/jphc",
    }.items():
        file = sample(samples, name)
        answer = browser.get(f"/dicom-web{file.url_path}/frames/1", headers=FRAMES)
        head = answer.content.split(b"\r\n\r\n")[0].decode()
        (kind,) = re.findall(r"(?im)^content-type: *(.*?)\r?$", head)
        assert kind in (
            f"{media_type}; transfer-syntax={file.transfer_syntax}",
            f"application/octet-stream; transfer-syntax={file.transfer_syntax}",
        ), name
        assert f"transfer-syntax={file.transfer_syntax}" in answer.headers["content-type"].replace('"', "")
        assert answer.headers["content-type"].startswith("multipart/related; type=")


def test_what_is_not_there_is_never_answered_as_if_it_were(browser: httpx.Client, samples: list[SampleFile]) -> None:
    ct = sample(samples, "ct")
    for resource in (f"{ct.url_path}/frames/99", f"{ct.url_path}9/frames/1", f"{ct.url_path}/bulkdata/00420011"):
        answer = browser.get(f"/dicom-web{resource}", headers=FRAMES)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), resource


def test_boundaries_are_random_and_frames_are_multipart(browser: httpx.Client, samples: list[SampleFile]) -> None:
    file = sample(samples, "ct")
    kinds = [browser.get(f"/dicom-web{file.url_path}/frames/1", headers=FRAMES).headers["content-type"] for _ in "ab"]
    boundaries = {kind.partition("boundary=")[2].split(";")[0] for kind in kinds}
    assert len(boundaries) == 2
    assert min(map(len, boundaries)) >= 16


def test_addresses_of_bulk_data_are_of_the_host_that_was_asked(
    browser: httpx.Client, gateway: RunningGateway, samples: list[SampleFile]
) -> None:
    ecg = sample(samples, "waveform_ecg.dcm")
    for host in (urlsplit(gateway.url).netloc, f"localhost:{gateway.web_port}"):
        address = f"http://{host}/dicom-web{ecg.url_path}/metadata"
        headers = JSON | {"Authorization": f"Bearer {gateway.token}"}
        (metadata,) = httpx.get(address, headers=headers).json()
        found = urljoin(address, metadata["54000100"]["Value"][0]["54001010"]["BulkDataURI"])
        assert urlsplit(found).netloc == host


def test_nothing_found_is_an_empty_list(browser: httpx.Client) -> None:
    nobody = new_uid()
    for resource in (
        f"/studies?{LIST}&00100020={nobody}",
        f"/studies?{LIST}&PatientName=*{nobody}*",
        f"/studies/{nobody}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011",
        f"/studies/{nobody}/series/{nobody}/instances?limit=1&includefield=00080018",
    ):
        assert _search(browser, resource) == []


@contextmanager
def _away(paths: list[Path], folder: Path) -> Iterator[None]:
    """Take files away for the time of a block."""
    moved = [(path, folder / path.name) for path in paths]
    for path, elsewhere in moved:
        shutil.move(path, elsewhere)
    try:
        yield
    finally:
        for path, elsewhere in moved:
            shutil.move(elsewhere, path)


def test_metadata_and_thumbnails_open_no_object(browser: httpx.Client, gateway: RunningGateway, tmp_path: Path) -> None:
    series = CtSeries()
    images = [series.image() for _ in range(5)]
    dicomweb.store(browser, [image.content for image in images])
    path = f"/dicom-web/studies/{series.study_uid}/series/{series.series_uid}"
    wait_until_derived(gateway)
    mine = [one for one in gateway.objects() if series.study_uid.encode() in one.read_bytes()]
    assert len(mine) == len(images)

    with _away(mine, tmp_path):
        assert len(browser.get(f"{path}/metadata", headers=JSON).json()) == len(images)
        for resource in (path.partition("/series/")[0], path):
            assert browser.get(f"{resource}/thumbnail").status_code == httpx.codes.OK, resource


def test_pages_go_on_where_the_last_one_ended(browser: httpx.Client) -> None:
    n_studies, patient = 120, f"PAGING-{new_uid()}"[:60]
    template = make_ct(8, patient_id=patient)
    files, study_uid = [], str(template.StudyInstanceUID)
    for _ in range(n_studies):
        content = encoded(template)
        for old in (study_uid, str(template.SeriesInstanceUID), str(template.SOPInstanceUID)):
            content = content.replace(old.encode(), new_uid().encode())
        files.append(content)
    assert dicomweb.store(browser, files).status_code == httpx.codes.OK

    # The list asks for one more than it shows, to know whether there is a next page.
    pages = [
        _uids(_search(browser, f"/studies?limit=101&offset={offset}&00100020={patient}")) for offset in (0, 100, 200)
    ]
    assert [len(page) for page in pages] == [101, 20, 0]
    assert pages[0][100] == pages[1][0]
    assert len({*pages[0], *pages[1]}) == n_studies
    assert _uids(_search(browser, f"/studies?limit=101&offset=0&00100020={patient}")) == pages[0]


def test_small_binary_values_are_inline(browser: httpx.Client) -> None:
    ds = make_ct(8)
    ds.add_new(0x00090010, "LO", "GATEWAY TESTS")
    ds.add_new(0x00091001, "OB", b"\x01\x02\x03\x04")
    ds.add_new(0x00091002, "OB", bytes(100_000))
    _own_study(browser, ds)
    (metadata,) = browser.get(f"{_path(ds)}/metadata", headers=JSON).json()
    assert metadata["00091001"]["InlineBinary"] == "AQIDBA=="
    assert "InlineBinary" not in metadata["00091002"]


def test_a_rejection_hides_a_series_and_is_for_those_who_may_delete(
    gateway: RunningGateway, browser: httpx.Client
) -> None:
    ds, other = make_ct(8), make_ct(8)
    other.StudyInstanceUID = ds.StudyInstanceUID
    study = _own_study(browser, ds, other)
    address = f"/dicom-web/studies/{study}/series/{ds.SeriesInstanceUID}/reject/113001%5EDCM"
    assert httpx.post(f"{gateway.url}{address}").status_code == httpx.codes.UNAUTHORIZED
    foreign = browser.post(address, headers={"Origin": "http://elsewhere.invalid"})
    assert foreign.status_code == httpx.codes.FORBIDDEN
    assert len(_search(browser, f"/studies/{study}/series")) == 2

    assert browser.post(address).is_success
    (left,) = _search(browser, f"/studies/{study}/series")
    assert value(left, "0020000E") == other.SeriesInstanceUID
    assert browser.get(f"{_path(ds)}/metadata", headers=JSON).status_code == httpx.codes.NOT_FOUND


RULES: Mapping[str, tuple[Callable[..., None], ...]] = {
    "request 1": (test_the_list_is_newest_first_and_tells_what_it_shows,),
    "request 2": (test_every_filter_of_the_list_finds,),
    "request 3": (test_a_study_is_found_by_its_uid_and_several_by_a_list,),
    "request 4": (test_prior_studies_are_those_of_exactly_this_patient,),
    "request 5": (test_the_series_of_a_study_tell_what_panels_show,),
    "request 6": (test_the_series_of_a_study_tell_what_panels_show,),
    "request 7": (test_the_metadata_of_a_series_are_whole_and_compressed,),
    "request 8": (test_frames_leave_as_they_are_stored,),
    "request 9": (test_bulk_data_are_where_the_metadata_say,),
    "request 10": (test_thumbnails_are_pictures_of_the_size_asked_for,),
    "request 11": (test_the_first_instance_of_a_series_is_told,),
    "request 12": (
        test_a_document_is_shown_in_a_frame_of_our_own_pages,
        test_a_video_is_told_and_played_by_those_who_have_logged_in,
    ),
    "request 13": (
        test_an_upload_is_one_part_and_its_failure_names_the_object,
        test_a_saved_report_leaves_the_study_as_it_was,
    ),
    "request 14": (test_whole_objects_come_as_multipart_and_as_anything,),
    "request 15": (test_a_rejection_hides_a_series_and_is_for_those_who_may_delete,),
    "rule empty": (test_nothing_found_is_an_empty_list,),
    "rule syntax": (test_every_frame_says_in_which_syntax_it_is,),
    "rule paging": (test_pages_go_on_where_the_last_one_ended,),
    "rule addresses": (test_addresses_of_bulk_data_are_of_the_host_that_was_asked,),
    "rule inline": (test_small_binary_values_are_inline,),
    "rule video": (test_a_video_is_told_and_played_by_those_who_have_logged_in,),
    "issue 1": (test_a_columns_attribute_at_the_wrong_level_is_left_out_quietly,),
    "issue 2": (test_one_acceptable_type_among_others_is_enough,),
    "issue 3": (test_frames_leave_as_they_are_stored,),
    "issue 4": (
        test_every_frame_says_in_which_syntax_it_is,
        test_what_is_not_there_is_never_answered_as_if_it_were,
    ),
    "issue 5": (test_boundaries_are_random_and_frames_are_multipart,),
    "issue 6": (test_addresses_of_bulk_data_are_of_the_host_that_was_asked,),
    "issue 7": (test_nothing_found_is_an_empty_list,),
    "issue 8": (test_a_video_is_told_and_played_by_those_who_have_logged_in,),
    "issue 9": (test_metadata_and_thumbnails_open_no_object,),
    "issue 10": (test_pages_go_on_where_the_last_one_ended,),
}
"""Section 5 of the design (its table of requests, the rules that follow) and section 8 (its list of issues)."""


def test_every_rule_has_its_test() -> None:
    numbered = {f"request {n}" for n in range(1, 16)} | {f"issue {n}" for n in range(1, 11)}
    rules = {f"rule {name}" for name in ("empty", "syntax", "paging", "addresses", "inline", "video")}
    assert RULES.keys() == numbered | rules
    assert all(test.__name__ in globals() for tests in RULES.values() for test in tests)
