"""What one look at received bytes tells: it agrees with pydicom, and refuses what is broken, whatever the breakage."""

import os
import random
import secrets
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pacs_gateway.archive.describe import Description, describe, describe_file
from pacs_gateway.archive.scan import scan
from pacs_gateway.domain.attributes import ATTRIBUTES, BY_KEYWORD
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.domain.part10 import decode_head
from pacs_gateway.domain.values import clean
from pacs_gateway.errors import InputError, InvalidInstanceError, InvalidUidError
from tests.support.builders import (
    N_COLUMNS,
    N_ROWS,
    NATIVE_SYNTAXES,
    Identity,
    dataset,
    encapsulated,
    encode,
    image,
    part10,
    pixels,
    report,
    rle,
)

JPEG = "1.2.840.10008.1.2.4.50"
SCRATCH = Path(gettempdir())
DATA = Path(pydicom.__file__).parent / "data"
FILES = sorted((*DATA.glob("test_files/*.dcm"), *DATA.glob("charset_files/*.dcm")))


@contextmanager
def as_descriptor(data: bytes) -> Iterator[int]:
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def described(encoded: bytes, syntax: str = ExplicitVRLittleEndian) -> Description:
    with as_descriptor(encoded) as fd:
        return describe_file(fd, 0, syntax, scratch=SCRATCH)


def pydicom_text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword, "")
    values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
    text = "\\".join("" if one is None else str(one) for one in values)
    vr = ds[keyword].VR if keyword in ds else ""
    return clean(text.replace(":", "") if vr == "TM" else text.replace(".", "") if vr == "DA" else text)


_NO_HEAD, _NO_UIDS = "not a DICOM Part 10 file", "is missing"
REFUSED = {
    "MR_truncated": "truncated",
    "rtplan_truncated": "truncated",
    "meta_missing_tsyntax": "names no transfer syntax",
    "SC_rgb_jpeg": "no value representation",
    "ExplVR_BigEndNoMeta": _NO_HEAD,
    "ExplVR_LitEndNoMeta": _NO_HEAD,
    "no_meta": _NO_HEAD,
    "rtstruct": _NO_HEAD,
    "chrSQEncoding": _NO_UIDS,
    "chrSQEncoding1": _NO_UIDS,
    "JPEGLSNearLossless_08": _NO_UIDS,
    "JPEGLSNearLossless_16": _NO_UIDS,
    "SC_rgb_jls_lossy_line": _NO_UIDS,
    "SC_rgb_jls_lossy_sample": _NO_UIDS,
    "UN_sequence": _NO_UIDS,
    "empty_charset_LEI": _NO_UIDS,
    "nested_priv_SQ": _NO_UIDS,
    "no_meta_group_length": _NO_UIDS,
    "priv_SQ": _NO_UIDS,
}
"""Why files of pydicom are no objects that can be kept."""


def described_file(file: bytes) -> Description:
    head = decode_head(file)
    assert head is not None
    with as_descriptor(file) as fd:
        return describe_file(fd, head[1], head[0].transfer_syntax_uid, scratch=SCRATCH)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem not in REFUSED], ids=lambda path: path.stem)
def test_every_file_of_pydicom_is_described_as_pydicom_reads_it(path: Path) -> None:
    description = described_file(path.read_bytes())
    not_compared = ("AvailableTransferSyntaxUID", "ImageType")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(path)
        for attribute in ATTRIBUTES:
            if attribute.column is None or attribute.items or attribute.keyword in not_compared:
                continue
            said = description.attributes.get(attribute.keyword, "").rstrip("=")
            if attribute.vr == "IS" and said.strip("+-0123456789") == "":
                said = str(int(said)) if said else ""
            assert said == pydicom_text(ds, attribute.keyword).rstrip("="), attribute.keyword
    assert (description.frames is not None) == ("PixelData" in ds)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in REFUSED], ids=lambda path: path.stem)
