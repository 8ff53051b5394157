"""What readers need is there: metadata at once, then one object per series; thumbnails of images."""

import gzip
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from sqlalchemy import select

from pacs_gateway.access import Scope
from pacs_gateway.archive import bulk
from pacs_gateway.archive.stored import Holdings, StoredInstance
from pacs_gateway.database.schema.archive import series_derived
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from pacs_gateway.index.writer import Stored
from pacs_gateway.jobs.queue import JobState
from tests.support.builders import Identity, encode, image, part10, report, uid
from tests.support.gateways import ORIGIN, Clock, put, ship_all, work_all

ALL = Scope(None)


def metadata(gateway: Gateway, series: int = 1) -> tuple[list[dict[str, dict[str, object]]], str]:
    (blob,) = gateway.archive.retrieve.metadata(ALL, study_uid=uid(1), series_uid=uid(1, series))
    return json.loads(gzip.decompress(blob.read())), blob.etag


def has_object(gateway: Gateway) -> bool:
    with gateway.database.read() as connection:
        return connection.execute(select(series_derived.c.metadata_digest)).scalar() is not None


def test_metadata_is_there_at_once_and_one_object_when_the_series_is_quiet(gateway: Gateway, clock: Clock) -> None:
    for n in (1, 2, 3):
        put(gateway, image(Identity(instance=n)))
    clock.move(0.5)
    work_all(gateway)
    assert not has_object(gateway)
    before = metadata(gateway)
    assert len(before[0]) == 3
    clock.move(4)
    work_all(gateway)
    assert has_object(gateway)
    assert metadata(gateway) == before
    assert gateway.jobs.list() == ()


def test_metadata_of_a_quiet_series_are_told_without_its_files(gateway: Gateway, clock: Clock, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        put(gateway, image(Identity(instance=n)))
    ship_all(gateway)
    clock.move(4)
    work_all(gateway)
    retrieve = gateway.archive.retrieve
    (before,) = retrieve.metadata(ALL, study_uid=uid(1), series_uid=uid(1, 1), sop_uid=uid(1, 1, 2))
    for file in tmp_path.rglob("*.dcm"):
        file.unlink()
    assert [blob.etag for blob in retrieve.metadata(ALL, study_uid=uid(1))] == [metadata(gateway)[1]]
    (after,) = retrieve.metadata(ALL, study_uid=uid(1), series_uid=uid(1, 1), sop_uid=uid(1, 1, 2))
    assert json.loads(gzip.decompress(after.read())) == [metadata(gateway)[0][1]]
    assert after.etag == before.etag


def test_metadata_is_read_in_the_set_of_the_device_that_sent_it(gateway: Gateway) -> None:
    ds = image(Identity(charset="ISO_IR 100"))
    ds[0x00100010] = RawDataElement(Tag(0x00100010), "PN", 6, b"Ho\xe0ng ", 0, False, True)
    put(gateway, ds, origin=replace(ORIGIN, charset="VNI"))
    ((instance,), _) = metadata(gateway)
    assert instance["00100010"]["Value"] == [{"Alphabetic": "Hồng"}]


def test_a_late_arrival_changes_the_etag_and_keeps_the_rest(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image(Identity(instance=2)))
    clock.move(4)
    work_all(gateway)
    objects, etag = metadata(gateway)
    clock.move(100)
    put(gateway, image(Identity(instance=1)))
    late = metadata(gateway)
    assert late[0][1:] == objects
    assert late[1] != etag
    clock.move(4)
    work_all(gateway)
    assert metadata(gateway)[0] == late[0]
    assert list(gateway.store.list("derived/")) != []


def test_an_arrival_while_the_series_is_derived_is_not_left_out(
    gateway: Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(gateway, image(Identity(instance=1)))
    real = gateway.archive.derive._compose
    arrived: list[Stored] = []

    def compose(series_key: int) -> bytes:
        body = real(series_key)
        if not arrived:
            arrived.append(put(gateway, image(Identity(instance=2))))
        return body

    monkeypatch.setattr(gateway.archive.derive, "_compose", compose)
    clock.move(4)
    work_all(gateway)
    assert not has_object(gateway)
    clock.move(4)
    work_all(gateway)
    assert has_object(gateway)
    assert len(metadata(gateway)[0]) == 2


@pytest.mark.parametrize("is_shipped", [False, True])
def test_metadata_is_what_pydicom_makes_of_the_object(gateway: Gateway, clock: Clock, is_shipped: bool) -> None:
    ds = image(
        Identity(extra={"EncapsulatedDocument": bytes(5000), "ICCProfile": bytes(10), "WindowCenter": ["40", "50"]})
    )
    put(gateway, ds)
    if is_shipped:
        ship_all(gateway)
    clock.move(4)
    work_all(gateway)
    ((served,), _) = metadata(gateway)
    expected = dcmread(BytesIO(part10(ds))).to_json_dict()
    large = served.pop("00420011")
    expected.pop("00420011")
    expected["7FE00010"] = {"vr": "OW", "BulkDataURI": str(large["BulkDataURI"]).replace("00420011", "7FE00010")}
    assert served.pop("00083002") == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
    assert served == expected
    assert large["vr"] == "OB"
    assert str(large["BulkDataURI"]).endswith(f"/instances/{ds.SOPInstanceUID}/bulkdata/00420011")
    (stored,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    assert bulk_value(gateway, stored, "00420011") == bytes(5000)


def bulk_value(gateway: Gateway, stored: StoredInstance, path: str) -> bytes:
    retrieve = gateway.archive.retrieve
    return b"".join(bulk.read(retrieve, bulk.find(retrieve, stored, path)))


def test_large_values_inside_sequences_are_referred_to(gateway: Gateway) -> None:
    ds = report()
    ds.ContentSequence[0].ContentSequence[0].EncapsulatedDocument = b"ab" * 3000
    put(gateway, ds)
    ((served,), _) = metadata(gateway)
    outer = served["0040A730"]["Value"][0]  # type: ignore[index] # DICOM JSON
    uri = outer["0040A730"]["Value"][0]["00420011"]["BulkDataURI"]
    (stored,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    assert bulk_value(gateway, stored, uri.partition("/bulkdata/")[2]) == b"ab" * 3000


def test_images_have_thumbnails_and_reports_none(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image())
    put(gateway, report(Identity(series=2)))
    for _ in range(2):  # before and after deriving
        thumbnail = gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1))
        assert Image.open(BytesIO(thumbnail.body)).format == "JPEG"
        with pytest.raises(NotFoundError):
            gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1), series_uid=uid(1, 2))
        clock.move(4)
        work_all(gateway)


