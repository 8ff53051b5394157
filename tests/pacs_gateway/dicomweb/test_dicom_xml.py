"""The Native DICOM Model: DCMTK's own documents, round trips, and what strangers may send."""

import json
import subprocess
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_gateway.archive.metadata import metadata_json, read_header
from pacs_gateway.dicomweb import dicom_xml
from pacs_gateway.dicomweb.dicom_json import Element, JsonObject
from pacs_gateway.dicomweb.dicom_xml_reader import decode
from pacs_gateway.errors import GatewayError, InvalidMessageError

FILES = Path(pydicom.data.__file__).parent / "test_files"
HEAD = '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'


def _model(inside: str, head: str = HEAD) -> bytes:
    return f"{head}{inside}</NativeDicomModel>".encode()


def _attribute(inside: str, vr: str = "LO", tag: str = "00100020", more: str = "") -> bytes:
    return _model(f'<DicomAttribute tag="{tag}" vr="{vr}" {more}>{inside}</DicomAttribute>')


SAMPLE: JsonObject = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
    "00090010": {"vr": "LO", "Value": ['ACME & "Sons"']},
    "00091001": {"vr": "LO", "Value": ["<b>"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Văn^Đức", "Ideographic": "阮^^文"}, None]},
    "00100020": {"vr": "LO"},
    "00104000": {"vr": "LT", "Value": ["  one\r\ntwo\tthree"]},
    "00180050": {"vr": "DS", "Value": [2.5, 40, None]},
    "00200013": {"vr": "IS", "Value": [7]},
    "00280010": {"vr": "US", "Value": [512]},
    "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}, {}]},
    "00420011": {"vr": "OB", "BulkDataURI": "/dicom-web/x?a=1&b=2"},
    "00420012": {"vr": "OB", "InlineBinary": "AAECAw=="},
}


def test_an_object_comes_back_as_it_went() -> None:
    assert decode(dicom_xml.encode(SAMPLE)) == SAMPLE


def test_names_are_told_by_their_components() -> None:
    document = dicom_xml.encode(SAMPLE).decode()
    assert "<Alphabetic><FamilyName>Nguyễn</FamilyName><GivenName>Văn</GivenName>" in document
    assert "<Ideographic><FamilyName>阮</FamilyName><MiddleName>文</MiddleName></Ideographic>" in document
    assert 'tag="00100010" vr="PN" keyword="PatientName"' in document
    assert 'tag="00090001" vr="LO" privateCreator="ACME &amp; &quot;Sons&quot;"' in document


_TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1).filter(
    lambda text: text == text.strip()
)
_ELEMENTS: st.SearchStrategy[Element] = st.one_of(
    st.builds(lambda v: {"vr": "LO", "Value": [*v, "x"]}, st.lists(st.none() | _TEXTS)),
    st.builds(
        lambda v: {"vr": "FD", "Value": v}, st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)
    ),
    st.builds(lambda v: {"vr": "SL", "Value": v}, st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1)),
    st.builds(lambda v: {"vr": "UT", "Value": [v]}, _TEXTS),
)
_OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(["00081030", "00180050", "00400310"]), _ELEMENTS),
    lambda inner: st.builds(lambda items: {"00400275": {"vr": "SQ", "Value": items}}, st.lists(inner, min_size=1)),
    max_leaves=8,
)


@given(_OBJECTS)
def test_any_object_comes_back_as_it_went(data_set: JsonObject) -> None:
    assert decode(dicom_xml.encode(data_set)) == data_set


def test_what_xml_cannot_say_becomes_a_space() -> None:
    report: JsonObject = {"0040A160": {"vr": "UT", "Value": ["page 1\x0cpage 2\x00\ud800\x1b"]}}
    assert decode(dicom_xml.encode(report))["0040A160"]["Value"] == ["page 1 page 2"]


@pytest.mark.parametrize("path", sorted(FILES.glob("*.dcm")), ids=lambda path: path.name)
def test_the_metadata_of_every_file_of_pydicom_come_back(path: Path) -> None:
    try:
        with path.open("rb") as file:
            blob = metadata_json(read_header(file, defer=True), transfer_syntax_uid="1.2", bulk_root="/b")
    except GatewayError:
        pytest.skip("no data set")
    data_set = json.loads(blob)
    assert _plain(decode(dicom_xml.encode(data_set))) == _plain(data_set)


def _plain(value: object) -> object:
    """Return JSON without what need not come back: spaces around texts, empty components of names, one empty value."""
    if isinstance(value, str):
        return value.strip().rstrip("^")
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        plain = {name: _plain(one) for name, one in value.items()}
        return {name: one for name, one in plain.items() if one not in ("", [None], [{}])}
    return value


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "MR_small.dcm"])
def test_documents_of_dcmtk_are_read(name: str) -> None:
    command = ["dcm2xml", "--native-format", "--use-xml-namespace", "--encode-base64", str(FILES / name)]
    document = subprocess.run(command, check=True, capture_output=True).stdout
    ds = Dataset.from_json(decode(document), lambda *_: b"")
    expected = dcmread(FILES / name)
    assert (ds.SOPInstanceUID, str(ds.PatientName)) == (expected.SOPInstanceUID, str(expected.PatientName))
    private = {element.tag: element.VR for element in expected if element.tag.is_private}
    assert {tag: ds[tag].VR for tag in private if tag.element != 0} == {t: v for t, v in private.items() if t.element}


