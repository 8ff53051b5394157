"""The widespread client of DICOMweb does everything against us that it can do at all."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from requests import HTTPError

from tests.acceptance.dicomweb.conftest import sample
from tests.acceptance.samples import SampleFile
from tests.support.running_gateway import RunningGateway
from tests.support.synthetic_ct import CtSeries

pytestmark = pytest.mark.xdist_group("dicomweb")

AS_STORED = (("application/dicom", "*"),)
_PICTURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG", "image/gif": b"GIF8"}
_MEDIA_TYPES = {
    "jpeg2000": ("image/jp2", JPEG2000Lossless),
    "jpeg-ls": ("image/jls", JPEGLSLossless),
    "rle": ("image/dicom-rle", RLELossless),
    "us-jpeg": ("image/jpeg", JPEGBaseline8Bit),
}


@dataclass(frozen=True, slots=True)
class Program:
    """The client, and what is there for it."""

    client: DICOMwebClient
    samples: list[SampleFile]

    def __getitem__(self, name: str) -> SampleFile:
        return sample(self.samples, name)

    def stored_series(self, n_images: int = 2) -> CtSeries:
        """Store a series of its own."""
        series = CtSeries()
        self.client.store_instances([dcmread(BytesIO(series.image().content)) for _ in range(n_images)])
        return series


@pytest.fixture(scope="module")
def program(gateway: RunningGateway, samples: list[SampleFile]) -> Program:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    client = DICOMwebClient(url=f"{gateway.url}/dicom-web", headers=headers)
    client.set_http_retry_params(retry=False)
    return Program(client, samples)


def _uids(file: SampleFile) -> tuple[str, str, str]:
    return file.study_uid, file.series_uid, file.sop_uid


def _values(results: list[dict[str, dict[str, list[str]]]], tag: str) -> list[str]:
    return [one[tag]["Value"][0] for one in results]


def searches_for_studies(program: Program) -> None:
    search, ct = program.client.search_for_studies, program["ct"]
    ds = dcmread(ct.path, stop_before_pixels=True)
    everything = _values(search(), "0020000D")
    assert set(everything) >= {file.study_uid for file in program.samples}

    (found,) = search(search_filters={"StudyInstanceUID": ct.study_uid}, fields=["StudyDescription", "00081030"])
    assert found["00081030"]["Value"] == [ds.StudyDescription]
    assert ct.study_uid in _values(search(search_filters={"PatientID": ds.PatientID}), "0020000D")
    assert search(search_filters={"PatientID": "nobody"}) == []

    # One word of the name, in small letters and without its accents.
    word = "tran"
    assert search(search_filters={"PatientName": word}) == []
    assert search(search_filters={"PatientName": word}, fuzzymatching=True) != []

    pages = [search(limit=2, offset=offset) for offset in range(0, len(everything) + 2, 2)]
    assert _values([study for page in pages for study in page], "0020000D") == everything
    assert _values(search(limit=3, get_remaining=True), "0020000D") == everything
    assert _values(search(additional_params={"StudyInstanceUID": ct.study_uid}), "0020000D") == [ct.study_uid]


def searches_for_series(program: Program) -> None:
    search, ct = program.client.search_for_series, program["ct"]
    assert ct.series_uid in _values(search(ct.study_uid), "0020000E")
    assert ct.series_uid in _values(search(), "0020000E")
    (found,) = search(search_filters={"SeriesInstanceUID": ct.series_uid}, fields=["SeriesDescription"])
    assert found["00080060"]["Value"] == ["CT"]
    assert "0008103E" in found
    modalities = _values(search(search_filters={"Modality": "US"}, get_remaining=True, limit=1), "00080060")
    assert set(modalities) == {"US"}
    assert search(ct.study_uid, limit=1, offset=1000) == []


def searches_for_instances(program: Program) -> None:
    search, ct = program.client.search_for_instances, program["ct"]
    in_series = {file.sop_uid for file in program.samples if file.series_uid == ct.series_uid}
    assert set(_values(search(ct.study_uid, ct.series_uid), "00080018")) == in_series
    assert set(_values(search(ct.study_uid), "00080018")) >= in_series
    (found,) = search(search_filters={"SOPInstanceUID": ct.sop_uid}, fields=["Rows"])
    assert (found["00080018"]["Value"], "00280010" in found) == ([ct.sop_uid], True)
    paged = search(ct.study_uid, ct.series_uid, limit=1, offset=0, get_remaining=True)
    assert set(_values(paged, "00080018")) == in_series


def retrieves_objects(program: Program) -> None:
    ct, client = program["ct"], program.client
    in_series = {file.sop_uid for file in program.samples if file.series_uid == ct.series_uid}
    in_study = {file.sop_uid for file in program.samples if file.study_uid == ct.study_uid}
    for study in (client.retrieve_study(ct.study_uid, AS_STORED), client.iter_study(ct.study_uid, AS_STORED)):
        assert {ds.SOPInstanceUID for ds in study} == in_study
    series_uids = ct.study_uid, ct.series_uid
    for series in (client.retrieve_series(*series_uids), client.iter_series(*series_uids)):
        assert {ds.SOPInstanceUID for ds in series} == in_series


def retrieves_an_instance(program: Program) -> None:
    retrieve = program.client.retrieve_instance
    for file in program.samples:
        found = retrieve(*_uids(file))  # asks for any transfer syntax
        assert found == dcmread(file.path), file.path.name
    for name in ("ct", *_MEDIA_TYPES):
        found = retrieve(*_uids(program[name]), media_types=(("application/dicom", ExplicitVRLittleEndian),))
        assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert found.PixelData[: len(_native(program[name]))] == _native(program[name])


def retrieves_metadata(program: Program) -> None:
    ct, client = program["ct"], program.client
    by_level = (
        client.retrieve_study_metadata(ct.study_uid),
        client.retrieve_series_metadata(ct.study_uid, ct.series_uid),
        [client.retrieve_instance_metadata(*_uids(ct))],
    )
    for metadata in by_level:
        (one,) = [one for one in metadata if one["00080018"]["Value"] == [ct.sop_uid]]
        found, expected = Dataset.from_json(one, lambda _uri: b""), dcmread(ct.path, stop_before_pixels=True)
        assert {element.tag: element.value for element in expected}.items() <= {
            element.tag: element.value for element in found
        }.items()


def retrieves_frames(program: Program) -> None:
    client, us = program.client, program["us"]
    ds = dcmread(us.path)
    frames = [frame.tobytes() for frame in ds.pixel_array]
    for retrieve in (client.retrieve_instance_frames, client.iter_instance_frames):
        assert list(retrieve(*_uids(us), frame_numbers=[2])) == frames[1:2]
        every = range(len(frames), 0, -1)
        octets = ("application/octet-stream",)
        assert list(retrieve(*_uids(us), frame_numbers=every, media_types=octets)) == frames[::-1]
    for name, media_type in _MEDIA_TYPES.items():
        file = program[name]
        stored = next(generate_frames(dcmread(file.path).PixelData, number_of_frames=1))
        for accepted in ((media_type,), ((media_type[0], "*"),), (("image/*", "*"),)):
            (frame,) = client.retrieve_instance_frames(*_uids(file), frame_numbers=[1], media_types=accepted)
            assert frame == stored, (name, accepted)
        for native in (None, ("application/octet-stream",), ("application/octet-stream", media_type)):
            (frame,) = client.retrieve_instance_frames(*_uids(file), frame_numbers=[1], media_types=native)
            assert frame in (_native(file), stored), (name, native)


def retrieves_rendered_objects(program: Program) -> None:
    ct, client = program["ct"], program.client
    ways: tuple[Callable[..., bytes], ...] = (
        lambda **wish: client.retrieve_series_rendered(ct.study_uid, ct.series_uid, **wish),
        lambda **wish: client.retrieve_instance_rendered(*_uids(ct), **wish),
        lambda **wish: client.retrieve_instance_frames_rendered(*_uids(ct), frame_numbers=[1], **wish),
    )
    for retrieve in ways:
        assert retrieve().startswith(_PICTURES["image/jpeg"])
        for media_type in ("image/jpeg", "image/png"):
            wish = {"viewport": "64,64", "window": "40,400,linear", "quality": 50}
            picture = retrieve(media_types=(media_type,), params=wish)
            assert picture.startswith(_PICTURES[media_type])
    document = next(file for file in program.samples if file.sop_class_uid == EncapsulatedPDFStorage)
    found = client.retrieve_instance_rendered(*_uids(document), media_types=("application/pdf",))
    assert found.startswith(b"%PDF-")


def retrieves_bulk_data(program: Program) -> None:
    client, ecg = program.client, program["waveform_ecg.dcm"]
    metadata = client.retrieve_instance_metadata(*_uids(ecg))
    address = metadata["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    address = address if "://" in address else f"{client.protocol}://{client.host}:{client.port}{address}"
    value = bytes(dcmread(ecg.path).WaveformSequence[0].WaveformData)
    for retrieve in (client.retrieve_bulkdata, client.iter_bulkdata):
        assert list(retrieve(address)) == [value]
        assert list(retrieve(address, media_types=("application/octet-stream",))) == [value]
        (piece,) = retrieve(address, byte_range=(16, 99))
        assert piece in (value, value[16:100])  # whoever asks for more than one part is given whole parts
    us = program["us"]
    pixels = client.retrieve_instance_metadata(*_uids(us))["7FE00010"]["BulkDataURI"]
    (found,) = client.retrieve_bulkdata(f"{client.protocol}://{client.host}:{client.port}{pixels}")
    assert found == dcmread(us.path).pixel_array.tobytes()


def stores(program: Program) -> None:
    series = CtSeries()
    files = [series.image() for _ in range(3)]
    answer = program.client.store_instances(
        [dcmread(BytesIO(file.content)) for file in files[:2]], study_instance_uid=series.study_uid
    )
    stored = {one.ReferencedSOPInstanceUID for one in answer.ReferencedSOPSequence}
    assert stored == {file.sop_uid for file in files[:2]}
    program.client.store_instances([dcmread(BytesIO(files[2].content))], additional_params={"accept": "*/*"})
    assert len(program.client.search_for_instances(series.study_uid)) == 3
    with pytest.raises(HTTPError, match="409"):
        program.client.store_instances([dcmread(BytesIO(files[0].content))], study_instance_uid="1.2.3")


def deletes(program: Program) -> None:
    client, series = program.client, program.stored_series(4)
    found = _values(client.search_for_instances(series.study_uid), "00080018")
    client.delete_instance(series.study_uid, series.series_uid, found[0])
    assert set(_values(client.search_for_instances(series.study_uid), "00080018")) == set(found[1:])
    client.delete_series(series.study_uid, series.series_uid)
    assert client.search_for_series(series.study_uid) == []
    other = program.stored_series()
    client.delete_study(other.study_uid)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": other.study_uid}) == []
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_study_metadata(other.study_uid)


def knows_the_dictionary(program: Program) -> None:
    assert program.client.lookup_keyword("00100010") == "PatientName"
    assert program.client.lookup_tag("PatientName") == "00100010"


def streams_in_pieces(program: Program) -> None:
    client = program.client
    client.set_chunk_size(1000)
    try:
        assert {ds.SOPInstanceUID for ds in client.iter_series(*_uids(program["ct"])[:2])}
    finally:
        client.set_chunk_size(10**6)


def tries_again(program: Program) -> None:
    client = program.client
    client.set_http_retry_params(max_attempts=2, wait_exponential_multiplier=1)
    try:
        assert client.search_for_studies(limit=1)
    finally:
        client.set_http_retry_params(retry=False)


DONE_BY: Mapping[str, Callable[[Program], None]] = {
    "search_for_studies": searches_for_studies,
    "search_for_series": searches_for_series,
    "search_for_instances": searches_for_instances,
    "retrieve_study": retrieves_objects,
    "iter_study": retrieves_objects,
    "retrieve_series": retrieves_objects,
    "iter_series": retrieves_objects,
    "retrieve_instance": retrieves_an_instance,
    "retrieve_study_metadata": retrieves_metadata,
    "retrieve_series_metadata": retrieves_metadata,
    "retrieve_instance_metadata": retrieves_metadata,
    "retrieve_instance_frames": retrieves_frames,
    "iter_instance_frames": retrieves_frames,
    "retrieve_series_rendered": retrieves_rendered_objects,
    "retrieve_instance_rendered": retrieves_rendered_objects,
    "retrieve_instance_frames_rendered": retrieves_rendered_objects,
    "retrieve_bulkdata": retrieves_bulk_data,
    "iter_bulkdata": retrieves_bulk_data,
    "store_instances": stores,
    "delete_study": deletes,
    "delete_series": deletes,
    "delete_instance": deletes,
    "lookup_keyword": knows_the_dictionary,
    "lookup_tag": knows_the_dictionary,
    "set_chunk_size": streams_in_pieces,
    "set_http_retry_params": tries_again,
}
"""What every public method of the client is shown to do here; a method that a later client brings is missing."""


def _native(file: SampleFile) -> bytes:
    """Return the first frame decompressed, by a decoder that is not the gateway's pipeline."""
    ds = dcmread(file.path)
    if file.transfer_syntax in (JPEGLSLossless, JPEGBaseline8Bit):
        stored = next(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1))))
        decode = imagecodecs.jpegls_decode if file.transfer_syntax == JPEGLSLossless else imagecodecs.jpeg_decode
        return np.ascontiguousarray(decode(stored)).tobytes()
    frames = ds.pixel_array
    return (frames[0] if int(ds.get("NumberOfFrames", 1)) > 1 else frames).tobytes()


def test_every_method_of_the_client_is_here() -> None:
    methods = inspect.getmembers(DICOMwebClient, inspect.isfunction)
    assert {name for name, _ in methods if not name.startswith("_")} == set(DONE_BY)


@pytest.mark.parametrize("check", list(dict.fromkeys(DONE_BY.values())), ids=lambda check: check.__name__)
def test_the_client(program: Program, check: Callable[[Program], None]) -> None:
    check(program)