def test_files_of_pydicom_that_are_no_whole_objects_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInstanceError, match=REFUSED[path.stem]):
        described_file(path.read_bytes())


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
def test_native_frames_are_where_the_pixels_are(syntax: str) -> None:
    encoded = encode(image(n_frames=3), syntax)
    description = described(encoded, syntax)
    assert description.attributes["PatientName"] == "Nguyễn^Văn^Đức"
    assert description.frames is not None
    assert description.frames.n_frames == 3
    if syntax == DeflatedExplicitVRLittleEndian:
        assert description.frames.kind is FrameKind.DERIVED
        return
    assert description.frames.kind is (FrameKind.SWAP if syntax == ExplicitVRBigEndian else FrameKind.RAW)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    for index, frame in enumerate(pixels(1, 3)):
        ((offset, length),) = description.frames.frame(index)
        assert encoded[offset : offset + length] == frame.astype(order).tobytes()
    assert encoded[description.pixels_offset :].startswith(
        b"\x7f\xe0\x00\x10" if syntax == ExplicitVRBigEndian else b"\xe0\x7f\x10\x00"
    )


def test_single_bit_frames_may_share_a_byte() -> None:
    ds = image(n_frames=3)
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 3, 3, 1, 1, 0
    ds.PixelData = b"\xff\x01\xff\x01"
    table = described(encode(ds)).frames
    assert table is not None
    assert table.kind is FrameKind.BITS
    start = table.frame(0)[0][0]
    assert [(offset - start, length) for ((offset, length),) in map(table.frame, range(3))] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("n_frames", [1, 3])
@pytest.mark.parametrize("n_fragments", [1, 2, 3])
@pytest.mark.parametrize("has_table", [False, True])
def test_encapsulated_frames_are_where_pydicom_finds_them(n_frames: int, n_fragments: int, has_table: bool) -> None:
    frames = [b"\xff\xd8\xff\xe0" + bytes([n]) * (20 + 2 * n) + b"\xff\xd9" for n in range(n_frames)]
    ds = encapsulated(image(), frames, fragments_per_frame=n_fragments, has_table=has_table)
    encoded = encode(ds)
    table = described(encoded, JPEG).frames
    assert table is not None
    assert table.kind is FrameKind.FRAGMENTS
    for index in range(n_frames):
        found = b"".join(encoded[offset : offset + length] for offset, length in table.frame(index))
        assert found == get_frame(ds.PixelData, index, number_of_frames=n_frames)
        assert found.rstrip(b"\0") == frames[index].rstrip(b"\0")


def test_the_extended_offset_table_is_read() -> None:
    frames = [b"\x00" * 10, b"\x01" * 20, b"\x02" * 30]
    encoded = encode(encapsulated(image(), frames, is_extended=True))
    table = described(encoded, JPEG).frames
    assert table is not None
    assert [[encoded[o : o + n] for o, n in table.frame(index)] for index in range(3)] == [[frame] for frame in frames]


def test_a_table_that_lies_is_not_believed() -> None:
    ds = encapsulated(image(), [b"\xff\xd8\xff\xe0abcd"] * 3, fragments_per_frame=2)
    ds.PixelData = ds.PixelData[:12] + struct.pack("<L", 7) + ds.PixelData[16:]
    table = described(encode(ds), JPEG).frames
    assert table is not None
    assert table.kind is FrameKind.FRAGMENTS  # by the codestreams' own beginnings


def test_frames_that_cannot_be_told_apart_are_said_to_be() -> None:
    ds = encapsulated(image(), [b"abcdefgh"] * 3, fragments_per_frame=2, has_table=False)
    table = described(encode(ds), JPEG).frames
    assert table is not None
    assert (table.kind, table.n_frames, table.ranges) == (FrameKind.DERIVED, 3, ())


@pytest.mark.parametrize("frames", ["-5", "0", "999999999999", "abc", "1e9", "9" * 500])
def test_a_hostile_number_of_frames_is_harmless(frames: str) -> None:
    ds = image()
    encoded = encode(ds).replace(b"\x28\x00\x02\x00", b"\x28\x00\x02\x00")
    at = encoded.index(b"\x28\x00\x10\x00US")
    value = frames.encode() + b" " * (len(frames) % 2)
    element = b"\x28\x00\x08\x00IS" + struct.pack("<H", len(value)) + value
    table = described(encoded[:at] + element + encoded[at:]).frames
    assert table is not None
    assert table.n_frames >= 1


