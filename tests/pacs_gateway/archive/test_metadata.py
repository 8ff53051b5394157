"""Metadata against a slow reference: what pydicom's own JSON conversion makes of the same elements."""

import io
import json
import struct
import warnings
import zlib
from base64 import b64encode
from pathlib import Path

import orjson
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacs_gateway.archive.metadata import metadata_json, read_header
from pacs_gateway.archive.stored import ReaderFile
from pacs_gateway.domain.part10 import FileMeta, encode_head
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.storage.store import ObjectReader

ROOT = "https://gateway.example/instances/1/bulkdata"
BINARY_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
Json = dict[str, object]

FILES = sorted(
    path
    for folder in ("test_files", "charset_files")
    for path in (Path(pydicom.__file__).parent / "data" / folder).rglob("*")
    if path.is_file() and path.suffix not in {".py", ".pyc", ".txt"}
)
# No DICOM files, or cut short, so that a large value ends behind the end of the file.
UNREADABLE = {"README", "no_meta.dcm", "rtplan.dump", "rtstruct.dump", "test1.json", "test_PN.json", "zipMR.gz"}
VRS = (
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW", "PN",
    "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV", "XX",
)  # fmt: skip
TEXT_VRS = ("AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT")
ENCODED_VRS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
CHARACTER_SETS = (
    "", "ISO_IR 100", "ISO_IR 144", "ISO_IR 192", "GB18030", "ISO_IR 13", "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "ISO-IR 100", "no such set",
)  # fmt: skip
DEEP = 200


class _Memory(ObjectReader):
    """An object held in memory, read like a stored one."""

    def __init__(self, content: bytes) -> None:
        super().__init__(len(content))
        self._content = content

    def _read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def _header(content: bytes, *, defer: bool = True) -> Dataset:
    return read_header(io.BufferedReader(ReaderFile(_Memory(content))), defer=defer)


def _metadata(header: Dataset) -> Json:
    decoded: Json = json.loads(metadata_json(header, transfer_syntax_uid=ExplicitVRLittleEndian, bulk_root=ROOT))
    return decoded


