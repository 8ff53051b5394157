"""DICOM JSON as an encoded data set: what pydicom reads back, and that whatever comes is encoded or refused."""

import struct
from collections.abc import Iterator, Sequence
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset

from pacs_gateway.dicomweb.composition import compose
from pacs_gateway.dicomweb.json_data_set import BulkPart, data_set
from pacs_gateway.errors import InvalidInstanceError, MismatchError, UnsupportedSyntaxError
from tests.support.builders import image, part10, report


class Lying:
    """Bulk data that lies in memory, by URI."""

    def __init__(self, **parts: Sequence[bytes]) -> None:
        self._parts = parts
        self.transfer_syntax_uid = ""

    def find(self, uri: str) -> list[BulkPart]:
        contents = self._parts.get(uri, ())
        return [BulkPart(n, len(content), self.transfer_syntax_uid) for n, content in enumerate(contents)]

    def stream(self, part: BulkPart) -> Iterator[bytes]:
        (contents,) = self._parts.values()
        yield contents[part.offset]


def encoded(dataset: object, bulk: Lying | None = None) -> bytes:
    return b"".join(data_set(dataset, bulk or Lying()))


def read(encoding: bytes) -> Dataset:
    return read_dataset(BytesIO(encoding), is_implicit_VR=False, is_little_endian=True)


_tags = st.sampled_from(
    ["00080018", "00100010", "00100020", "00280010", "00281050", "00081140", "7FE00010", "00091001"]
)
_vrs = st.sampled_from(["AT", "DS", "FD", "IS", "LO", "LT", "OB", "OW", "PN", "SQ", "SV", "UI", "UN", "UR", "US", "XX"])
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_names = st.dictionaries(st.sampled_from(["Alphabetic", "Phonetic", "x"]), _scalars, max_size=2)
_objects: st.SearchStrategy[object] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(
        _tags | st.text(max_size=8),
        st.fixed_dictionaries(
            {},
            optional={
                "vr": _vrs | _scalars,
                "Value": st.lists(_scalars | _names | inner, max_size=3) | _scalars,
                "InlineBinary": st.sampled_from(["", "AAAA", "AA==", "!"]) | _scalars,
                "BulkDataURI": st.just("bulk") | _scalars,
            },
        )
        | _scalars,
        max_size=4,
    ),
    max_leaves=6,
)


@given(_objects | _scalars)
def test_whatever_comes_is_encoded_or_refused(dataset: object) -> None:
    try:
        encoding = encoded(dataset, Lying(bulk=[b"abc"]))
    except InvalidInstanceError:
        return
    assert len(encoding) % 2 == 0
    assert read(encoding).SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("ds", [image(), report()])
def test_what_pydicom_writes_is_read_back_the_same(ds: Dataset) -> None:
    sent = dcmread(BytesIO(part10(ds)))
    back = read(encoded(sent.to_json_dict()))
    sent.SpecificCharacterSet = "ISO_IR 192"
    assert back.to_json_dict() == sent.to_json_dict()


def test_elements_are_in_order_and_those_of_the_encoding_left_out() -> None:
    lengths = {"vr": "UL", "Value": [1]}
    dataset = {"00100020": {"vr": "LO", "Value": ["b"]}, "00080018": {"vr": "UI", "Value": ["1.2"]}}
    left_out = {"00020010": lengths, "00080000": lengths, "00083002": {"vr": "UI", "Value": ["1.2.3"]}}
    back = read(encoded(dataset | left_out))
    assert list(back.keys()) == [0x00080005, 0x00080018, 0x00100020]


def test_frames_get_a_fragment_each_and_a_table() -> None:
    bulk = Lying(frames=[b"abc", b"defg", b"h"])
    bulk.transfer_syntax_uid = "1.2.840.10008.1.2.5"
    encoding = encoded({"7FE00010": {"vr": "OW", "BulkDataURI": "frames"}}, bulk)
    item = b"\xfe\xff\x00\xe0"
    table = item + struct.pack("<4L", 12, 0, 12, 24)
    fragments = b"".join(item + struct.pack("<L", len(one)) + one for one in (b"abc\0", b"defg", b"h\0"))
    assert encoding.endswith(table + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0")


def test_a_value_too_long_for_its_vr_goes_as_unknown() -> None:
    text = "x" * 70_001
    back = read(encoded({"00080008": {"vr": "CS", "Value": [text]}}))
    assert back.get_item(0x00080008).VR == "UN"
    assert len(back.get_item(0x00080008).value) == 70_002


IDENTITY = {
    tag: {"vr": "UI", "Value": [uid]} for tag, uid in (("00080016", "1.2"), ("00080018", "1.3"), ("0020000D", "1.4"))
}
PIXELS = {
    "00280010": {"vr": "US", "Value": [2]},
    "00280011": {"vr": "US", "Value": [3]},
    "00280100": {"vr": "US", "Value": [16]},
    "7FE00010": {"vr": "OW", "BulkDataURI": "pixels"},
}


def test_pixels_are_as_many_as_the_attributes_say() -> None:
    assert compose(IDENTITY | PIXELS, Lying(pixels=[bytes(12)])).transfer_syntax_uid == "1.2.840.10008.1.2.1"
    with pytest.raises(MismatchError):
        compose(IDENTITY | PIXELS, Lying(pixels=[bytes(11)]))
    with pytest.raises(InvalidInstanceError):
        compose(IDENTITY | PIXELS, Lying())


@pytest.mark.parametrize("syntax", ["1.2.3", "1.2.840.10008.1.2.2", "x"])
def test_an_unknown_encoding_of_pixels_is_not_taken(syntax: str) -> None:
    bulk = Lying(pixels=[b"x"])
    bulk.transfer_syntax_uid = syntax
    with pytest.raises(UnsupportedSyntaxError):
        compose(IDENTITY | PIXELS, bulk)
