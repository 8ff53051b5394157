"""Receiving: what is answered is on disk, and what is refused leaves nothing behind."""

import hashlib
import os
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pacs_gateway.archive import ingest as ingest_module
from pacs_gateway.archive.reception_head import decode_reception
from pacs_gateway.archive.ship import describe_entry
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.domain.part10 import decode_head
from pacs_gateway.domain.rejection import Reach
from pacs_gateway.errors import (
    CapacityError,
    InputError,
    InvalidInstanceError,
    InvalidUidError,
    MismatchError,
    UnavailableError,
)
from pacs_gateway.gateway import Gateway
from pacs_gateway.index.rows import Outcome
from pacs_gateway.storage.spool import Spool, SpoolConfig
from tests.support.builders import Identity, dataset, encode, image, part10, report
from tests.support.gateways import ORIGIN, put, put_file


def in_spool(gateway: Gateway) -> list[Path]:
    return sorted(gateway.config.spool.root.rglob("*.dcm"))


def open_files() -> set[str]:
    """Return what the process holds open below the spool, nameless files included."""
    links = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return {link for link in links if "/spool/" in link}


def test_outcomes_tell_new_known_and_contradicting(gateway: Gateway) -> None:
    assert put(gateway, image()).outcome is Outcome.STORED
    assert put(gateway, image()).outcome is Outcome.DUPLICATE
    assert put(gateway, image(Identity(extra={"StudyDescription": "other"}))).outcome is Outcome.PENDING
    assert len(in_spool(gateway)) == 2


def test_the_entry_is_a_part10_file_of_the_bytes_received(gateway: Gateway) -> None:
    encoded = encode(image())
    stored = put(gateway, image())
    (entry,) = in_spool(gateway)
    file = entry.read_bytes()
    decoded = decode_head(file)
    assert decoded is not None
    meta, offset = decoded
    assert offset == stored.record.dataset_offset
    assert file[offset:] == encoded
    assert stored.record.digest == hashlib.sha256(encoded).hexdigest()
    assert stored.record.size_bytes == len(file)
    assert meta.sop_instance_uid == stored.record.sop_instance_uid
    assert decode_reception(meta.private, "OTHER") == (ORIGIN, stored.record.received_at)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("n_frames", [1, 2000])
def test_what_is_set_for_a_device_is_kept_with_what_it_sent(gateway: Gateway, syntax: str, n_frames: int) -> None:
    origin = replace(ORIGIN, charset="VNI", issuer="BV1", reach=Reach.OWN)
    ds = image(Identity(charset="ISO_IR 100"), n_frames=n_frames)
    ds[0x00100010] = RawDataElement(Tag(0x00100010), "PN", 6, b"Ho\xe0ng ", 0, False, True)
    stored = put(gateway, ds, syntax, origin=origin)
    assert stored.record.attributes["PatientName"] == "Hồng"
    (entry,) = in_spool(gateway)
    assert describe_entry(entry, facility="OTHER") == stored.record
    assert entry.read_bytes().endswith(encode(ds, syntax))


