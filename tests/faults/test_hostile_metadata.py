"""Metadata of a store that are made to cost or to fetch something: refused, and no process grows (promises B8, B15)."""

from collections.abc import Iterator, Mapping
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread

from tests.support import dicomweb
from tests.support.memory import flat_memory
from tests.support.metadata_store import DICOM_JSON, SentPart, metadata, post, taken_apart
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.synthetic_ct import encoded, make_ct

pytestmark = pytest.mark.xdist_group("hostile-metadata")

DICOM_XML = "application/dicom+xml"
_MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path_factory.mktemp("metadata"), settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        described, parts = taken_apart(dcmread(BytesIO(encoded(make_ct(16)))))
        assert post(client, [metadata(described), *parts]).status_code == httpx.codes.OK
        yield client


_XML_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>'
_LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
BODIES: Mapping[str, tuple[str, bytes]] = {
    "lists in one another": (DICOM_JSON, b"[" * 100_000 + b"]" * 100_000),
    "objects in one another": (DICOM_JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "sequences in one another": (
        DICOM_JSON,
        b'{"00400275":{"vr":"SQ","Value":[' * 900 + b"{}" + b"]}}" * 900,
    ),
    "a part of 17 MiB": (DICOM_JSON, b"[" + b" " * (17 * _MIB) + b"]"),
    "millions of empty lists": (DICOM_JSON, b"[" + b"[]," * (5 * _MIB) + b"[]]"),
    "millions of empty objects": (DICOM_JSON, b"[" + b"{}," * (5 * _MIB) + b"{}]"),
    "millions of numbers": (
        DICOM_JSON,
        b'[{"00280030":{"vr":"DS","Value":[' + b"1," * (7 * _MIB) + b"1]}}]",
    ),
    "a number of a million digits": (DICOM_JSON, b'[{"00280010":{"vr":"US","Value":[' + b"9" * _MIB + b"]}}]"),
    "a million keys": (
        DICOM_JSON,
        b"[{" + b",".join(b'"%08X":{"vr":"LO"}' % n for n in range(0x90000, 0x90000 + 500_000)) + b"}]",
    ),
    "hundreds of thousands of keys": (
        DICOM_JSON,
        b"[{" + b",".join(b'"%08X":{"vr":"LO"}' % n for n in range(0x90000, 0x90000 + 140_000)) + b"}]",
    ),
    "more instances than a body may have": (DICOM_JSON, b"[" + b"{}," * 10_000 + b"{}]"),
    "one key twice": (DICOM_JSON, b'[{"00080018":{"vr":"UI","Value":["1.2"]},"00080018":{"vr":"UI","Value":["1.3"]}}]'),
    "not a number": (DICOM_JSON, b'[{"00280030":{"vr":"DS","Value":[NaN, Infinity]}}]'),
    "lone surrogates": (DICOM_JSON, b'[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"\\ud800"}]}}]'),
    "no text at all": (DICOM_JSON, b"\xff\xfe\x00"),
    "entities in one another": (
        DICOM_XML,
        _XML_HEAD + b'<!DOCTYPE x [<!ENTITY l0 "lol">' + _LAUGHS + b"]><NativeDicomModel>&l9;</NativeDicomModel>",
    ),
    "an entity of a file": (
        DICOM_XML,
        _XML_HEAD + b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><NativeDicomModel>&f;</NativeDicomModel>',
    ),
    "a document type elsewhere": (
        DICOM_XML,
        _XML_HEAD + b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><NativeDicomModel/>',
    ),
    "an entity of parameters": (
        DICOM_XML,
        _XML_HEAD + b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]><NativeDicomModel/>',
    ),
    "elements in one another": (DICOM_XML, _XML_HEAD + b"<Item>" * 500_000),
    "millions of elements": (
        DICOM_XML,
        _XML_HEAD + b"<NativeDicomModel>" + b"<a/>" * (3 * _MIB) + b"</NativeDicomModel>",
    ),
    "a name without end": (DICOM_XML, _XML_HEAD + b"<" + b"a" * (15 * _MIB)),
    "a value of 15 MiB": (
        DICOM_XML,
        _XML_HEAD
        + b'<NativeDicomModel><DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><Value number="1">'
        + b"x" * (15 * _MIB)
        + b"</Value></DicomAttribute></NativeDicomModel>",
    ),
    "a byte order mark of UTF-32": (DICOM_XML, "<NativeDicomModel/>".encode("utf-32")),
}


@pytest.mark.parametrize("name", BODIES)
def test_no_metadata_are_a_fault_and_none_make_a_process_grow(
    gateway: RunningGateway, client: httpx.Client, name: str
) -> None:
    kind, content = BODIES[name]
    with flat_memory(gateway):
        answer = post(client, [SentPart(kind, content)], kind=kind)
    assert 400 <= answer.status_code < 500, name
    assert "lol" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "../../../../etc/passwd",
        "http://127.0.0.1:9/",
        "{gateway}/metrics",
        "//127.0.0.1:9/x",
        "data:application/octet-stream;base64,AAAA",
        "",
        "bulk/\x00",
        "x" * 100_000,
    ],
    ids=lambda uri: ascii(uri[:20]),
)
def test_bulk_data_are_of_the_same_request_or_of_nowhere(
    gateway: RunningGateway, client: httpx.Client, uri: str
) -> None:
    ds = dcmread(BytesIO(encoded(make_ct(8))))
    described, parts = taken_apart(ds)
    described["7FE00010"] = {"vr": "OW", "BulkDataURI": uri.format(gateway=gateway.url)}

    answer = post(client, [metadata(described), *parts])

    assert answer.status_code == httpx.codes.CONFLICT
    assert dicomweb.search(client, "/instances", StudyInstanceUID=str(ds.StudyInstanceUID)) == []
