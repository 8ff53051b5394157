"""Pictures computed without a line of ours: pydicom's processing functions, and DCMTK's programs."""

import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode as decode_jpeg2000
from PIL import Image
from pydicom import FileDataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

Levels = NDArray[np.float64]
"""Grey (rows, columns) or RGB (rows, columns, 3), from 0 to 255."""

_JPEG = [uid for uid in JPEGTransferSyntaxes if uid not in JPEGLSTransferSyntaxes]
# Transfer syntaxes that pydicom cannot decode with what is installed here, and what of DCMTK decodes them for it
_DECODERS = dict.fromkeys(_JPEG, "dcmdjpeg") | dict.fromkeys(JPEGLSTransferSyntaxes, "dcmdjpls")
_RENDERERS = dict.fromkeys(_JPEG, "dcmj2pnm") | dict.fromkeys(JPEGLSTransferSyntaxes, "dcml2pnm")
_DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class AskedWindow:
    """A window as somebody asks for it, instead of the object's own."""

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def parameter(self) -> str:
        """As DICOMweb has it."""
        return f"{self.center:.3f},{self.width:.3f},{self.function.lower().replace('_', '-')}"


def by_pydicom(part10: bytes, *, index: int, window: AskedWindow | None) -> Levels:
    """Return a frame as pydicom's functions show it; without `window` in the object's own, which it must have."""
    dataset, frame = stored_frame(part10, index=index)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(frame, dataset)
        return np.asarray(colours / np.iinfo(colours.dtype).max * 255)
    if frame.ndim == 3:
        return np.asarray(frame / (2.0**dataset.BitsStored - 1) * 255)
    values = np.asarray(apply_modality_lut(frame, dataset), np.float64)
    if window:
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = window.center, window.width, window.function
    low, high = _output_range(dataset)
    shades = (apply_voi_lut(values, dataset, prefer_lut=window is None) - low) / (high - low) * 255
    return np.asarray(255 - shades if dataset.PhotometricInterpretation == "MONOCHROME1" else shades)


def stored_frame(part10: bytes, *, index: int) -> tuple[FileDataset, NDArray[np.number]]:
    """Return a file as pydicom reads it and one of its frames, decoded by others where pydicom cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are wrong on purpose
        dataset = dcmread(BytesIO(part10), force=True)
        try:
            frames = dataset.pixel_array
        except (RuntimeError, AttributeError):
            syntax = dataset.file_meta.TransferSyntaxUID
            if syntax in JPEG2000TransferSyntaxes:
                frames = np.asarray(decode_jpeg2000(get_frame(dataset.PixelData, 0)))
            else:
                dataset = dcmread(BytesIO(_through(_DECODERS[syntax], part10, [])), force=True)
                frames = dataset.pixel_array
    return dataset, frames[index] if int(dataset.get("NumberOfFrames") or 1) > 1 else frames


def by_dcmtk(part10: bytes, *, index: int, window: AskedWindow | None) -> Levels | None:
    """Return a frame as DCMTK shows it; None where it cannot read the file."""
    header = dcmread(BytesIO(part10), stop_before_pixels=True, force=True)
    syntax = header.file_meta.TransferSyntaxUID
    options = ["+F", str(index + 1), "--no-overlays", "+on"]
    if window is None and "WindowWidth" in header:
        options += ["+Wi", "1"]
    elif window:
        options += ["+Ww", str(window.center), str(window.width), "+Wfs" if window.function == "SIGMOID" else "+Wfl"]
    try:
        return np.asarray(Image.open(BytesIO(_through(_RENDERERS.get(syntax, "dcm2pnm"), part10, options))), np.float64)
    except subprocess.CalledProcessError:
        return None


def _through(program: str, content: bytes, options: list[str]) -> bytes:
    """Return the file that a program makes of another."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.dcm"), Path(folder, "out")
        source.write_bytes(content)
        command = [program, *options, str(source), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=_DEADLINE_S)
        return target.read_bytes()


def _output_range(dataset: FileDataset) -> tuple[float, float]:
    """Return between which values pydicom's windowing puts its output: those that the stored bits can give."""
    bits, slope, intercept = (
        dataset.BitsStored,
        float(dataset.get("RescaleSlope", 1)),
        float(dataset.get("RescaleIntercept", 0)),
    )
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1)
    return low * slope + intercept, high * slope + intercept
