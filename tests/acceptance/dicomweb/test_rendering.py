"""What `/rendered` shows of every image that pydicom ships, against two computations without a line of ours."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import FileDataset, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
)

from tests.acceptance.dicomweb.second_opinions import AskedWindow, Levels, by_dcmtk, by_pydicom, stored_frame
from tests.acceptance.pydicom_files import FOLDER, REFUSED
from tests.support import dicomweb
from tests.support.running_gateway import running_gateway

NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "test_files/JPEG2000-embedded-sequence-delimiter.dcm": "the code stream's size is damaged",
        "test_files/MR_truncated.dcm": "refused when it is stored: its pixel data is cut short",
        "test_files/badVR.dcm": "NumberOfFrames is '1A'",
        "test_files/meta_missing_tsyntax.dcm": "a snippet without an image",
        "test_files/nested_priv_SQ.dcm": "a snippet without an image",
    }
)
_PADDING = "padding is background and black (PS3.3 C.7.5.1.1.2): pydicom puts it through the window"
OTHER_THAN_PYDICOM: Mapping[str, str] = MappingProxyType({"test_files/693_J2KI.dcm": _PADDING})
_WORDS = "DCMTK takes 32 big-endian bits for two 16-bit words, the lower first; then the doses would make no sense"
_SCALED = "its pixels are not square: scaling makes two levels of DCMTK's rounding by one"
OTHER_THAN_DCMTK: Mapping[str, str] = MappingProxyType(
    {
        "test_files/dicomdirtests/98892001/CT2N/6293": _SCALED,
        "test_files/dicomdirtests/98892001/CT2N/6924": _SCALED,
        "test_files/rtdose_expb.dcm": _WORDS,
        "test_files/rtdose_expb_1frame.dcm": _WORDS,
    }
)
UNREADABLE_TO_DCMTK = frozenset(JPEG2000TransferSyntaxes)
_ONE_LEVEL = 1.0
_PNG = {"Accept": "image/png"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file of pydicom's as it is sent, under a UID of its own: several have the same."""

    name: str
    part10: bytes
    path: str
    """Of the instance, below ``/dicom-web``."""
    transfer_syntax_uid: str


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_gateway(tmp_path_factory.mktemp("rendering")) as gateway, gateway.client() as client:
        yield client


def _with_pixels() -> list[str]:
    paths = (path for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix not in {".py", ".pyc"})
    return [str(path.relative_to(FOLDER)) for path in paths if "PixelData" in _read(path.read_bytes())]


def _read(content: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are made to be warned about
        try:
            return dcmread(BytesIO(content), force=True)
        except (EOFError, NotImplementedError, ValueError, KeyError, AttributeError):
            return dcmread(BytesIO(b""), force=True)


FILES = _with_pixels()
SHOWN = [name for name in FILES if name not in NOT_SHOWN]


def _prepared(name: str) -> Prepared:
    content = (FOLDER / name).read_bytes()
    dataset = _read(content)
    dataset.file_meta.TransferSyntaxUID = dataset.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    sop_uid = str(dataset.get("SOPInstanceUID", ""))
    if name in REFUSED:
        content, sop_uid = _completed(dataset), str(dataset.SOPInstanceUID)
    elif dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        renamed = ("2.25." + "".join(str(1 + secrets.randbelow(9)) for _ in sop_uid))[: len(sop_uid)]
        content, sop_uid = content.replace(sop_uid.encode(), renamed.encode()), renamed
    path = f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{sop_uid}"
    return Prepared(name, content, path, dataset.file_meta.TransferSyntaxUID)


def _completed(dataset: FileDataset) -> bytes:
    """Return a file with what it lacks to be stored, its pixel data untouched."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, UID(f"2.25.{secrets.randbits(96)}"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.walk(lambda _, __: None)  # finds the VR of elements that have none
    file = BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


def _frames(part10: bytes) -> list[int]:
    n_frames = int(_read(part10).get("NumberOfFrames") or 1)
    return sorted({0, n_frames // 2, n_frames - 1})


def _windows(part10: bytes, index: int) -> list[AskedWindow | None]:
    """Return the windows to ask for; None stands for the object's own."""
    dataset, frame = stored_frame(part10, index=index)
    if not dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        return [None]
    values = frame * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    low, high = float(values.min()), float(values.max())
    narrow, middle = max(round(0.4 * (high - low)), 2), round((low + high) / 2)
    asked = [
        AskedWindow(middle, narrow),
        AskedWindow(middle, narrow, "LINEAR_EXACT"),
        AskedWindow(middle, narrow, "SIGMOID"),
    ]
    return [None, *asked] if "WindowWidth" in dataset else [*asked]


def _rendered(client: httpx.Client, path: str, index: int, window: AskedWindow | None) -> Levels:
    asked = {"window": window.parameter} if window else {}
    answer = client.get(f"/dicom-web{path}/frames/{index + 1}/rendered", params=asked, headers=_PNG)
    assert answer.status_code == httpx.codes.OK, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)), np.float64)


def _furthest(shown: Levels, other: Levels) -> float:
    """Return by how many grey levels two pictures differ at most, the other one scaled where pixels are not square."""
    if shown.shape != other.shape:
        size = (shown.shape[1], shown.shape[0])
        other = np.asarray(Image.fromarray(np.rint(other).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS))
    return float(np.abs(shown - other).max())


def test_the_tables_name_files_that_there_are() -> None:
    assert {*NOT_SHOWN, *OTHER_THAN_PYDICOM, *OTHER_THAN_DCMTK} <= set(FILES)
    assert len(FILES) > 100


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("name", SHOWN)
def test_every_image_is_shown_as_others_compute_it(client: httpx.Client, name: str) -> None:
    file = _prepared(name)
    answer = dicomweb.store(client, [file.part10])
    assert answer.status_code == httpx.codes.OK, answer.text

    from_pydicom, from_dcmtk = [], []
    for index in _frames(file.part10):
        for window in _windows(file.part10, index):
            shown = _rendered(client, file.path, index, window)
            from_pydicom.append(_furthest(shown, by_pydicom(file.part10, index=index, window=window)))
            if window is None or window.function in {"LINEAR", "SIGMOID"}:  # DCMTK knows no other
                other = by_dcmtk(file.part10, index=index, window=window)
                assert (other is None) == (file.transfer_syntax_uid in UNREADABLE_TO_DCMTK)
                if other is not None:
                    from_dcmtk.append(_furthest(shown, other))

    assert (max(from_pydicom) > _ONE_LEVEL) == (name in OTHER_THAN_PYDICOM), from_pydicom
    assert (max(from_dcmtk, default=0) > _ONE_LEVEL) == (name in OTHER_THAN_DCMTK), from_dcmtk


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_what_cannot_be_shown_is_said_to_be_so(client: httpx.Client, name: str) -> None:
    content = (FOLDER / name).read_bytes()
    answer = dicomweb.store(client, [content])
    if answer.status_code == httpx.codes.OK:
        dataset = _read(content)
        series = f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        path = f"{series}/instances/{dataset.SOPInstanceUID}"
        answer = client.get(f"/dicom-web{path}/rendered", headers=_PNG)
    assert httpx.codes.is_client_error(answer.status_code), answer.text
