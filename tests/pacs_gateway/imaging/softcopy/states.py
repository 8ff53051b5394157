"""Presentation states to test with, and how DCMTK shows them."""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_gateway.imaging.softcopy.present import GREYSCALE
from tests.pacs_gateway.imaging.samples import grey_header

SOP_UID = "1.2.3.4.5.6"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DEADLINE_S = 60


def image_header(rows: int, columns: int, **changes: object) -> Dataset:
    """The header of an image of 12 bits that states can name."""
    return grey_header(
        **{
            "SOPClassUID": _SECONDARY_CAPTURE,
            "SOPInstanceUID": SOP_UID,
            "StudyInstanceUID": "1.2.3.4",
            "SeriesInstanceUID": "1.2.3.4.5",
            "Rows": rows,
            "Columns": columns,
            "BitsStored": 12,
            "HighBit": 11,
        }
        | changes
    )


def item(**elements: object) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def image_reference(sop_uid: str = SOP_UID, *frames: int) -> Dataset:
    """An item that names an image, or some of its frames."""
    named = item(ReferencedSOPClassUID=_SECONDARY_CAPTURE, ReferencedSOPInstanceUID=sop_uid)
    if frames:
        named.ReferencedFrameNumber = list(frames)
    return named


def state(rows: int = 48, columns: int = 64, /, **changes: object) -> Dataset:
    """A grey presentation state for `image_header`, with everything that is mandatory; None removes an element."""
    series = item(SeriesInstanceUID="1.2.3.4.5", ReferencedImageSequence=[image_reference()])
    area = item(
        DisplayedAreaTopLeftHandCorner=[1, 1],
        DisplayedAreaBottomRightHandCorner=[columns, rows],
        PresentationSizeMode="SCALE TO FIT",
        PresentationPixelAspectRatio=[1, 1],
    )
    attributes: dict[str, object] = {
        "SOPClassUID": GREYSCALE,
        "SOPInstanceUID": "1.2.3.4.5.7",
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.8",
        "Modality": "PR",
        "PatientName": "A^B",
        "PatientID": "1",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyDate": "",
        "StudyTime": "",
        "ReferringPhysicianName": "",
        "StudyID": "",
        "AccessionNumber": "",
        "Manufacturer": "",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "ContentLabel": "TEST",
        "ContentDescription": "",
        "PresentationCreationDate": "20260101",
        "PresentationCreationTime": "120000",
        "ContentCreatorName": "",
        "ReferencedSeriesSequence": [series],
        "DisplayedAreaSelectionSequence": [area],
        "PresentationLUTShape": "IDENTITY",
    }
    return item(**{keyword: value for keyword, value in (attributes | changes).items() if value is not None})


def by_dcmtk(frame: NDArray[np.number], header: Dataset, state: Dataset, folder: Path) -> NDArray[np.float64]:
    """Return the image as DCMTK's dcmp2pgm shows it: without graphics, the whole of it."""
    image = Dataset()
    image.update(header)
    image.add_new("PixelData", "OW", frame.astype("<u2").tobytes())
    image.PatientName, image.PatientID = "A^B", "1"
    for name, dataset in (("image", image), ("state", state)):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(folder / name, enforce_file_format=True)
    target = folder / "out.pgm"
    command = ["dcmp2pgm", "-p", str(folder / "state"), str(folder / "image"), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(target), np.float64)
