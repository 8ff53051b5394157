import struct
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_gateway.errors import InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.decode import codec, decode_frame
from pacs_gateway.imaging.pixels import describe_pixels
from pacs_gateway.imaging.transcode import (
    decompress,
    encode_header,
    native_changes,
    native_description,
    native_length,
    pixel_element,
    pixel_tag,
    pixel_vr,
    swap_words,
)
from tests.pacs_gateway.imaging.samples import (
    BIG,
    LITTLE,
    REFUSED,
    as_received,
    colour_header,
    dicom_paths,
    grey_header,
    image_paths,
    load,
    read,
)

IMPLICIT = "1.2.840.10008.1.2"
_PIXEL_GROUP = 0x7FE0


def _reread(data: bytes) -> Dataset:
    return pydicom.filereader.read_dataset(BytesIO(data), False, True)


def _kept(dataset: Dataset) -> list[DataElement]:
    return [each for each in dataset if each.tag.element and each.tag.group > 2 and each.tag.group != _PIXEL_GROUP]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", dicom_paths(), ids=lambda path: path.name)
def test_every_header_keeps_its_values(path: Path) -> None:
    header, original = read(path, stop_before_pixels=True), read(path, stop_before_pixels=True)
    assert list(_reread(encode_header(header))) == _kept(original)


def _everything() -> Dataset:
    item = Dataset()
    item.RescaleSlope = "1.50"
    inner = Dataset()
    inner.add_new("SelectorATValue", "AT", [0x00100010, 0x00100020])
    inner.add_new("SelectorFDValue", "FD", [1.5, -2.5])
    inner.add_new("SelectorUVValue", "UV", [2**63])
    item.ReferencedImageSequence = [inner, Dataset()]
    header = grey_header(PixelRepresentation=1, PixelPaddingValue=-3, SpecificCharacterSet="ISO_IR 192")
    header.PatientName = "Nguyễn^Văn"
    header.add_new("SelectorOLValue", "OL", struct.pack("<2I", 1, 2))
    header.add_new("SelectorSLValue", "SL", [-70000, 5])
    header.add_new("SelectorFLValue", "FL", [0.5])
    header.ModalityLUTSequence = [item]
    header.add_new(0x00090010, "LO", "ACME")
    header.add_new(0x00091001, "UN", b"\x01\x02\x03\x04")
    return header


def test_big_endian_values_are_swapped_at_every_depth() -> None:
    header = _everything()
    header["SelectorOLValue"].value = struct.pack(">2I", 1, 2)  # pydicom writes the bytes as they are
    again = _reread(encode_header(as_received(header, BIG)))
    assert again == _reread(encode_header(as_received(_everything(), LITTLE)))
    assert again.ModalityLUTSequence[0].ReferencedImageSequence[0].SelectorFDValue == [1.5, -2.5]


def test_explicit_little_endian_comes_out_byte_for_byte() -> None:
    file = BytesIO()
    pydicom.dcmwrite(file, _everything(), implicit_vr=False, little_endian=True)
    assert encode_header(as_received(_everything())) == file.getvalue()


def test_what_was_read_before_encodes_the_same() -> None:
    header = as_received(_everything(), IMPLICIT)
    untouched = encode_header(as_received(_everything(), IMPLICIT))
    assert [header[tag].value for tag in list(header.keys())]
    assert _reread(encode_header(header)) == _reread(untouched)


def test_text_in_no_valid_character_set_passes_through() -> None:
    header = as_received(grey_header(PatientName="A"), IMPLICIT)
    tag = Tag("PatientName")
    header[tag] = RawDataElement(tag, None, 3, b"\xff\xd0\x81", 0, True, True)
    assert b"PN\x04\x00\xff\xd0\x81 " in encode_header(header)


def test_a_value_too_long_for_its_vr_becomes_unknown() -> None:
    header = Dataset()
    tag = Tag("WindowCenter")
    header[tag] = RawDataElement(tag, None, 70000, b"1" * 70000, 0, True, True)
    assert encode_header(header)[4:12] == b"UN\0\0" + struct.pack("<L", 70000)


def test_group_lengths_and_what_belongs_to_the_pixels_are_left_out() -> None:
    header = grey_header()
    header.add_new(0x00280000, "UL", 99)
    header.ExtendedOffsetTable = bytes(8)
    assert _reread(encode_header(header)) == _reread(encode_header(grey_header()))


def test_changes_replace_and_add_elements() -> None:
    header = as_received(colour_header(PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=None))
    again = _reread(encode_header(header, {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}))
    assert (again.PhotometricInterpretation, again.PlanarConfiguration, again.Rows) == ("RGB", 0, 4)
    assert [int(element.tag) for element in again] == sorted(int(element.tag) for element in again)


@pytest.mark.parametrize("depth", [100, 3000])
def test_endless_nesting_is_refused(depth: int) -> None:
    tag = Tag("ReferencedImageSequence")
    value = b""
    for _ in range(depth):
        value = (
            struct.pack("<HHL", 0xFFFE, 0xE000, len(value) + 12)
            + struct.pack("<HH2sHL", tag.group, tag.element, b"SQ", 0, len(value))
            + value
        )
    header = Dataset()
    header[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    with pytest.raises(InvalidInstanceError):
        encode_header(header)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from(["SQ", "US", "UN", "PN", "OW", None]), st.booleans())
