"""The clients of the matrix by name, and what each of them leaves of an object."""

from collections.abc import Callable, Mapping

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from tests.acceptance.comparison import differences, pixels
from tests.acceptance.samples import SampleFile
from tests.support.clients.client import Client
from tests.support.clients.dcmjs_dimse import DcmjsDimse
from tests.support.clients.dcmtk import Dcmtk
from tests.support.clients.odil import Odil

START: Mapping[str, Callable[[int], Client]] = {
    "dcmtk": Dcmtk,
    "dcmsend": lambda port: Dcmtk(port, sender=("dcmsend", "--decompress-never")),
    "odil": Odil,
    "dcmjs-dimse": DcmjsDimse,
}


def rows(*names: str) -> list[object]:
    """Return the clients as parameters, each with the peer it needs."""
    peers = {"dcmsend": "dcmtk"}
    return [pytest.param(name, id=name, marks=pytest.mark.peer(peers.get(name, name))) for name in names]


def knows(caller: Client, file: SampleFile) -> bool:
    """Return whether a client asks for objects of this class at all."""
    return not (isinstance(caller, DcmjsDimse) and file.sop_class_uid == SegmentationStorage)


def assert_same(caller: Client | None, file: SampleFile, retrieved: Dataset) -> None:
    """Compare an object with the file it was sent from, `caller` having encoded it anew."""
    original = dcmread(file.path)
    # What dcmjs reads as UT (PS3.5 6.2) it encodes twice, whoever sends or receives: no report through it.
    if not (isinstance(caller, DcmjsDimse) and original.Modality == "SR"):
        assert differences(original, retrieved) == [], file.path.name
    assert pixels(original) == pixels(retrieved), file.path.name
