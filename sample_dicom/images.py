"""Radiograph, magnetic resonance and ultrasound objects (PS3.3 A.26, A.4, A.7)."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from sample_dicom.brain import t1_slice
from sample_dicom.ct import Stack, set_grey_pixels
from sample_dicom.dataset import Series, code, frame_of_reference, item, new_object
from sample_dicom.echo import cine, pixel_mm
from sample_dicom.radiograph import FIELD_MM, chest_film

FRAME_TIME_MS = 40.0


def digital_xray(series: Series, pixels: int) -> Dataset:
    """Return a chest radiograph, 12 bits, bones white."""
    ds = new_object(series, DigitalXRayImageStorageForPresentation, 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.AcquisitionDate, ds.AcquisitionTime, ds.AcquisitionNumber = ds.StudyDate, ds.StudyTime, 1
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality, ds.PatientOrientation, ds.ViewPosition = "U", ["L", "F"], "PA"
    ds.AnatomicRegionSequence = [code("51185008", "SCT", "Thorax")]
    ds.ViewCodeSequence = [code("399348003", "SCT", "postero-anterior")]
    ds.PositionerType = ""
    ds.PatientOrientationCodeSequence = [code("10904000", "SCT", "orthostatic")]
    ds.DetectorType, ds.DetectorConfiguration = "DIRECT", "AREA"
    ds.ImagerPixelSpacing = [f"{FIELD_MM / pixels:.6f}"] * 2
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = "1800", "1600"
    ds.KVP, ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "120", 8, 320, 3
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape, ds.BurnedInAnnotation, ds.LossyImageCompression = "IDENTITY", "NO", "00"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.AcquisitionContextSequence = []
    set_grey_pixels(ds, chest_film(pixels), bits=12)
    return ds


def mr_slice(series: Series, stack: Stack, index: int) -> Dataset:
    """Return one T1-weighted axial image of the head."""
    ds = new_object(series, MRImageStorage, index + 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.AcquisitionDate, ds.AcquisitionTime, ds.AcquisitionNumber = ds.StudyDate, ds.StudyTime, 1
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
    ds.SequenceName = "T1_SE"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.NumberOfAverages = "520", "12", 1, "1"
    ds.MagneticFieldStrength, ds.ImagingFrequency, ds.ImagedNucleus, ds.FlipAngle = "1.5", "63.87", "1H", "90"
    ds.SliceThickness, ds.SpacingBetweenSlices = f"{stack.step_mm:.2f}", f"{stack.step_mm:.2f}"
    ds.PatientPosition, ds.PositionReferenceIndicator = "HFS", ""
    ds.FrameOfReferenceUID = frame_of_reference(series.study, series.edition)
    ds.ImagePositionPatient = stack.position(index)
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.SliceLocation = f"{stack.heights_mm[index]:.2f}"
    ds.PixelSpacing = [f"{stack.spacing_mm:.6f}"] * 2
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.WindowCenter, ds.WindowWidth = "430", "820"
    set_grey_pixels(ds, t1_slice(stack.pixels, stack.heights_mm[index], stack.field_mm), bits=12)
    return ds


def ultrasound(series: Series, rows: int, columns: int, n_frames: int) -> tuple[Dataset, NDArray[np.uint8]]:
    """Return a colour cine of a beating heart, uncompressed RGB, and its frames."""
    frames = cine(rows, columns, n_frames)
    ds = new_object(series, UltrasoundMultiFrameImageStorage, 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "CHEST", "0011"]
    ds.AcquisitionDateTime = ds.StudyDate + ds.StudyTime
    ds.TransducerType, ds.HeartRate = "SECTOR_PHASED", 63
    ds.FrameTime, ds.FrameIncrementPointer = f"{FRAME_TIME_MS:.1f}", 0x00181063
    ds.CineRate = ds.RecommendedDisplayFrameRate = round(1000 / FRAME_TIME_MS)
    ds.StartTrim, ds.StopTrim, ds.PatientOrientation = 1, n_frames, ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = n_frames, rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.UltrasoundColorDataPresent = 1
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.SequenceOfUltrasoundRegions = [_region(rows, columns)]
    ds.PixelData = frames.tobytes()
    ds["PixelData"].VR = "OB"
    return ds, frames


def _region(rows: int, columns: int) -> Dataset:
    """Return the calibration of the sector, so that a viewer can measure (PS3.3 C.8.5.5)."""
    size_cm = pixel_mm(rows) / 10
    return item(
        RegionSpatialFormat=1,
        RegionDataType=2,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=columns - 1,
        RegionLocationMaxY1=rows - 1,
        ReferencePixelX0=columns // 2,
        ReferencePixelY0=round(rows * 0.06),
        ReferencePixelPhysicalValueX=0.0,
        ReferencePixelPhysicalValueY=0.0,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=size_cm,
        PhysicalDeltaY=size_cm,
    )