def _reference(dataset: Dataset, uri: str) -> Json:
    """Return what pydicom makes of each element, with bulk data by reference."""
    body: Json = {}
    for tag in sorted(dataset.keys()):
        if tag.group != 0x7FE0 and tag.element != 0:
            try:
                body[f"{tag:08X}"] = _reference_element(dataset, tag, f"{uri}{tag:08X}")
            except Exception:  # what pydicom cannot convert has no place in the metadata
                continue
    if "00080005" in body or uri == f"{ROOT}/":
        body["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return body


def _reference_element(dataset: Dataset, tag: BaseTag, uri: str) -> Json:
    element = dataset[tag]
    if element.VR == "SQ":
        items = [_reference(item, f"{uri}/{n}/") for n, item in enumerate(element.value)]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in BINARY_VRS and isinstance(element.value, bytes) and len(element.value) > 1024:
        return {"vr": element.VR, "BulkDataURI": uri}
    encoded: Json = json.loads(orjson.dumps(element.to_json_dict(None, 0)))
    if isinstance(encoded.get("Value"), list):
        encoded["Value"] = [_without_empty(value) for value in encoded["Value"]]  # type: ignore[attr-defined] # a list
    return encoded


def _without_empty(value: object) -> object:
    """Apply what PS3.18 F.2.2 and F.2.5 say of empty name groups and values, and pydicom does not do."""
    if isinstance(value, dict):
        value = {kind: group for kind, group in value.items() if group}
    return None if value in ("", {}) else value


def _expected(content: bytes) -> Json:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = _reference(_header(content, defer=False), f"{ROOT}/")
    body["00083002"] = {"vr": "UI", "Value": [ExplicitVRLittleEndian]}
    return dict(sorted(body.items()))


def _element(tag: int, vr: str, value: bytes, *, order: str = "<") -> bytes:
    if vr in LONG_VRS:
        return struct.pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def _implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def _item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _file(*elements: bytes, syntax: str = ExplicitVRLittleEndian) -> bytes:
    return encode_head(FileMeta("1.2.840.10008.5.1.4.1.1.7", "1.2.3", syntax)) + b"".join(elements)


def _values(element: bytes, *, charset: str = "") -> object:
    """Return the one attribute made of an element of tag (0011,1010)."""
    return _metadata(_header(_file(_element(0x00080005, "CS", charset.encode()), element))).get("00111010")


def _agree(content: bytes) -> None:
    """Check that each attribute is as pydicom has it; what pydicom makes nothing of may be there or not."""
    found, expected = _metadata(_header(content)), _expected(content)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_test_file_of_pydicom_gives_what_pydicom_gives(path: Path) -> None:
    content = path.read_bytes()
    if path.name in UNREADABLE:
        with pytest.raises(InvalidInstanceError):
            _header(content)
        return
    found, expected = _metadata(_header(content)), _expected(content)
    for key in expected | found:
        assert found.get(key) == expected.get(key), key
    assert list(found) == list(expected)


def _plain(value: bytes) -> bytes:
    """Return ASCII: other text is read by ``CharacterSet``, which sees more than what is declared."""
    return bytes(byte & 0x7F for byte in value).replace(b"\x1b", b"")


@given(st.sampled_from(VRS), st.binary(max_size=40), st.sampled_from(CHARACTER_SETS))
def test_any_bytes_under_any_vr_give_what_pydicom_gives(vr: str, value: bytes, charset: str) -> None:
    value = _plain(value) if vr in ENCODED_VRS else value
    _agree(_file(_element(0x00080005, "CS", charset.encode()), _element(0x00111010, vr, value)))


@given(st.sampled_from(VRS), st.binary(max_size=40))
def test_any_bytes_in_big_endian_give_what_pydicom_gives(vr: str, value: bytes) -> None:
    value = _plain(value) if vr in ENCODED_VRS else value
    _agree(_file(_element(0x00111010, vr, value, order=">"), syntax=ExplicitVRBigEndian))


@given(
    st.sampled_from((0x00080008, 0x00100010, 0x00180050, 0x00280009, 0x00280106, 0x00281101, 0x00282000, 0x00091001)),
    st.binary(max_size=40),
    st.booleans(),
)
def test_any_bytes_without_a_vr_give_what_pydicom_gives(tag: int, value: bytes, is_signed: bool) -> None:
    value = _plain(value) if tag == 0x00100010 else value
    elements = {0x00280103: bytes((is_signed, 0)), 0x00090010: b"SPI", tag: value}
    _agree(
        _file(*(_implicit(each, content) for each, content in sorted(elements.items())), syntax=ImplicitVRLittleEndian)
    )


@given(st.sampled_from(("DS", "IS")), st.text("0123456789+-.eE \\naif_", max_size=30))
def test_numbers_written_as_text_give_what_pydicom_gives(vr: str, text: str) -> None:
    _agree(_file(_element(0x00111010, vr, text.encode())))


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("CS", b"A\\\\B ", ["A", None, "B"]),
        ("DS", b"1.5\\\\-2 ", [1.5, None, -2.0]),
        ("IS", b"\\7\\ 1.0", [None, 7, 1]),
        ("PN", b"A^B==D\\\\=E", [{"Alphabetic": "A^B", "Phonetic": "D"}, None, {"Ideographic": "E"}]),
        ("UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        ("LT", b"a\\b ", ["a\\b"]),
        ("AT", b"\x08\x00\x05\x00\x18\x00\x50\x00", ["00080005", "00180050"]),
        ("SS", b"\xff\xff\x02\x00", [-1, 2]),
        ("UV", b"\xff" * 8, [2**64 - 1]),
        ("FD", struct.pack("<3d", 0.1, float("nan"), float("-inf")), [0.1, None, None]),
        ("FL", struct.pack("<f", 0.5), [0.5]),
    ],
)  # fmt: skip
def test_values_follow_the_json_model(vr: str, value: bytes, expected: list[object]) -> None:
    assert _values(_element(0x00111010, vr, value)) == {"vr": vr, "Value": expected}