# Broken and odd encodings


def borders(encoded: bytes, syntax: str) -> set[int]:
    """Return the ends of top-level elements: a data set cut there is a shorter data set."""
    tags = [element.tag for element in dcmread(DicomBytesIO(part10(image(), syntax, encoded=encoded)))]
    found = scan(
        encoded,
        0,
        implicit=syntax == ImplicitVRLittleEndian,
        big_endian=syntax == ExplicitVRBigEndian,
        wanted=set(tags),
    )
    return {element.start for element in found.elements.values()}


@pytest.mark.parametrize("syntax", [*NATIVE_SYNTAXES, RLELossless])
def test_every_truncation_is_refused(syntax: str) -> None:
    encoded = encode(rle() if syntax == RLELossless else image(), syntax)
    is_deflated = syntax == DeflatedExplicitVRLittleEndian
    whole = set() if is_deflated else borders(encoded, syntax)
    if syntax == RLELossless:
        whole.add(len(encoded) - 8)  # a delimiter that is left out is forgiven
    last = len(encoded) - (1 if is_deflated else 0)  # the byte behind a deflated stream's end may be padding
    with as_descriptor(encoded) as fd:
        for length in range(last - 1, 0, -1):
            if length in whole:
                continue
            os.ftruncate(fd, length)
            with pytest.raises(InvalidInstanceError):
                describe_file(fd, 0, syntax, scratch=SCRATCH)


@pytest.mark.parametrize("syntax", [*NATIVE_SYNTAXES, RLELossless])
def test_damaged_bytes_are_described_or_refused_and_nothing_else(syntax: str) -> None:
    dice = random.Random(syntax)
    sound = encode(rle() if syntax == RLELossless else image(n_frames=2), syntax)
    texts = encode(report(), syntax)
    for n in range(400):
        broken = bytearray(sound if n % 2 else texts)
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(len(broken))] = dice.choice((0, 0xFF, dice.randrange(256)))
        if n % 5 == 0:
            at = dice.randrange(len(broken))
            del broken[at : at + dice.randint(1, 20)]
        refusals: list[str] = []
        try:
            described(bytes(broken), syntax)
        except InputError as refusal:
            refusals.append(str(refusal))
        assert "BN0001" not in "".join(refusals)


def told(encoded: bytes, syntax: str, beginning: bytes) -> Description | str:
    """Return what `encoded` is described or refused as by a reader who holds its `beginning`."""
    with as_descriptor(encoded) as fd:
        try:
            return describe_file(fd, 0, syntax, scratch=SCRATCH, beginning=beginning)
        except InputError as refusal:
            return str(refusal)


@pytest.mark.parametrize("syntax", [*NATIVE_SYNTAXES, RLELossless])
def test_a_beginning_of_any_length_tells_what_the_whole_tells(syntax: str) -> None:
    dice = random.Random(syntax)
    sound = encode(rle() if syntax == RLELossless else image(n_frames=2), syntax)
    for n in range(300):
        data = bytearray(sound)
        if n % 3:
            data[dice.randrange(len(data))] = dice.choice((0, 0xFF, dice.randrange(256)))
        if n % 7 == 0:
            data += bytes(dice.randint(1, 12))
        whole = bytes(data)
        assert told(whole, syntax, whole[: dice.randint(1, len(whole))]) == told(whole, syntax, b"")


def test_a_header_longer_than_what_is_held_is_read_from_the_file() -> None:
    encoded = encode(image())
    assert told(encoded, ExplicitVRLittleEndian, encoded[:200]) == described(encoded)


