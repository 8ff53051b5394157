"""Data sets leave as stored, in explicit or in implicit little endian: the same elements, the same picture."""

import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive import egress
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.gateway import Gateway
from pacs_gateway.imaging.decode import codec, decode_frame
from pacs_gateway.imaging.pixels import describe_pixels, frame_length
from tests.pacs_gateway.imaging.samples import dicom_paths, load, read
from tests.support.builders import Identity, encode, image, jpeg2000, part10, report, rle
from tests.support.gateways import open_test_gateway, put_file

EXPLICIT, IMPLICIT = egress.EXPLICIT_LITTLE_ENDIAN, egress.IMPLICIT_LITTLE_ENDIAN
UNCOMPRESSED = (EXPLICIT, IMPLICIT)
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_PIXEL_GROUP, _PADDING = 0x7FE0, 0xFFFCFFFC
Path_ = tuple[int, ...]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    with open_test_gateway(tmp_path) as gateway:
        yield gateway


def keep(gateway: Gateway, file: bytes) -> StoredInstance:
    record = put_file(gateway, file).record
    (stored,) = gateway.archive.retrieve.instances(
        Scope(None), study_uid=record.study_uid, sop_uid=record.sop_instance_uid
    )
    return stored


def leave(gateway: Gateway, stored: StoredInstance, syntax: str) -> bytes:
    payload = egress.data_set(gateway.archive.retrieve, stored, syntax)
    sent = b"".join(payload.pieces)
    assert payload.length in (None, len(sent))
    return sent


def parse(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), syntax == IMPLICIT, is_little_endian=True)


def flat(ds: Dataset, *, has_vr: bool, at: Path_ = ()) -> Iterator[tuple[Path_, object]]:
    """Yield what a data set says outside its pixel data: values by place, bytes where nobody knows the VR."""
    for tag in sorted(ds.keys()):
        if tag.group <= 2 or not tag.element or tag == _PADDING or (not at and tag.group == _PIXEL_GROUP):
            continue
        raw: object = ds.get_item(tag)
        place = (*at, int(tag))
        if tag.is_private and not has_vr and isinstance(raw, RawDataElement):
            value = raw.value or b""
            yield place, value.rstrip(b" \0")
            continue
        element = ds[tag]
        if element.VR == "SQ":
            yield place, len(element.value)
            for number, item in enumerate(element.value):
                yield from flat(item, has_vr=has_vr, at=(*place, number))
        else:
            yield place, _plain(element)


def _plain(element: DataElement) -> object:
    value = element.value
    if value is None or value == "":
        return b""
    return value.rstrip(b"\0 ") if isinstance(value, bytes) else value


def frames_of(ds: Dataset, syntax: str) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.number]]]:
    description = describe_pixels(ds, syntax)
    length = frame_length(description)
    data = ds["PixelData"].value
    for index in range(description.n_frames):
        yield decode_frame(data[index * length : (index + 1) * length], description, index=index)


