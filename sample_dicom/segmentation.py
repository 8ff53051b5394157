"""A segmentation of the CT stack: which voxels are lung, liver, heart and aorta (PS3.3 A.51)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SegmentationStorage

from sample_dicom.ct import Stack
from sample_dicom.dataset import Series, code, frame_of_reference, item, new_object
from sample_dicom.plane import Organ

_ANATOMY = code("123037004", "SCT", "Anatomical Structure")
_SEGMENTS = (
    (Organ.LUNG, "Phổi", code("39607008", "SCT", "Lung"), [37767, 34180, 51412]),
    (Organ.HEART, "Tim", code("80891009", "SCT", "Heart"), [33153, 48523, 41801]),
    (Organ.LIVER, "Gan", code("10200004", "SCT", "Liver"), [35466, 44353, 42900]),
    (Organ.AORTA, "Động mạch chủ", code("15825003", "SCT", "Aorta"), [34750, 53485, 50086]),
)
"""Organ, label, code and recommended colour (CIELab, 0..65535)."""


def _masks(organs: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int, NDArray[np.bool_]]]:
    """Return (segment number, slice index, mask) for each slice that holds something of a segment."""
    found = []
    for number, (organ, _, _, _) in enumerate(_SEGMENTS, start=1):
        for index, labels in enumerate(organs):
            mask = labels == organ
            if mask.any():
                found.append((number, index, mask))
    return found


def segmentation(
    series: Series, stack: Stack, images: Sequence[Dataset], organs: Sequence[NDArray[np.uint8]]
) -> Dataset:
    """Return a binary segmentation of the CT images of `stack`, from the organ of each pixel of each slice."""
    frames = _masks(organs)
    ds = new_object(series, SegmentationStorage, 1)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "ORGANS", "Organs of the phantom", "Phantom"
    ds.SegmentationType, ds.LossyImageCompression, ds.BurnedInAnnotation = "BINARY", "00", "NO"
    ds.FrameOfReferenceUID = frame_of_reference(series.study, series.edition)
    ds.PositionReferenceIndicator = ""
    ds.SegmentSequence = [_segment(number, *segment) for number, segment in enumerate(_SEGMENTS, start=1)]
    dimension = series.uid("dimension organisation")
    ds.DimensionOrganizationSequence = [item(DimensionOrganizationUID=dimension)]
    ds.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=dimension,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
            DimensionDescriptionLabel=label,
        )
        for pointer, group, label in (
            (0x0062000B, 0x0062000A, "Segment"),
            (0x00200032, 0x00209113, "Position"),
        )
    ]
    ds.ReferencedSeriesSequence = [
        item(
            SeriesInstanceUID=images[0].SeriesInstanceUID,
            ReferencedInstanceSequence=[_reference(image) for image in images],
        )
    ]
    ds.SharedFunctionalGroupsSequence = [_shared(stack)]
    ds.PerFrameFunctionalGroupsSequence = [_frame(stack, images[index], number, index) for number, index, _ in frames]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames, ds.Rows, ds.Columns = len(frames), stack.pixels, stack.pixels
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    # Bits run from the least significant one, across the borders of frames (PS3.5 8.1.1).
    packed = np.packbits(np.stack([mask for _, _, mask in frames]).ravel(), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds["PixelData"].VR = "OB"
    return ds


def _segment(number: int, organ: Organ, label: str, kind: Dataset, colour: list[int]) -> Dataset:
    """Return the description of one segment."""
    return item(
        SegmentNumber=number,
        SegmentLabel=label,
        SegmentDescription=organ.name.title(),
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName="Phantom",
        SegmentedPropertyCategoryCodeSequence=[_ANATOMY],
        SegmentedPropertyTypeCodeSequence=[kind],
        RecommendedDisplayCIELabValue=colour,
    )


def _reference(image: Dataset) -> Dataset:
    return item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _shared(stack: Stack) -> Dataset:
    """Return the functional groups of all frames."""
    return item(
        PixelMeasuresSequence=[
            item(
                SliceThickness=f"{stack.step_mm:.2f}",
                SpacingBetweenSlices=f"{stack.step_mm:.2f}",
                PixelSpacing=[f"{stack.spacing_mm:.6f}"] * 2,
            )
        ],
        PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
    )


def _frame(stack: Stack, image: Dataset, number: int, index: int) -> Dataset:
    """Return the functional groups of one frame: where it lies, what it shows, what it was derived from."""
    source = _reference(image)
    source.SpatialLocationsPreserved = "YES"
    source.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    return item(
        FrameContentSequence=[item(DimensionIndexValues=[number, index + 1])],
        PlanePositionSequence=[item(ImagePositionPatient=stack.position(index))],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
        DerivationImageSequence=[
            item(
                DerivationCodeSequence=[code("113076", "DCM", "Segmentation")],
                SourceImageSequence=[source],
            )
        ],
    )
