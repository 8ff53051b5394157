"""CT objects of the body phantom: slices, and the multi-frame form whole and in two parts (PS3.3 A.3, A.38)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from sample_dicom.dataset import Series, code, frame_of_reference, item, new_object
from sample_dicom.phantom import Scan, axial

INTERCEPT = -1024
"""Stored 0 is below air, so that 12 unsigned bits hold all Hounsfield units."""
_SIDEWAYS = ["1", "0", "0", "0", "1", "0"]


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of axial slices of the phantom; the first is the lowest."""

    pixels: int
    heights_mm: tuple[float, ...]
    field_mm: float = 420.0

    @property
    def spacing_mm(self) -> float:
        """Distance of pixel centres."""
        return self.field_mm / self.pixels

    @property
    def step_mm(self) -> float:
        """Distance of slices."""
        return self.heights_mm[1] - self.heights_mm[0]

    def position(self, index: int) -> list[str]:
        """Return Image Position (Patient): the centre of the first pixel, mm."""
        corner = f"{-(self.pixels - 1) / 2 * self.spacing_mm:.5f}"
        return [corner, corner, f"{self.heights_mm[index]:.2f}"]

    def scan(self, index: int) -> Scan:
        """Return one slice of the phantom."""
        return axial(self.pixels, self.heights_mm[index], self.field_mm)


def heights(lowest_mm: float, step_mm: float, n: int) -> tuple[float, ...]:
    """Return `n` slice heights."""
    return tuple(lowest_mm + step_mm * index for index in range(n))


def stored_values(hu: NDArray[np.int16]) -> NDArray[np.uint16]:
    """Return what a CT slice stores for Hounsfield units, 12 bits unsigned."""
    return (hu - INTERCEPT).astype(np.uint16)