@pytest.mark.parametrize(
    ("vr", "value"),
    [(vr, b"") for vr in VRS if vr != "XX"] + [(vr, blank) for vr in TEXT_VRS for blank in (b"  ", b"\0\0")],
)
def test_an_element_without_a_value_has_only_its_vr(vr: str, value: bytes) -> None:
    assert _values(_element(0x00111010, vr, value)) == {"vr": vr}


def test_a_large_value_that_is_not_read_has_one_vr() -> None:
    content = _file(_implicit(0x00283006, bytes(70_000)), syntax=ImplicitVRLittleEndian)
    assert _metadata(_header(content))["00283006"] == {"vr": "OW", "BulkDataURI": f"{ROOT}/00283006"}


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("ISO_IR 100", b"Fran\xe7ois", "François"),
        ("ISO_IR 192", "Nguyễn".encode(), "Nguyễn"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        ("GB18030", "王小东".encode("gb18030"), "王小东"),
        ("ISO_IR 100", "Nguyễn".encode(), "Nguyễn"),
        ("ISO_IR 100", b"Nguy\xd4n V\xa8n", "Nguyễn Văn"),
        ("", "Nguyeãn Vaên".encode("latin-1"), "Nguyễn Văn"),
    ],
)
def test_text_becomes_utf_8(charset: str, raw: bytes, text: str) -> None:
    assert _values(_element(0x00111010, "LO", raw), charset=charset) == {"vr": "LO", "Value": [text]}
    assert _values(_element(0x00111010, "PN", raw), charset=charset) == {"vr": "PN", "Value": [{"Alphabetic": text}]}


def test_text_is_read_in_the_set_of_its_device_where_it_declares_none_of_use() -> None:
    inner = _element(0x00111010, "LO", b"Ho\xe0ng")
    item = _item(inner) + _item(_element(0x00080005, "CS", b"ISO_IR 109") + inner)
    header = _header(_file(_element(0x00080005, "CS", b"ISO_IR 100"), inner, _element(0x00400275, "SQ", item)))
    body = json.loads(metadata_json(header, transfer_syntax_uid=ExplicitVRLittleEndian, bulk_root=ROOT, charset="VNI"))
    assert body["00111010"]["Value"] == ["Hồng"]
    assert [one["00111010"]["Value"] for one in body["00400275"]["Value"]] == [["Hồng"], ["Hoàng"]]


@pytest.mark.parametrize("vr", ["LT", "ST", "UT"])
def test_paragraphs_keep_their_lines(vr: str) -> None:
    assert _values(_element(0x00111010, vr, "  một\r\n hai ".encode())) == {"vr": vr, "Value": ["  một\r\n hai"]}


def test_an_item_with_a_character_set_of_its_own_becomes_utf_8_too() -> None:
    item = _element(0x00080005, "CS", b"ISO_IR 192") + _element(0x00111010, "LO", "Nguyễn".encode())
    other = _element(0x00111010, "LO", b"Fran\xe7ois")
    header = _header(
        _file(_element(0x00080005, "CS", b"ISO_IR 100"), _element(0x00400275, "SQ", _item(item) + _item(other)))
    )
    assert _metadata(header)["00400275"] == {
        "vr": "SQ",
        "Value": [
            {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, "00111010": {"vr": "LO", "Value": ["Nguyễn"]}},
            {"00111010": {"vr": "LO", "Value": ["François"]}},
        ],
    }