def test_no_bytes_crash_the_encoder(value: bytes, vr: str | None, is_little: bool) -> None:
    header = Dataset()
    for keyword in ("ReferencedImageSequence", "Rows", "PatientName", "LUTData"):
        tag = Tag(keyword)
        header[tag] = RawDataElement(tag, vr, len(value), value, 0, vr is None, is_little)
    try:
        encoded = encode_header(header)
    except InvalidInstanceError:
        return
    assert len(encoded) % 2 == 0


@pytest.mark.parametrize(
    ("changes", "vr", "tag"),
    [
        ({}, b"OW", 0x0010),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, b"OB", 0x0010),
        ({"BitsAllocated": 32, "BitsStored": None, "HighBit": None, "PixelRepresentation": None}, b"OF", 0x0008),
        ({"BitsAllocated": 64, "BitsStored": None, "HighBit": None, "PixelRepresentation": None}, b"OD", 0x0009),
    ],
)
def test_the_pixel_element_begins_as_its_vr_asks(changes: dict[str, object], vr: bytes, tag: int) -> None:
    description = describe_pixels(grey_header(**changes), LITTLE)
    assert pixel_element(pixel_tag(description), pixel_vr(description), 48) == struct.pack(
        "<HH2sHL", 0x7FE0, tag, vr, 0, 48
    )
    assert pixel_vr(description) == vr.decode()


def test_pixels_beyond_four_gibibytes_cannot_be_native() -> None:
    description = describe_pixels(grey_header(Rows=8000, Columns=8000, NumberOfFrames=40), LITTLE)
    with pytest.raises(UnsupportedSyntaxError):
        pixel_element(pixel_tag(description), pixel_vr(description), native_length(description))


@pytest.mark.parametrize(
    ("bits", "vr", "expected"),
    [
        (16, "OW", b"\x02\x01\x04\x03\x06\x05\x08\x07"),
        (32, "OW", b"\x04\x03\x02\x01\x08\x07\x06\x05"),
        (64, "OD", b"\x08\x07\x06\x05\x04\x03\x02\x01"),
        (8, "OW", b"\x02\x01\x04\x03\x06\x05\x08\x07"),
        (1, "OW", b"\x02\x01\x04\x03\x06\x05\x08\x07"),
        (8, "OB", b"\x01\x02\x03\x04\x05\x06\x07\x08"),
    ],
)
def test_units_are_swapped_as_the_vr_packs_them(bits: int, vr: str, expected: bytes) -> None:
    assert swap_words(b"\x01\x02\x03\x04\x05\x06\x07\x08", bits, vr) == expected


@pytest.mark.parametrize(
    "path",
    [path for path in image_paths() if path.name not in REFUSED and not codec(load(path).syntax).is_native],
    ids=lambda path: path.name,
)
def test_a_decompressed_object_shows_the_same_picture(path: Path) -> None:
    sample = load(path)
    description = sample.description
    pixels = b"".join(decompress(sample.frames(), description))
    native = native_description(description)
    assert len(pixels) == native_length(native)
    begun = pixel_element(pixel_tag(native), pixel_vr(native), len(pixels))
    whole = encode_header(sample.header, native_changes(description)) + begun + pixels
    again = _reread(whole)
    redescribed = describe_pixels(again, uid.ExplicitVRLittleEndian)
    assert redescribed.photometric_interpretation == native.photometric_interpretation
    length = len(pixels) // description.n_frames
    for index, stored in enumerate(sample.frames()):
        shown = decode_frame(again.PixelData[index * length : (index + 1) * length], redescribed, index=index)
        np.testing.assert_array_equal(shown, decode_frame(stored, description, index=index))


def test_lossless_colour_is_not_converted() -> None:
    header = colour_header(PhotometricInterpretation="YBR_FULL", Rows=2, Columns=2)
    description = describe_pixels(header, uid.JPEGLSLossless)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    stored = b"".join(decompress([bytes(imagecodecs.jpegls_encode(pixels))], description))
    assert stored == pixels.tobytes()
    assert native_changes(description)["PhotometricInterpretation"] == "YBR_FULL"


def test_one_bit_frames_are_packed_without_gaps() -> None:
    frames = np.random.default_rng(3).integers(0, 2, (5, 3, 7), np.uint8)
    header = grey_header(Rows=3, Columns=7, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=5)
    description = describe_pixels(header, "1.2.840.10008.1.2.1.98")
    fragments = [np.packbits(frame.ravel(), bitorder="little").tobytes() for frame in frames]
    packed = b"".join(decompress(fragments, description))
    assert packed == np.packbits(frames.ravel(), bitorder="little").tobytes()
    assert len(packed) == native_length(native_description(description))


@pytest.mark.parametrize("n_given", [0, 1, 3])
def test_a_wrong_number_of_frames_is_refused(n_given: int) -> None:
    description = describe_pixels(grey_header(NumberOfFrames=2), uid.JPEGLSLossless)
    frame = bytes(imagecodecs.jpegls_encode(np.zeros((4, 6), np.uint16)))
    with pytest.raises(InvalidInstanceError, match="frames"):
        list(decompress([frame] * n_given, description))