def ct_slice(series: Series, stack: Stack, index: int, hu: NDArray[np.int16]) -> Dataset:
    """Return one CT image of the stack, 12 bits unsigned, uncompressed."""
    ds = new_object(series, CTImageStorage, index + 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionDate, ds.AcquisitionTime, ds.AcquisitionNumber = ds.StudyDate, ds.StudyTime, 1
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime, ds.ConvolutionKernel = "120", 210, 500, "STANDARD"
    ds.ContrastBolusAgent, ds.ContrastBolusRoute = "Iohexol", "IV"
    ds.SliceThickness, ds.SpacingBetweenSlices = f"{stack.step_mm:.2f}", f"{stack.step_mm:.2f}"
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = f"{stack.field_mm:.1f}"
    ds.GantryDetectorTilt, ds.TableHeight, ds.RotationDirection = "0", "150", "CW"
    ds.PatientPosition, ds.PositionReferenceIndicator = "HFS", ""
    ds.FrameOfReferenceUID = frame_of_reference(series.study, series.edition)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = stack.position(index), _SIDEWAYS
    ds.SliceLocation = f"{stack.heights_mm[index]:.2f}"
    ds.PixelSpacing = [f"{stack.spacing_mm:.6f}"] * 2
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["40", "-500"], ["400", "1500"]
    ds.WindowCenterWidthExplanation = ["MEDIASTINUM", "LUNG"]
    set_grey_pixels(ds, stored_values(hu), bits=12)
    return ds


def set_grey_pixels(ds: Dataset, stored: NDArray[np.uint16] | NDArray[np.int16], *, bits: int) -> None:
    """Fill the image pixel module (PS3.3 C.7.6.3) from grey values, shape ([frames,] rows, columns)."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 3:
        ds.NumberOfFrames = stored.shape[0]
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"


def enhanced_ct(series: Series, stack: Stack, number: int, frames: Sequence[int]) -> Dataset:
    """Return the frames of the stack as one Enhanced CT image, 16 bits signed, Hounsfield units as stored."""
    ds = new_object(series, EnhancedCTImageStorage, number)
    kind = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.ImageType = kind
    ds.PixelPresentation, ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    ds.AcquisitionDateTime = ds.StudyDate + ds.StudyTime
    ds.AcquisitionNumber, ds.AcquisitionDuration = 1, 4.5
    ds.ContentQualification, ds.MultienergyCTAcquisition = "RESEARCH", "NO"
    ds.PatientPosition, ds.PositionReferenceIndicator = "HFS", ""
    ds.FrameOfReferenceUID = frame_of_reference(series.study, series.edition)
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    ds.AcquisitionContextSequence = []
    set_dimensions(ds, series)
    ds.SharedFunctionalGroupsSequence = [_shared(ds, series, stack, kind)]
    ds.PerFrameFunctionalGroupsSequence = [_frame(ds, series, stack, index) for index in frames]
    set_grey_pixels(ds, np.stack([stack.scan(index).hu for index in frames]), bits=16)
    return ds


def concatenation(series: Series, stack: Stack, first_number: int) -> list[Dataset]:
    """Return an Enhanced CT image split in two (PS3.3 C.7.6.16.2.2.4); the second part is the shorter one."""
    n = len(stack.heights_mm)
    cut = (n + 1) // 2
    parts = []
    for index, frames in enumerate((range(cut), range(cut, n))):
        ds = enhanced_ct(series, stack, first_number + index, frames)
        ds.ConcatenationUID = series.uid("concatenation")
        ds.SOPInstanceUIDOfConcatenationSource = series.uid("concatenation source")
        ds.InConcatenationNumber, ds.InConcatenationTotalNumber = index + 1, 2
        ds.ConcatenationFrameOffsetNumber = frames[0]
        # All parts of a concatenation have the same Instance Number (PS3.3 C.7.6.16.2.2.4).
        ds.InstanceNumber = first_number
        parts.append(ds)
    return parts


def set_dimensions(ds: Dataset, series: Series) -> None:
    """Say that the frames are ordered by stack and place in the stack (PS3.3 C.7.6.17)."""
    dimension = series.uid("dimension organisation")
    ds.DimensionOrganizationSequence = [item(DimensionOrganizationUID=dimension)]
    ds.DimensionOrganizationType = "3D"
    ds.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=dimension,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=0x00209111,
            DimensionDescriptionLabel=label,
        )
        for pointer, label in ((0x00209056, "Stack ID"), (0x00209057, "In-Stack Position Number"))
    ]


def _shared(ds: Dataset, series: Series, stack: Stack, kind: list[str]) -> Dataset:
    """Return the functional groups that are the same for all frames (PS3.3 C.7.6.16, C.8.15.3)."""
    chest = code("51185008", "SCT", "Thorax")
    return item(
        PixelMeasuresSequence=[
            item(
                SliceThickness=f"{stack.step_mm:.2f}",
                SpacingBetweenSlices=f"{stack.step_mm:.2f}",
                PixelSpacing=[f"{stack.spacing_mm:.6f}"] * 2,
            )
        ],
        PlaneOrientationSequence=[item(ImageOrientationPatient=_SIDEWAYS)],
        FrameAnatomySequence=[item(FrameLaterality="U", AnatomicRegionSequence=[chest])],
        FrameVOILUTSequence=[item(WindowCenter="40", WindowWidth="400")],
        PixelValueTransformationSequence=[item(RescaleIntercept="0", RescaleSlope="1", RescaleType="HU")],
        CTImageFrameTypeSequence=[
            item(
                FrameType=kind,
                PixelPresentation=ds.PixelPresentation,
                VolumetricProperties=ds.VolumetricProperties,
                VolumeBasedCalculationTechnique=ds.VolumeBasedCalculationTechnique,
            )
        ],
        IrradiationEventIdentificationSequence=[item(IrradiationEventUID=series.uid("irradiation event"))],
        CTAcquisitionTypeSequence=[item(AcquisitionType="SPIRAL", ConstantVolumeFlag="NO", FluoroscopyFlag="NO")],
        CTAcquisitionDetailsSequence=[
            item(
                RotationDirection="CW",
                RevolutionTime=0.5,
                SingleCollimationWidth=0.625,
                TotalCollimationWidth=40.0,
                TableHeight=150.0,
                GantryDetectorTilt=0.0,
                DataCollectionDiameter=stack.field_mm,
            )
        ],
        CTTableDynamicsSequence=[item(TableSpeed=40.0, TableFeedPerRotation=20.0, SpiralPitchFactor=0.5)],
        CTGeometrySequence=[item(DistanceSourceToDetector=1000.0, DistanceSourceToDataCollectionCenter=540.0)],
        CTReconstructionSequence=[
            item(
                ReconstructionAlgorithm="FILTER_BACK_PROJ",
                ConvolutionKernel="STANDARD",
                ConvolutionKernelGroup="SOFT_TISSUE",
                ReconstructionDiameter=stack.field_mm,
                ReconstructionPixelSpacing=[stack.spacing_mm] * 2,
                ReconstructionAngle=360.0,
                ImageFilter="NONE",
            )
        ],
        CTExposureSequence=[
            item(
                ExposureTimeInms=500.0,
                XRayTubeCurrentInmA=210.0,
                ExposureInmAs=105.0,
                ExposureModulationType="NONE",
            )
        ],
        CTXRayDetailsSequence=[item(KVP="120", FocalSpots=[1.0], FilterType="FLAT", FilterMaterial="ALUMINUM")],
    )


def _frame(ds: Dataset, series: Series, stack: Stack, index: int) -> Dataset:
    """Return the functional groups of one frame."""
    moment = f"{ds.StudyDate}{ds.StudyTime}.{index:02d}0000"
    return item(
        FrameContentSequence=[
            item(
                FrameAcquisitionNumber=1,
                FrameReferenceDateTime=moment,
                FrameAcquisitionDateTime=moment,
                FrameAcquisitionDuration=500.0,
                StackID="1",
                InStackPositionNumber=index + 1,
                DimensionIndexValues=[1, index + 1],
            )
        ],
        PlanePositionSequence=[item(ImagePositionPatient=stack.position(index))],
        CTPositionSequence=[
            item(
                TablePosition=stack.heights_mm[index],
                DataCollectionCenterPatient=[0.0, 0.0, stack.heights_mm[index]],
                ReconstructionTargetCenterPatient=[0.0, 0.0, stack.heights_mm[index]],
            )
        ],
    )
