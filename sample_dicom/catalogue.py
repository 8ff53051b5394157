"""The list of samples: what is made, in which size, under which file name."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from sample_dicom import vietnamese
from sample_dicom.ct import Stack, concatenation, ct_slice, enhanced_ct, heights, stored_values
from sample_dicom.dataset import Series
from sample_dicom.images import digital_xray, mr_slice, ultrasound
from sample_dicom.report import encapsulated_pdf, structured_report
from sample_dicom.segmentation import segmentation
from sample_dicom.transfer import compress, compress_lossy


@dataclass(frozen=True, slots=True)
class Edition:
    """One size of the whole list; the UIDs of two editions differ."""

    name: str
    ct: Stack
    compressed: Stack
    enhanced: Stack
    mr: Stack
    film_pixels: int
    cine: tuple[int, int, int]
    """Rows, columns, frames."""
    clip: tuple[int, int, int]
    """The same for the cine in JPEG."""


FULL = Edition(
    name="full",
    ct=Stack(512, heights(-132.5, 5.0, 60)),
    compressed=Stack(512, heights(50.0, 20.0, 4)),
    enhanced=Stack(256, heights(-60.0, 12.0, 16)),
    mr=Stack(256, heights(-48.0, 6.0, 20), 240.0),
    film_pixels=2048,
    cine=(480, 640, 24),
    clip=(480, 640, 12),
)
SUBSET = Edition(
    name="subset",
    ct=Stack(128, heights(-97.0, 72.0, 4)),
    compressed=Stack(128, heights(60.0, 60.0, 2)),
    enhanced=Stack(64, heights(-60.0, 40.0, 4)),
    mr=Stack(128, heights(-42.0, 44.0, 2), 240.0),
    film_pixels=256,
    cine=(144, 192, 4),
    clip=(144, 192, 4),
)
_LOSSLESS = (
    (2, RLELossless, "rle", "RLE"),
    (3, JPEG2000Lossless, "jpeg2000", "JPEG 2000"),
    (4, JPEGLSLossless, "jpeg-ls", "JPEG-LS"),
    (5, HTJ2KLossless, "htj2k", "HTJ2K"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One file to be."""

    path: str
    """Relative, with forward slashes."""
    ds: Dataset
    shows: str
    transfer_syntax: UID = ExplicitVRLittleEndian


def samples(edition: Edition) -> Iterator[Sample]:
    """Yield every sample of an edition, one study after the other."""
    for study in (_ct_study, _radiograph, _brain, _echo, _echo_jpeg, _enhanced, _compressed):
        yield from study(edition)


def _ct_study(edition: Edition) -> Iterator[Sample]:
    """The CT stack with its report, as SR and PDF, and its segmentation."""
    stack, study = edition.ct, vietnamese.CT
    series = Series(study, edition.name, 1, "CT", "Ngực - bụng, thì tĩnh mạch", "CHEST")
    images, organs = [], []
    for index, height in enumerate(stack.heights_mm):
        scan = stack.scan(index)
        image = ct_slice(series, stack, index, scan.hu)
        yield Sample(f"ct/{index + 1:03d}.dcm", image, f"CT slice at {height:g} mm, chest and abdomen, contrast")
        del image.PixelData  # what refers to the image needs its names only
        images.append(image)
        organs.append(scan.organ)
    finding = int(np.argmin([abs(height - 118.0) for height in stack.heights_mm]))
    report = Series(study, edition.name, 2, "SR", "Kết quả đọc phim")
    yield Sample(
        "ct-sr/001.dcm",
        structured_report(report, images[finding], images),
        "Basic Text SR, Vietnamese, refers to the CT",
    )
    paper = Series(study, edition.name, 3, "DOC", "Phiếu kết quả")
    yield Sample("ct-pdf/001.dcm", encapsulated_pdf(paper, images), "Encapsulated PDF of the same report")
    outlined = Series(study, edition.name, 4, "SEG", "Phân vùng cơ quan", "CHEST")
    ds = segmentation(outlined, stack, images, organs)
    yield Sample("ct-seg/001.dcm", ds, "Segmentation, binary: lung, heart, liver, aorta")


def _radiograph(edition: Edition) -> Iterator[Sample]:
    series = Series(vietnamese.DX, edition.name, 1, "DX", "Ngực thẳng PA", "CHEST")
    yield Sample("dx/001.dcm", digital_xray(series, edition.film_pixels), "Chest radiograph, PA, 12 bits")


def _brain(edition: Edition) -> Iterator[Sample]:
    """The MR stack, in implicit little endian: the default transfer syntax wants an example too."""
    series = Series(vietnamese.MR, edition.name, 1, "MR", "T1 SE cắt ngang", "BRAIN")
    for index, height in enumerate(edition.mr.heights_mm):
        yield Sample(
            f"mr/{index + 1:03d}.dcm",
            mr_slice(series, edition.mr, index),
            f"MR slice at {height:g} mm, brain, T1-weighted; implicit VR",
            ImplicitVRLittleEndian,
        )


def _echo(edition: Edition) -> Iterator[Sample]:
    series = Series(vietnamese.US, edition.name, 1, "US", "Bốn buồng từ mỏm, Doppler màu", "HEART")
    ds, _ = ultrasound(series, *edition.cine)
    yield Sample("us/001.dcm", ds, f"Echo cine, colour flow, {edition.cine[2]} frames, RGB")


def _echo_jpeg(edition: Edition) -> Iterator[Sample]:
    series = Series(vietnamese.US_JPEG, edition.name, 1, "US", "Bốn buồng từ mỏm (JPEG)", "HEART")
    ds, frames = ultrasound(series, *edition.clip)
    compress_lossy(ds, frames, quality=88)
    shows = f"Echo cine, {edition.clip[2]} frames, JPEG baseline, YBR_FULL_422, lossy"
    yield Sample("us-jpeg/001.dcm", ds, shows, JPEGBaseline8Bit)


def _enhanced(edition: Edition) -> Iterator[Sample]:
    """An Enhanced CT image whole, and one in two parts."""
    stack, study = edition.enhanced, vietnamese.ENHANCED
    whole = Series(study, edition.name, 1, "CT", "CT đa khung", "CHEST")
    ds = enhanced_ct(whole, stack, 1, range(len(stack.heights_mm)))
    yield Sample("enhanced-ct/001.dcm", ds, f"Enhanced CT, {ds.NumberOfFrames} frames, 16 bits signed")
    halves = Series(study, edition.name, 2, "CT", "CT đa khung, chia hai phần", "CHEST")
    for number, part in enumerate(concatenation(halves, stack, 1), start=1):
        yield Sample(f"concatenation/{number:03d}.dcm", part, f"Enhanced CT, concatenation, part {number} of 2")


def _compressed(edition: Edition) -> Iterator[Sample]:
    """The same few slices in every lossless compression: an old scanner's study, without accents."""
    stack = edition.compressed
    scans = [stack.scan(index) for index in range(len(stack.heights_mm))]
    for number, syntax, folder, name in _LOSSLESS:
        series = Series(vietnamese.OLD_CT, edition.name, number, "CT", f"NGUC {name}", "CHEST")
        for index, scan in enumerate(scans):
            ds = ct_slice(series, stack, index, scan.hu)
            compress(ds, stored_values(scan.hu)[np.newaxis], syntax)
            yield Sample(f"{folder}/{index + 1:03d}.dcm", ds, f"CT slice in {name}, lossless; name in ASCII", syntax)