def test_group_lengths_and_the_pixel_group_are_left_out() -> None:
    content = _file(
        _element(0x00100000, "UL", bytes(4)),
        _element(0x00100020, "LO", b"SYN-1 "),
        _element(0x7FE00001, "OB", bytes(2)),
        _element(0x7FE00010, "OW", bytes(4096)),
    )
    assert list(_metadata(_header(content))) == ["00080005", "00083002", "00100020"]


@pytest.mark.parametrize(("size", "is_inline"), [(2, True), (1024, True), (1026, False), (64 * 1024 + 2, False)])
def test_binary_values_travel_inline_or_by_a_reference(size: int, is_inline: bool) -> None:
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)
    content = _file(_element(0x00420011, "OB", value))
    found = _metadata(_header(content))["00420011"]
    if is_inline:
        assert found == {"vr": "OB", "InlineBinary": b64encode(value).decode()}
    else:
        assert found == {"vr": "OB", "BulkDataURI": f"{ROOT}/00420011"}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_large_sequence_is_part_of_the_metadata_and_its_bulk_data_has_a_nested_path(syntax: str) -> None:
    value = bytes(70_000)
    if syntax == ImplicitVRLittleEndian:
        data_set = _implicit(0x54000100, _item(b"") + _item(_implicit(0x54001010, value)))
        data_set += _implicit(0x00420011, value)
    else:
        data_set = _element(0x54000100, "SQ", _item(b"") + _item(_element(0x54001010, "OW", value)))
        data_set += _element(0x00420011, "OB", value)
    if syntax == DeflatedExplicitVRLittleEndian:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data_set = deflate.compress(data_set) + deflate.flush()
    content = _file(data_set, syntax=syntax)
    found = _metadata(_header(content))
    assert found["00420011"] == {"vr": "OB", "BulkDataURI": f"{ROOT}/00420011"}
    reference: Json = {"vr": "OW", "BulkDataURI": f"{ROOT}/54000100/1/54001010"}
    assert found["54000100"] == {"vr": "SQ", "Value": [{}, {"54001010": reference}]}


def test_one_bad_value_does_not_hide_the_rest() -> None:
    elements = [
        _element(0x00100020, "LO", b"SYN-1 "),
        _element(0x00280010, "US", b"123"),
        _element(0x00111010, "IS", b"9" * 400),
        _element(0x00111011, "IS", b"1e300"),
        _element(0x00111012, "DS", b"twelve"),
        _element(0x00111013, "XX", b"what"),
        _element(0x00111014, "UI", b"1.2.3\0"),
    ]
    found = _metadata(_header(_file(*elements)))
    assert found["00100020"] == {"vr": "LO", "Value": ["SYN-1"]}
    assert found["00111014"] == {"vr": "UI", "Value": ["1.2.3"]}
    assert not {"00111010", "00111011", "00111013"} & set(found)


def test_a_made_up_character_set_cannot_make_text_that_is_no_text() -> None:
    elements = [
        _element(0x00080005, "CS", b"unicode_escape"),
        _element(0x00100010, "PN", b"\\ud800"),
        _element(0x00100020, "LT", b"\\ud800"),
        _element(0x00100040, "CS", b"O "),
    ]
    assert _metadata(_header(_file(*elements)))["00100040"] == {"vr": "CS", "Value": ["O"]}


def test_sequences_nested_beyond_reason_are_cut() -> None:
    content = b""
    for _ in range(DEEP):
        content = _element(0x00400275, "SQ", _item(content))
    depth, found = 0, _metadata(_header(_file(content)))
    while "00400275" in found:
        (found,) = found["00400275"]["Value"]  # type: ignore[index] # JSON of the shape made above
        depth += 1
    assert depth == 64


@given(st.binary(max_size=300), st.sampled_from((ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)))
def test_hostile_data_sets_are_metadata_or_refused(data_set: bytes, syntax: str) -> None:
    try:
        header = _header(_file(data_set, syntax=syntax))
    except InvalidInstanceError:
        return
    assert _metadata(header)["00083002"]
