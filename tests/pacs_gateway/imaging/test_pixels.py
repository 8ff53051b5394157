import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_gateway.errors import GatewayError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.pixels import FloatKind, describe_pixels, frame_bits, frame_length
from tests.pacs_gateway.imaging.samples import BIG, LITTLE, as_received, colour_header, grey_header


def test_a_plain_image_is_described() -> None:
    description = describe_pixels(grey_header(BitsStored=12, HighBit=11, PixelRepresentation=1), LITTLE)
    assert description.shape == (4, 6)
    assert description.dtype == "int16"
    assert (description.bits_stored, description.high_bit, description.n_frames) == (12, 11, 1)
    assert frame_length(description) == 48


@pytest.mark.parametrize("syntax", [LITTLE, BIG, "1.2.840.10008.1.2"])
def test_what_was_received_is_read_in_every_encoding(syntax: str) -> None:
    received = as_received(colour_header(NumberOfFrames=7), syntax)
    description = describe_pixels(received, syntax)
    assert (description.shape, description.n_frames) == ((4, 6, 3), 7)


def test_reading_leaves_the_header_raw() -> None:
    received = as_received(grey_header())
    describe_pixels(received, LITTLE)
    assert all(isinstance(received.get_item(tag), RawDataElement) for tag in received.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    "keyword", ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"]
)
def test_a_missing_attribute_is_refused_by_name(keyword: str) -> None:
    with pytest.raises(InvalidInstanceError, match=keyword):
        describe_pixels(grey_header(**{keyword: None}), LITTLE)


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"HighBit": 3},
        {"HighBit": 16},
        {"PixelRepresentation": 2},
        {"SamplesPerPixel": 3},
        {"NumberOfFrames": -1},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInstanceError):
        describe_pixels(grey_header(**changes), LITTLE)


def test_a_frame_too_large_to_work_on_is_refused() -> None:
    with pytest.raises(InvalidInstanceError, match="more than"):
        describe_pixels(grey_header(Rows=65535, Columns=65535), LITTLE)


@pytest.mark.parametrize(
    "header",
    [
        grey_header(BitsAllocated=12, BitsStored=12, HighBit=11),
        grey_header(PhotometricInterpretation="HSV", SamplesPerPixel=3),
        colour_header(BitsAllocated=1, BitsStored=1, HighBit=0),
        colour_header(PhotometricInterpretation="CMYK", SamplesPerPixel=4),
    ],
)
def test_kinds_that_cannot_be_shown_are_named_unsupported(header: Dataset) -> None:
    with pytest.raises(UnsupportedSyntaxError):
        describe_pixels(header, LITTLE)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280010, "US", b"\x01"),
        (0x00280010, "US", b""),
        (0x00280010, "DS", b"wide"),
        (0x00280010, "PN", b"\x01\x00"),
        (0x00280008, "IS", b"1A"),
        (0x00280008, "IS", b"\xff\xfe"),
        (0x00280008, "IS", b"9" * 5000),
        (0x00280004, "CS", b"\xe1\xbb\x85"),
        (0x00280004, "CS", b""),
        (0x00280100, "FD", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"),
    ],
)
def test_malformed_values_are_refused_without_being_repeated(tag: int, vr: str, value: bytes) -> None:
    received = as_received(grey_header())
    received[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    if vr == "PN":  # a wrong VR with the right bytes is read as the dictionary says
        assert describe_pixels(received, LITTLE).rows == 1
        return
    with pytest.raises(GatewayError) as refusal:
        describe_pixels(received, LITTLE)
    assert "wide" not in str(refusal.value)
    assert "1A" not in str(refusal.value)


def test_frames_said_to_be_none_are_one() -> None:
    assert describe_pixels(grey_header(NumberOfFrames=0), LITTLE).n_frames == 1


@pytest.mark.parametrize(("bits", "kind"), [(32, FloatKind.FLOAT), (64, FloatKind.DOUBLE)])
def test_floating_point_pixels_are_known_by_what_they_lack(bits: int, kind: FloatKind) -> None:
    header = grey_header(BitsAllocated=bits, BitsStored=None, HighBit=None, PixelRepresentation=None)
    description = describe_pixels(header, LITTLE)
    assert description.float_kind is kind
    assert description.dtype == f"f{bits // 8}"


def test_one_bit_frames_are_counted_in_bits() -> None:
    description = describe_pixels(grey_header(Rows=3, Columns=3, BitsAllocated=1, BitsStored=1, HighBit=0), LITTLE)
    assert (frame_bits(description), frame_length(description)) == (9, 2)


def test_native_422_shares_colour_between_two_pixels() -> None:
    assert frame_length(describe_pixels(colour_header(PhotometricInterpretation="YBR_FULL_422"), LITTLE)) == 48
