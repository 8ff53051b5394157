"""Images to test with: the files that pydicom ships, and headers built for one case."""

import warnings
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ImplicitVRLittleEndian

from pacs_gateway.imaging.decode import codec
from pacs_gateway.imaging.pixels import PixelDescription, describe_pixels, frame_length

_ROOT = Path(pydicom.__file__).parent / "data"

LITTLE = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"

# Files that carry pixel data but no image that could be shown, and why
REFUSED = {
    "badVR.dcm": "NumberOfFrames is '1A'",
    "JPEG2000-embedded-sequence-delimiter.dcm": "a sequence delimiter lies over the code stream's size",
    "meta_missing_tsyntax.dcm": "no image pixel module",
    "MR_truncated.dcm": "the pixel data is cut short",
    "nested_priv_SQ.dcm": "no image pixel module",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One file taken apart as the gateway's index would."""

    header: Dataset
    syntax: str
    vr: str
    value: bytes

    @property
    def description(self) -> PixelDescription:
        return describe_pixels(self.header, self.syntax, vr=self.vr)

    def frames(self) -> list[bytes]:
        n_frames = self.description.n_frames
        if not codec(self.syntax).is_native:
            return list(generate_frames(self.value, number_of_frames=n_frames))
        if n_frames == 1:
            return [self.value]
        length = frame_length(self.description)
        return [self.value[index * length : (index + 1) * length] for index in range(n_frames)]


@cache
def image_paths() -> tuple[Path, ...]:
    """Files of pydicom that have a pixel data element."""
    return tuple(path for path in sorted(_ROOT.rglob("*")) if path.is_file() and _has_pixels(path))


@cache
def dicom_paths() -> tuple[Path, ...]:
    """Files of pydicom that begin as Part 10 says."""
    paths = (path for path in sorted(_ROOT.rglob("*")) if path.is_file())
    return tuple(path for path in paths if path.read_bytes()[128:132] == b"DICM")


def load(path: Path) -> Sample:
    dataset, header = read(path), read(path, stop_before_pixels=True)
    element = dataset["PixelData"]
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    return Sample(header, str(syntax), str(element.VR), element.value)


def named(name: str) -> Sample:
    (path,) = (path for path in image_paths() if path.name == name)
    return load(path)


def read(path: Path, *, stop_before_pixels: bool = False) -> pydicom.FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files are wrong on purpose
        return pydicom.dcmread(path, force=True, stop_before_pixels=stop_before_pixels)


def grey_header(**changes: object) -> Dataset:
    """A header of 4 x 6 unsigned 16-bit pixels; None removes an element."""
    return _header(
        {
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 4,
            "Columns": 6,
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
        }
        | changes
    )


def colour_header(**changes: object) -> Dataset:
    """A header of 4 x 6 RGB pixels; None removes an element."""
    colour = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    return grey_header(**(colour | changes))


def encoded(dataset: Dataset, syntax: str = LITTLE) -> bytes:
    """The bytes of a data set."""
    file, plain = BytesIO(), Dataset()
    plain.update(dataset)  # without the head of the file it may have come from
    is_implicit, is_little = UID(syntax).is_implicit_VR, UID(syntax).is_little_endian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(file, plain, implicit_vr=is_implicit, little_endian=is_little)
    return file.getvalue()


def as_received(dataset: Dataset, syntax: str = LITTLE) -> Dataset:
    """The same data set as it is after a journey: encoded, and read with its elements still raw."""
    file = BytesIO(encoded(dataset, syntax))
    return pydicom.filereader.read_dataset(file, UID(syntax).is_implicit_VR, UID(syntax).is_little_endian)


def _header(values: dict[str, object]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def _has_pixels(path: Path) -> bool:
    try:
        return "PixelData" in read(path)
    except (InvalidDicomError, AttributeError, KeyError, ValueError, TypeError, EOFError):
        return False