def check_pixels(path: Path, sent: Dataset) -> bool:
    """Compare the picture of a file with the one sent; return whether there is one."""
    sample = load(path)
    try:
        description = sample.description
        shown = [decode_frame(frame, description, index=n) for n, frame in enumerate(sample.frames())]
    except GatewayError:
        # No picture: then at least the same bytes.
        assert bytes(sent["PixelData"].value) == sample.value
        return False
    for mine, theirs in zip(frames_of(sent, ExplicitVRLittleEndian), shown, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return True


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_file_of_pydicom_leaves_with_all_it_says_and_shows(tmp_path: Path) -> None:
    n_sent = n_pictures = 0
    for number, path in enumerate(dicom_paths()):
        with open_test_gateway(tmp_path / str(number)) as gateway:
            try:
                stored = keep(gateway, path.read_bytes())
                sent = {syntax: leave(gateway, stored, syntax) for syntax in UNCOMPRESSED}
            except GatewayError:  # refused at the door, or a frame that nobody can decode
                continue
        for syntax, data in sent.items():
            n_sent += 1
            n_pictures += check(path, stored.transfer_syntax_uid, syntax, parse(data, syntax))
    assert n_sent > 280
    assert n_pictures > 170


def check(path: Path, stored_syntax: str, syntax: str, sent: Dataset) -> bool:
    """Compare a file with what was sent of it; return whether it has a picture."""
    original = read(path)
    if stored_syntax != egress.BIG_ENDIAN:  # there values of unknown VR cannot be told
        has_vr = IMPLICIT not in (syntax, stored_syntax)
        said, meant = dict(flat(sent, has_vr=has_vr)), dict(flat(original, has_vr=has_vr))
        if not codec_is_native(stored_syntax):
            for place in COLOUR:
                said.pop(place, None)
                meant.pop(place, None)
        assert said == meant, path.name
    return "PixelData" in original and check_pixels(path, sent)


COLOUR: tuple[Path_, ...] = ((0x00280004,), (0x00280006,))
"""Photometric Interpretation and Planar Configuration, which decompressing may change."""


def codec_is_native(syntax: str) -> bool:
    return not egress.is_decodable(syntax) or codec(syntax).is_native


@pytest.mark.parametrize("stored_syntax", NATIVE)
@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_native_pixels_and_elements_survive_every_change(house: Gateway, stored_syntax: UID, syntax: str) -> None:
    inner = Dataset()
    inner.add_new(0x00111001, "FD", [1.5, -2.5])
    ds = image(Identity(extra={"SmallestImagePixelValue": 3}), n_frames=3)
    ds.add_new(0x00110010, "LO", "ACME")
    ds.add_new(0x00111002, "SQ", [inner, Dataset()])
    meant = parse(encode(ds), EXPLICIT)
    stored = keep(house, part10(ds, stored_syntax))

    assert set(egress.forms(stored)) == {stored_syntax, *UNCOMPRESSED}
    sent = parse(leave(house, stored, syntax), syntax)

    assert sent.PixelData == meant.PixelData
    assert sent.PatientName == meant.PatientName
    assert sent.SmallestImagePixelValue == 3
    if stored_syntax != IMPLICIT:
        assert len(sent[0x00111002].value) == 2
    if syntax == EXPLICIT == stored_syntax:
        assert leave(house, stored, syntax) == encode(ds)


def test_a_private_sequence_stays_a_sequence_without_its_vr(house: Gateway) -> None:
    ds, inner = image(), Dataset()
    inner.PatientID = "INNER"
    ds.add_new(0x00110010, "LO", "ACME")
    ds.add_new(0x00111002, "SQ", [inner])

    sent = parse(leave(house, keep(house, part10(ds)), IMPLICIT), IMPLICIT)

    assert sent[0x00111002].VR == "SQ"
    assert sent[0x00111002].value[0].PatientID == "INNER"


@pytest.mark.parametrize("stored_syntax", [*NATIVE, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_what_stands_behind_the_pixels_leaves_too(house: Gateway, stored_syntax: UID, syntax: str) -> None:
    behind = Dataset()
    behind.add_new(0x7FE10010, "LO", "ACME")
    behind.add_new(0x7FE11001, "OB", b"12345678")
    behind.add_new(_PADDING, "OB", bytes(100))
    if stored_syntax in NATIVE:
        ds = image()
        ds.update(behind)
        file = part10(ds, stored_syntax)
    else:
        ds = rle() if stored_syntax == RLELossless else jpeg2000()
        ds.update(behind)
        file = part10(ds, stored_syntax)

    sent = parse(leave(house, keep(house, file), syntax), syntax)

    assert sent.PixelData == image().PixelData
    assert bytes(sent[0x7FE11001].value) == b"12345678"
    if syntax != stored_syntax and (stored_syntax, syntax) != (DeflatedExplicitVRLittleEndian, EXPLICIT):
        assert _PADDING not in sent


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
@pytest.mark.parametrize("stored_syntax", [*NATIVE, RLELossless])
def test_an_object_without_pixels_leaves(house: Gateway, stored_syntax: UID, syntax: str) -> None:
    ds = report()
    stored = keep(house, part10(ds, stored_syntax, encoded=encode(ds) if stored_syntax == RLELossless else None))

    sent = parse(leave(house, stored, syntax), syntax)

    assert sent.ContentSequence[0].ContentSequence[0].TextValue == "Không thấy bất thường"
    assert "PixelData" not in sent


def test_nobody_is_offered_what_cannot_be_made(house: Gateway) -> None:
    video = image()
    video.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0abcd"
    video["PixelData"].VR, video["PixelData"].is_undefined_length = "OB", True

    stored = keep(house, part10(video, UID("1.2.840.10008.1.2.4.102")))

    assert egress.forms(stored) == ("1.2.840.10008.1.2.4.102",)


def test_a_damaged_frame_is_an_error_and_no_picture(house: Gateway) -> None:
    ds = rle()
    ds.PixelData = ds.PixelData[:30] + bytes(len(ds.PixelData) - 30)
    ds["PixelData"].is_undefined_length = True
    stored = keep(house, part10(ds, RLELossless))

    with pytest.raises(InvalidInstanceError):
        leave(house, stored, IMPLICIT)


def test_a_deflated_object_is_not_gathered_in_memory(house: Gateway) -> None:
    ds = image()
    ds.Rows, ds.Columns, ds.NumberOfFrames = 1024, 1024, 8
    whole = np.random.default_rng(1).integers(0, 4, 1024 * 1024 * 8, dtype=np.uint16)
    ds.PixelData = whole.tobytes()
    stored = keep(house, part10(ds, DeflatedExplicitVRLittleEndian))
    payload = egress.data_set(house.archive.retrieve, stored, IMPLICIT)

    longest, crc, n_bytes = 0, 0, 0
    opening = next(payload.pieces)
    for piece in payload.pieces:
        longest, n_bytes = max(longest, len(piece)), n_bytes + len(piece)
        crc = zlib.crc32(piece, crc)

    assert len(opening) < 2000
    assert longest <= 1 << 20
    assert (n_bytes, crc) == (len(ds.PixelData), zlib.crc32(ds.PixelData))
