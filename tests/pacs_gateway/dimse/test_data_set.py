"""Elements made by ourselves are read by pydicom as what they were made from."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.dimse.data_set import DataSetEncoder, fitted
from tests.pacs_gateway.dimse.query.finding import SYNTAXES

ELEMENTS = [
    (0x00080005, "CS", "ISO_IR 192"),
    (0x00080020, "DA", "20260102"),
    (0x00080061, "CS", "CT\\SR"),
    (0x00080201, "SH", ""),
    (0x00100010, "PN", "Trần^Văn An"),
    (0x0020000D, "UI", "1.2.3"),
    (0x00200013, "IS", "7"),
    (0x00280010, "US", "512"),
    (0x00400280, "UT", "một hai ba"),
]


def read(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_come_back(syntax: str) -> None:
    encoder = DataSetEncoder(syntax)

    ds = read(b"".join(encoder.text(*one, str.encode) for one in ELEMENTS), syntax)

    assert [(e.tag, "\\".join(e.value) if e.VM > 1 else str(e.value or "")) for e in ds] == [
        (tag, text) for tag, _, text in ELEMENTS
    ]
    assert len(encoder.text(0x0020000D, "UI", "1.2.3")) % 2 == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_come_back(syntax: str) -> None:
    encoder = DataSetEncoder(syntax)
    items = [encoder.text(0x00400009, "SH", text) for text in ("S1", "S2")]

    ds = read(encoder.sequence(0x00400275, items) + encoder.text(0x00400280, "UT", "behind"), syntax)

    assert [item.ScheduledProcedureStepID for item in ds.RequestAttributesSequence] == ["S1", "S2"]


@pytest.mark.parametrize(
    ("vr", "text", "expected"),
    [
        ("LO", "x" * 70, "x" * 64),
        ("SH", "short\\" + "y" * 20, "short\\" + "y" * 16),
        ("PN", "a" * 70 + "=" + "b" * 64, "a" * 64 + "=" + "b" * 64),
        ("PN", "Nguyễn^Văn", "Nguyễn^Văn"),
        ("DA", "yesterday", ""),
        ("DA", "20260102", "20260102"),
        ("TM", "0815", "0815"),
        ("TM", "late", ""),
        ("AS", "41Y", ""),
        ("UI", "no uid", ""),
        ("UI", "1.2\\1.3", "1.2\\1.3"),
        ("IS", "", ""),
    ],
)
def test_values_are_what_their_vr_allows(vr: str, text: str, expected: str) -> None:
    assert fitted(vr, text) == expected


def test_a_value_never_outgrows_a_short_length() -> None:
    encoded = DataSetEncoder(SYNTAXES[0]).text(0x00080062, "UI", "\\".join(["1.2.840.10008.5.1.4.1.1.2"] * 4000))

    classes = read(encoded, SYNTAXES[0]).SOPClassesInStudy
    assert len(classes) == 0xFFFE // 26
    assert set(classes) == {"1.2.840.10008.5.1.4.1.1.2"}
