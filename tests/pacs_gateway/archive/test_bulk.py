"""Bulk data are found by walking over heads, in every encoding, and read by ranges."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive import bulk
from pacs_gateway.archive.locate import Step, locate
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from tests.support.builders import NATIVE_SYNTAXES, Identity, encode, image, report, rle
from tests.support.gateways import open_test_gateway, put

TEXT = "Không thấy bất thường. " * 5000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    with open_test_gateway(tmp_path) as gateway:
        yield gateway


def keep(house: Gateway, ds: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> StoredInstance:
    record = put(house, ds, syntax).record
    (stored,) = house.archive.retrieve.instances(
        Scope(None), study_uid=record.study_uid, sop_uid=record.sop_instance_uid
    )
    return stored


def value(house: Gateway, stored: StoredInstance, path: str, *part: int) -> bytes:
    retrieve = house.archive.retrieve
    return b"".join(bulk.read(retrieve, bulk.find(retrieve, stored, path), *part))


def nested() -> Dataset:
    """Return an object with bulk data of several units, at the top and in sequences of both kinds of length."""
    ds = report(Identity(extra={"EncapsulatedDocument": bytes(range(256)) * 300}))
    ds.add_new(0x00281201, "OW", bytes(range(256)) * 16)
    ds.add_new(0x00090010, "LO", "TESTS")
    ds.add_new(0x00091001, "OB", b"private!" * 200)
    item, inner = Dataset(), Dataset()
    inner.add_new(0x54001010, "OW", bytes(range(200)) * 20)
    item.add_new(0x00081140, "SQ", [Dataset(), inner])
    ds.add_new(0x54000100, "SQ", [Dataset(), item])
    ds["54000100"].is_undefined_length = True
    item["00081140"].is_undefined_length = True
    return ds


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
def test_values_are_found_in_every_encoding(house: Gateway, syntax: str) -> None:
    ds = nested()
    if syntax == ExplicitVRBigEndian:
        swapped = nested()
        swapped["00281201"].value = _swapped(ds["00281201"].value)
        swapped["54000100"][1]["00081140"][1]["54001010"].value = _swapped(bytes(range(200)) * 20)
        stored = keep(house, swapped, syntax)
    else:
        stored = keep(house, ds, syntax)
    assert value(house, stored, "00420011") == ds.EncapsulatedDocument
    assert value(house, stored, "00281201") == ds["00281201"].value
    assert value(house, stored, "00091001") == b"private!" * 200
    assert value(house, stored, "54000100/1/00081140/1/54001010") == bytes(range(200)) * 20
    assert value(house, stored, "00281201", 3, 1001) == ds["00281201"].value[3:1001]


def _swapped(data: bytes) -> bytes:
    return b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))


@pytest.mark.parametrize(
    "path",
    [
        "00420010",
        "0040A730",
        "0040A730/9/00420011",
        "00100010",
        "54000100/0/00081140",
        "00100010/0/00420011",
        "FFFCFFFC",
    ],
)
def test_what_is_not_there_or_is_told_by_the_metadata_is_not_found(house: Gateway, path: str) -> None:
    stored = keep(house, nested())
    with pytest.raises(NotFoundError):
        value(house, stored, path)


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100"])
def test_a_long_text_is_bulk_data_in_the_character_set_of_the_metadata(house: Gateway, charset: str) -> None:
    text = TEXT if charset == "ISO_IR 192" else "Mélange " * 20_000
    ds = report(Identity(charset=charset, patient_name="Doe^Jane", extra={"TextValue": text}))
    assert value(house, keep(house, ds), "0040A160").decode() == text.rstrip()


def test_native_pixels_are_bulk_data_and_encapsulated_ones_are_frames(house: Gateway) -> None:
    assert value(house, keep(house, image()), "7FE00010") == image().PixelData
    with pytest.raises(NotFoundError):
        value(house, keep(house, rle(Identity(series=2)), "1.2.840.10008.1.2.5"), "7FE00010")


@given(st.binary(max_size=300), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 2**32 - 1))
def test_bytes_that_are_no_data_set_hold_no_bulk_data(data: bytes, items: list[int], tag: int) -> None:
    steps = [Step(0x54000100, item) for item in items]
    for implicit in (False, True):
        try:
            found = locate(data, 0, steps, tag, implicit=implicit, big_endian=False)
        except NotFoundError:
            continue
        assert 0 <= found.value <= len(data) + 12


def test_damaged_data_sets_end_in_not_found() -> None:
    encoded = encode(nested())
    for cut in range(0, len(encoded), 997):
        with pytest.raises(NotFoundError):
            locate(encoded[:cut], 0, [Step(0x54000100, 7)], 0x54001010, implicit=False, big_endian=False)