@pytest.mark.parametrize("head", [HEAD, "<NativeDicomModel>", '<a:NativeDicomModel xmlns:a="http://other/">'])
def test_the_model_is_known_with_its_namespace_or_without_any(head: str) -> None:
    document = _model("", head)
    if ":a" in head:
        document = document.replace(b"</", b"</a:")
        with pytest.raises(InvalidMessageError):
            decode(document)
    else:
        assert decode(document) == {}


def test_what_should_be_a_number_and_is_none_stays_text() -> None:
    for vr, text in (("IS", "seven"), ("DS", "NaN"), ("FD", "inf"), ("US", "9" * 40)):
        assert decode(_attribute(f'<Value number="1"> {text} </Value>', vr))["00100020"]["Value"] == [text]


def test_values_left_out_between_others_are_empty() -> None:
    values = '<Value number="1">a</Value><Value number="4">b</Value>'
    assert decode(_attribute(values))["00100020"]["Value"] == ["a", None, None, "b"]
    assert decode(_attribute('<Value number="1"/>')) == {"00100020": {"vr": "LO"}}


def test_private_attributes_get_the_block_of_their_creator() -> None:
    document = _model(
        '<DicomAttribute tag="00090001" vr="LO" privateCreator="A"><Value number="1">1</Value></DicomAttribute>'
        '<DicomAttribute tag="00090001" vr="LO" privateCreator="B"><Value number="1">2</Value></DicomAttribute>'
        '<DicomAttribute tag="00093302" vr="LO" privateCreator="C"><Value number="1">3</Value></DicomAttribute>'
    )
    found = decode(document)
    assert [found[tag]["Value"] for tag in ("00090010", "00090011", "00090033")] == [["A"], ["B"], ["C"]]
    assert [found[tag]["Value"] for tag in ("00091001", "00091101", "00093302")] == [["1"], ["2"], ["3"]]


_DEEP = '<DicomAttribute tag="00400275" vr="SQ"><Item number="1">'
_LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(f'<!ENTITY a{n} "&a;&a;&a;">' for n in range(9)) + "]>"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no XML",
        _model("")[:-3],
        (_LAUGHS + HEAD + "&a8;</NativeDicomModel>").encode(),
        b'<!DOCTYPE NativeDicomModel SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        _model("&unknown;"),
        b'<?xml version="1.0" encoding="shift_jis"?>' + _model(""),
        b'<?xml version="1.0" encoding="hex"?>' + _model(""),
        b'<?xml version="1.0" encoding="nonsense"?>' + _model(""),
        b"<html/>",
        _model("<script/>"),
        _model("text"),
        _model('<DicomAttribute tag="0010002" vr="LO"/>'),
        _model('<DicomAttribute tag="00100020"/>'),
        _model('<DicomAttribute tag="00100020" vr="LO"/>' * 2),
        _model('<DicomAttribute tag="00100020" vr="LO" privateCreator="A"/>'),
        _attribute("<Value>a</Value>"),
        _attribute('<Value number="0">a</Value>'),
        _attribute('<Value number="2">a</Value><Value number="1">a</Value>'),
        _attribute('<Value number="9999999">a</Value>'),
        _attribute('<Value number="1">a</Value>', "SQ"),
        _attribute('<Value number="1">a</Value>', "PN"),
        _attribute('<Item number="1"/>'),
        _attribute('<Value number="1">a</Value><BulkData uri="x"/>'),
        _attribute('<BulkData uuid="x"/>', "OB"),
        _attribute("<InlineBinary>a*b</InlineBinary>", "OB"),
        _model(_DEEP * 70 + "</Item></DicomAttribute>" * 70),
        _model("".join(f'<DicomAttribute tag="0009{n:04X}" vr="LO" privateCreator="{n}"/>' for n in range(1, 300))),
    ],
    ids=lambda document: document.decode("latin-1")[-60:][:40],
)
def test_what_is_no_model_or_means_harm_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode(document)


def test_sequences_may_nest_as_deep_as_those_of_stored_objects() -> None:
    deep = _DEEP * 64 + '<DicomAttribute tag="00100010" vr="PN"><PersonName number="1"><Alphabetic><FamilyName>X'
    closing = "</FamilyName></Alphabetic></PersonName></DicomAttribute>" + "</Item></DicomAttribute>" * 64
    assert decode(_model(deep + closing))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(document: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode(document)