def test_a_reception_of_an_earlier_version_is_read() -> None:
    private = b'{"facility":"HUE","method":"dimse","source":"CT1","address":"127.0.0.1","received_at":1767340800000000}'
    origin, received_at = decode_reception(private, "OTHER")
    assert origin == Origin(Method.DIMSE, "HUE", "CT1", "127.0.0.1")
    assert received_at == datetime(2026, 1, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize("private", [b"", b"{", b"[]", b'{"method": "dimse"}', b'{"received_at": 1e300}'])
def test_an_unreadable_reception_becomes_an_import(private: bytes) -> None:
    assert decode_reception(private, "HUE")[0] == Origin(Method.IMPORT, "HUE")


def test_a_reception_in_pieces_of_any_size_is_the_same(gateway: Gateway) -> None:
    file = part10(image())
    reception = gateway.archive.ingest.receive_part10(ORIGIN)
    for n in range(len(file)):
        reception.write(file[n : n + 1])
    assert reception.finish(wait_for_index=True).record.digest == hashlib.sha256(encode(image())).hexdigest()


def test_a_head_that_disagrees_is_replaced(gateway: Gateway) -> None:
    wrong = part10(image(Identity(instance=9)), encoded=encode(image()))
    stored = put_file(gateway, wrong)
    (entry,) = in_spool(gateway)
    decoded = decode_head(entry.read_bytes())
    assert decoded is not None
    assert decoded[0].sop_instance_uid == stored.record.sop_instance_uid == image().SOPInstanceUID
    assert decoded[1] == stored.record.dataset_offset
    assert entry.read_bytes()[decoded[1] :] == encode(image())


def begin(gateway: Gateway, *, sop_instance_uid: str) -> ingest_module.Reception:
    return gateway.archive.ingest.receive(
        transfer_syntax_uid=ExplicitVRLittleEndian,
        origin=ORIGIN,
        sop_class_uid=image().SOPClassUID,
        sop_instance_uid=sop_instance_uid,
    )


def test_a_command_binds(gateway: Gateway) -> None:
    reception = begin(gateway, sop_instance_uid="1.2.3")
    reception.write(encode(image()))
    with pytest.raises(MismatchError):
        reception.finish()
    reception = begin(gateway, sop_instance_uid=image().SOPInstanceUID)
    reception.write(encode(image()))
    assert reception.finish().outcome is None


def test_a_command_without_uids_begins_nothing(gateway: Gateway) -> None:
    with pytest.raises(InvalidUidError):
        begin(gateway, sop_instance_uid="../1")


def bomb() -> bytes:
    """Sixty-four megabytes of one element in sixty kilobytes."""
    opened = encode(dataset())
    element = b"\x09\x00\x10\x10OB\0\0" + (64 << 20).to_bytes(4, "little")
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = deflater.compress(opened + element)
    for _ in range(64):
        packed += deflater.compress(bytes(1 << 20))
    return packed + deflater.flush()


REFUSED = {
    "not DICOM": b"GIF89a" + bytes(300),
    "empty": b"",
    "head only": part10(image())[:330],
    "cut": part10(image())[:-5],
    "no identifiers": part10(image(), encoded=b"\x08\x00\x60\x00CS\x02\x00CT" + bytes(20)),
    "deflate bomb": part10(image(), DeflatedExplicitVRLittleEndian, encoded=bomb()),
    "not deflated": part10(image(), DeflatedExplicitVRLittleEndian, encoded=encode(image())),
    "deflated but cut": part10(image(), DeflatedExplicitVRLittleEndian)[:-3],
    "syntax is no UID": part10(image()).replace(b"1.2.840.10008.1.2.1\0", b"../../../etc/passwd\0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_leaves_nothing(gateway: Gateway, kind: str) -> None:
    put(gateway, report())
    files, descriptors = in_spool(gateway), open_files()
    with pytest.raises(InputError):
        put_file(gateway, REFUSED[kind])
    assert in_spool(gateway) == files
    assert open_files() == descriptors


def test_an_abandoned_reception_leaves_nothing(gateway: Gateway) -> None:
    put(gateway, report())
    descriptors = open_files()
    reception = gateway.archive.ingest.receive_part10(ORIGIN)
    reception.write(part10(image())[:-20])
    reception.discard()
    reception.discard()
    assert len(in_spool(gateway)) == 1
    assert open_files() == descriptors


def test_the_answer_comes_after_the_bytes_are_durable(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    recorded = ("fdatasync", "link", "fsync")
    for name in recorded:
        real = getattr(os, name)

        def record(*args: object, _name: str = name, _real: object = real, **kwargs: object) -> None:
            steps.append(_name)
            _real(*args, **kwargs)  # type: ignore[operator] # whatever the system call takes

        monkeypatch.setattr(os, name, record)
    reception = begin(gateway, sop_instance_uid=image().SOPInstanceUID)
    reception.write(encode(image()))
    steps.clear()
    reception.finish()
    assert steps[:3] == list(recorded)


@pytest.mark.parametrize("step", ["fdatasync", "link", "fsync"])
def test_a_failing_disk_is_never_answered_with_success(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    reception = begin(gateway, sop_instance_uid=image().SOPInstanceUID)
    reception.write(encode(image()))

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UnavailableError):
        reception.finish(wait_for_index=True)
    monkeypatch.undo()
    assert not any("(deleted)" in link for link in open_files())


def test_below_the_low_water_mark_nothing_is_begun(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = SpoolConfig(gateway.config.spool.root, refuse_free_fraction=1.0, refuse_free_bytes=1 << 60)
    ingest = gateway.archive.ingest
    monkeypatch.setattr(ingest, "spool", Spool(greedy))
    assert not ingest.accepts_storage()
    with pytest.raises(CapacityError):
        ingest.receive_part10(ORIGIN)
    with pytest.raises(CapacityError):
        begin(gateway, sop_instance_uid="1.2.3")


def test_a_data_set_without_bytes_is_refused(gateway: Gateway) -> None:
    with pytest.raises(InvalidInstanceError):
        begin(gateway, sop_instance_uid="1.2.3").finish()