@pytest.mark.parametrize("syntax", [*NATIVE_SYNTAXES, RLELossless])
def test_a_file_is_described_like_its_bytes_wherever_its_reads_end(syntax: str) -> None:
    """64 KiB are read at first: the head of an element may lie across that border, and elements behind it."""
    ds = rle() if syntax == RLELossless else image()
    ds.SeriesNumber = 77
    expected = described(encode(ds, syntax), syntax)
    for n_bytes in (*range(64 * 1024 - 700, 64 * 1024, 2), 300_000):
        ds[0x00090010] = DataElement(0x00090010, "LO", "PADDING")
        ds[0x00091010] = DataElement(0x00091010, "OB", secrets.token_bytes(n_bytes))
        encoded = encode(ds, syntax)
        padded = described(encoded, syntax)

        assert padded.attributes == expected.attributes
        if syntax != DeflatedExplicitVRLittleEndian:
            assert padded == describe(encoded, 0, syntax)


def test_more_fragments_than_can_be_listed_are_walked_and_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs_gateway.archive.scan._MAX_FRAGMENTS", 3)
    few, many = (encapsulated(image(n_frames=n), [b"ab"] * n) for n in (2, 3))

    tables = [described(encode(ds, RLELossless), RLELossless).frames for ds in (few, many)]

    assert [table and table.kind for table in tables] == [FrameKind.FRAGMENTS, FrameKind.DERIVED]
    with pytest.raises(InvalidInstanceError, match="truncated"):
        described(encode(many, RLELossless)[:-10], RLELossless)


def test_nested_sequences_of_undefined_length_are_walked() -> None:
    nested = report()
    nested.is_undefined_length_sequence_item = False
    for item in (nested["ContentSequence"], nested.ContentSequence[0]["ContentSequence"]):
        item.is_undefined_length = True
    nested.ContentSequence[0].is_undefined_length_sequence_item = True
    nested.SeriesNumber = 77
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        assert described(encode(nested, syntax), syntax).attributes["SeriesNumber"] == "77"


def test_endless_nesting_is_refused() -> None:
    opened = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(InvalidInstanceError, match="deep"):
        describe(encode(dataset()) + opened * 100_000, 0, ExplicitVRLittleEndian)


def test_a_private_element_of_unknown_vr_may_hold_an_implicit_sequence() -> None:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x10\x00\x10\x00\x02\x00\x00\x00AB" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    element = b"\x09\x00\x10\x10UN\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    encoded = encode(dataset())
    at = encoded.index(b"\x10\x00\x10\x00PN")
    assert described(encoded[:at] + element + encoded[at:]).attributes["PatientID"] == "BN0001"


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES[:3])
@pytest.mark.parametrize("n_zeros", [2, 7, 8, 5000])
@pytest.mark.parametrize("is_image", [True, False])
def test_zeros_behind_the_last_element_are_padding(syntax: str, n_zeros: int, is_image: bool) -> None:
    encoded = encode(image() if is_image else report(), syntax)
    assert described(encoded + bytes(n_zeros), syntax) is not None
    with pytest.raises(InvalidInstanceError):
        described(encoded + bytes(n_zeros + 8) + b"\x01", syntax)


def test_zeros_are_looked_at_once() -> None:
    """Eight million bytes of zeros with something at their end are refused at once, not looked at per element."""
    with pytest.raises(InvalidInstanceError):
        described(encode(image(), ImplicitVRLittleEndian) + bytes(8 << 20) + b"\x01", ImplicitVRLittleEndian)


def test_a_delimiter_left_out_behind_the_fragments_is_forgiven() -> None:
    encoded = encode(encapsulated(image(), [b"\xff\xd8\xff\xe0abcd"]))
    assert described(encoded[:-8], JPEG).frames == described(encoded, JPEG).frames


