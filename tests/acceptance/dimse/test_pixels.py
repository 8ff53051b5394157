"""What is stored leaves as the same bytes in every transfer syntax, and transcoded with the same pixels."""

from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacs_gateway.dimse.negotiation import STORED_SYNTAXES
from pacs_gateway.domain.part10 import decode_head
from tests.acceptance.comparison import pixels
from tests.acceptance.dimse.conftest import register
from tests.acceptance.dimse.syntaxes import Encoded, every_syntax
from tests.support import dicomweb
from tests.support.clients import stock
from tests.support.clients.client import SUCCESS, Retrieved
from tests.support.clients.dcmtk import Dcmtk
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway
from tests.support.storescp import storescp
from tests.support.synthetic_ct import data_set_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dimse-matrix")

_FOUND_DEADLINE_S = 30.0
_SOME_FAILED = 0xB000
_LEAVE_BY_WEB_AS_EXPLICIT = (ImplicitVRLittleEndian, ExplicitVRBigEndian)
_SOME_FAILED = 0xB000


@pytest.fixture(scope="module")
def stored(gateway: RunningGateway, client: httpx.Client) -> list[Encoded]:
    """One image in every transfer syntax, stored."""
    images = every_syntax()
    for one in images:
        with RawSender(
            gateway.dicom_port, sop_class_uid=CTImageStorage, transfer_syntax_uid=one.transfer_syntax_uid
        ) as sender:
            assert sender.store(one.sop_uid, one.data_set).status == SUCCESS, one.name
    expected = {one.sop_uid for one in images}
    wait_until(
        lambda: set(dicomweb.instance_uids(client, images[0].study_uid)) == expected,
        _FOUND_DEADLINE_S,
        "all to be found",
    )
    return images


def test_c_get_gives_the_stored_bytes(gateway: RunningGateway, stored: list[Encoded]) -> None:
    keys = {"StudyInstanceUID": stored[0].study_uid}

    retrieved, inbox = stock.get(gateway.dicom_port, keys, CTImageStorage, list(STORED_SYNTAXES))

    assert retrieved == Retrieved(SUCCESS, len(stored), 0)
    assert changed(stored, inbox) == []


@pytest.mark.peer("dcmtk")
def test_c_move_delivers_the_stored_bytes(gateway: RunningGateway, stored: list[Encoded]) -> None:
    keys = {"StudyInstanceUID": stored[0].study_uid}
    with stock.destination("EVERYTHING", CTImageStorage, list(STORED_SYNTAXES)) as (port, inbox):
        register(gateway, "EVERYTHING", port)

        moved = Dcmtk(gateway.dicom_port).move(keys, "EVERYTHING")

    assert moved == Retrieved(SUCCESS, len(stored), 0)
    assert changed(stored, inbox) == []


def test_wado_rs_gives_the_stored_bytes(client: httpx.Client, stored: list[Encoded]) -> None:
    for one in stored:
        (part,) = dicomweb.retrieve(
            client, f"/studies/{one.study_uid}/series/{one.study_uid}.1/instances/{one.sop_uid}"
        )

        head = decode_head(part)
        assert head is not None
        if one.transfer_syntax_uid in _LEAVE_BY_WEB_AS_EXPLICIT:
            assert head[0].transfer_syntax_uid == ExplicitVRLittleEndian
            assert dcmread(BytesIO(part)).PixelData == one.pixels, one.name
        else:
            assert head[0].transfer_syntax_uid == one.transfer_syntax_uid
            assert data_set_of(part) == one.data_set, one.name


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"])
def test_who_takes_no_compression_gets_the_same_pixels(
    gateway: RunningGateway, stored: list[Encoded], syntax: str
) -> None:
    keys = {"StudyInstanceUID": stored[0].study_uid}

    retrieved, inbox = stock.get(gateway.dicom_port, keys, CTImageStorage, [syntax])

    for one in stored:
        if one.pixels is not None:
            assert one.sop_uid in inbox.objects, one.name
            assert pixels_of(inbox.objects[one.sop_uid]) == one.pixels, one.name
    # What nobody here can decode is not sent as something else, and is named.
    unsent = {one.sop_uid for one in stored} - inbox.objects.keys()
    assert set(inbox.failed_uids) == unsent
    assert retrieved == Retrieved(_SOME_FAILED, len(inbox.objects), len(unsent))


@pytest.mark.parametrize("option", ["+xi", "+xe"])
@pytest.mark.peer("dcmtk")
def test_dcmtk_that_takes_no_compression_is_sent_the_same_pixels(
    gateway: RunningGateway, stored: list[Encoded], tmp_path: Path, option: str
) -> None:
    taken = {
        "+xi": {ImplicitVRLittleEndian},
        "+xe": {ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian},
    }
    ae_title = f"PLAIN{option[1:].upper()}"
    with storescp(tmp_path, ae_title=ae_title, options=(option,)) as destination:
        register(gateway, ae_title, destination.port)

        moved = Dcmtk(gateway.dicom_port).move({"StudyInstanceUID": stored[0].study_uid}, ae_title)

        received = destination.received()
    assert (moved.status, moved.completed) == (_SOME_FAILED, len(received))
    assert moved.completed + moved.failed == len(stored)
    for one in stored:
        if one.pixels is not None:
            ds = dcmread(received[one.sop_uid])
            assert ds.file_meta.TransferSyntaxUID in taken[option], one.name
            assert pixels(ds) == one.pixels, one.name


def pixels_of(received: stock.Received) -> bytes:
    is_implicit = received.transfer_syntax_uid == ImplicitVRLittleEndian
    ds = read_dataset(BytesIO(received.data_set), is_implicit_VR=is_implicit, is_little_endian=True)
    return bytes(ds.PixelData)


def changed(stored: list[Encoded], inbox: stock.Inbox) -> list[str]:
    """Return the transfer syntaxes in which something came otherwise than it was stored."""
    expected = {one.sop_uid: stock.Received(one.transfer_syntax_uid, one.data_set) for one in stored}
    return [one.name for one in stored if inbox.objects.get(one.sop_uid) != expected[one.sop_uid]]