def test_the_thumbnail_of_any_instance_is_drawn_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    put(gateway, image())
    put(gateway, image(Identity(instance=2)))
    ship_all(gateway)

    def ask() -> bytes:
        found = gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1), series_uid=uid(1, 1), sop_uid=uid(1, 1, 2))
        return found.body

    before = ask()
    monkeypatch.setattr(Holdings, "open", None)  # from now on no file is opened

    assert ask() == before


def test_a_derived_object_that_is_lost_is_made_again(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image())
    clock.move(4)
    work_all(gateway)
    before = metadata(gateway)
    for key in list(gateway.store.list("derived/")):
        gateway.store.delete(key)
    assert metadata(gateway)[0] == before[0]
    assert gateway.archive.retrieve.thumbnail(ALL, study_uid=uid(1)).body


def test_a_value_that_makes_no_sense_hides_nothing_else(gateway: Gateway, clock: Clock) -> None:
    encoded = encode(image()).replace(b"IS\x02\x001 ", b"IS\x02\x00x ", 1)
    reception = gateway.archive.ingest.receive_part10(ORIGIN)
    reception.write(part10(image(), encoded=encoded))
    reception.finish(wait_for_index=True)
    clock.move(4)
    work_all(gateway)
    ((served,), _) = metadata(gateway)
    assert served["00100020"] == {"vr": "LO", "Value": ["BN0001"]}
    assert gateway.jobs.list(state=JobState.DEAD) == ()


def test_other_facilities_see_nothing(gateway: Gateway) -> None:
    put(gateway, image())
    for scope in (Scope(frozenset({"HUE"})), Scope(frozenset())):
        with pytest.raises(NotFoundError):
            gateway.archive.retrieve.metadata(scope, study_uid=uid(1))
        with pytest.raises(NotFoundError):
            gateway.archive.retrieve.thumbnail(scope, study_uid=uid(1))