@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("SOPInstanceUID", "", InvalidInstanceError),
        ("SOPClassUID", None, InvalidInstanceError),
        ("StudyInstanceUID", "../../etc", InvalidUidError),
        ("SeriesInstanceUID", "1.2\0.3", InvalidUidError),
        ("SOPInstanceUID", "1.2\\1.3", InvalidUidError),
        ("SOPInstanceUID", "1" * 65, InvalidUidError),
    ],
)
def test_identifiers_must_identify(keyword: str, value: str | None, error: type[InputError]) -> None:
    encoded = encode(dataset())
    element = dcmread(DicomBytesIO(part10(image())))[keyword]
    head = struct.pack("<HH", element.tag.group, element.tag.element) + b"UI"
    at = encoded.index(head)
    (length,) = struct.unpack_from("<H", encoded, at + 6)
    text = (value or "").encode()
    text += b"\0" * (len(text) % 2)
    replacement = b"" if value is None else head + struct.pack("<H", len(text)) + text
    with pytest.raises(error) as refusal:
        described(encoded[:at] + replacement + encoded[at + 8 + length :])
    assert keyword in str(refusal.value)
    assert not value or value not in str(refusal.value)


def test_old_dates_and_times_are_comparable() -> None:
    encoded = encode(image()).replace(b"DA\x08\x0020260102", b"DA\x0a\x002026.01.02")
    encoded = encoded.replace(b"TM\x06\x00081500", b"TM\x08\x0008:15:00")
    attributes = described(encoded).attributes
    assert (attributes["StudyDate"], attributes["StudyTime"]) == ("20260102", "081500")


def test_frames_of_deflated_objects_are_not_in_the_file() -> None:
    description = described(encode(image(), DeflatedExplicitVRLittleEndian), DeflatedExplicitVRLittleEndian)
    assert description.attributes["Rows"] == str(N_ROWS)
    assert description.attributes["Columns"] == str(N_COLUMNS)
    assert description.pixels_offset == len(encode(image(), DeflatedExplicitVRLittleEndian))


def test_texts_are_read_in_the_declared_character_set() -> None:
    one = Identity(charset="ISO 2022 IR 6\\ISO 2022 IR 87", patient_name="Yamada^Tarou=山田^太郎")
    assert described(encode(image(one))).attributes["PatientName"] == "Yamada^Tarou=山田^太郎"


def test_frame_offsets_ascend() -> None:
    table = described(encode(image(n_frames=4))).frames
    assert table is not None
    starts = [table.frame(n)[0][0] for n in range(4)]
    assert all(b - a == N_ROWS * N_COLUMNS * 2 for a, b in pairwise(starts))


def item(**values: str) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def items_of(attributes: Mapping[str, str], keyword: str) -> list[list[str]]:
    return BY_KEYWORD[keyword].item_values(attributes[keyword])


@pytest.mark.parametrize("is_delimited", [True, False])
@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
def test_items_of_sequences_are_described(syntax: str, is_delimited: bool) -> None:
    requests = [item(ScheduledProcedureStepID="S1", RequestedProcedureID="R1"), item(RequestedProcedureID="R2")]
    codes = [item(CodeValue="CT01", CodingSchemeDesignator="99VN", CodeMeaning="CT bụng")]
    ds = image(Identity(extra={"RequestAttributesSequence": requests, "ProcedureCodeSequence": codes}))
    for keyword in ("RequestAttributesSequence", "ProcedureCodeSequence"):
        ds[keyword].is_undefined_length = is_delimited

    attributes = described_file(part10(ds, syntax)).attributes

    assert items_of(attributes, "RequestAttributesSequence") == [["S1", "R1"], ["", "R2"]]
    assert items_of(attributes, "ProcedureCodeSequence") == [["CT01", "99VN", "CT bụng"]]
    assert "OtherPatientIDsSequence" not in attributes


def test_sequences_without_anything_known_or_with_too_much_are_left_out() -> None:
    empty = image(Identity(extra={"RequestAttributesSequence": [item(ReasonForTheRequestedProcedure="pain")]}))
    assert described(encode(empty)).attributes["RequestAttributesSequence"] == ""

    many = [item(ScheduledProcedureStepID=f"S{n}") for n in range(1000)]
    full = image(Identity(extra={"RequestAttributesSequence": many}))
    assert "RequestAttributesSequence" not in described(encode(full)).attributes
