"""A multi-frame image of any size, made while it is sent: native in one element of defined length, or in RLE."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, RLELossless

_NAMESPACE = UUID("7d3f5a3e-6b0a-4f63-8a4c-0f2c0a7a9f51")
_SIDE = 512
FRAME_BYTES = _SIDE * _SIDE * 2
_UNDEFINED = 0xFFFFFFFF
_ITEM, _SEQUENCE_END = struct.pack("<HH", 0xFFFE, 0xE000), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_RUN_BYTES = 128
_RLE_HEADER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Multiframe:
    """An image of `n_frames` frames of half a MiB; equal names and lengths are the same image, however encoded."""

    name: str
    n_frames: int
    is_compressed: bool = False

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self._uid("study")

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return self._uid("series")

    @property
    def sop_uid(self) -> str:
        """SOP Instance UID."""
        return self._uid("instance")

    def pieces(self) -> Iterator[bytes]:
        """Yield the Part 10 file, frame by frame."""
        yield self._head()
        if not self.is_compressed:
            yield from self.frames()
            return
        yield _ITEM + bytes(4)  # an empty offset table
        for frame in self.frames():
            encoded = _rle(frame)
            yield _ITEM + struct.pack("<L", len(encoded)) + encoded
        yield _SEQUENCE_END

    def frames(self) -> Iterator[bytes]:
        """Yield the pixels of each frame: noise, and the frame's number, so that no two are the same."""
        noise = np.random.default_rng(5).integers(0, 4096, (_SIDE, _SIDE)).astype("<u2").tobytes()
        for number in range(self.n_frames):
            yield struct.pack("<L", number) + noise[4:]

    def write(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(self.pieces())

    def _head(self) -> bytes:
        """Return everything before the value of the pixel data element."""
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage, UID(self.sop_uid)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study_uid, self.series_uid
        ds.PatientName, ds.PatientID, ds.Modality = "Benchmark^Large", "LARGE", "OT"
        ds.StudyDate, ds.StudyTime, ds.SeriesNumber, ds.InstanceNumber = "20260105", "081500", 1, 1
        ds.NumberOfFrames, ds.Rows, ds.Columns = self.n_frames, _SIDE, _SIDE
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = RLELossless if self.is_compressed else ExplicitVRLittleEndian
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        vr, length = (b"OB", _UNDEFINED) if self.is_compressed else (b"OW", self.n_frames * FRAME_BYTES)
        return file.getvalue() + struct.pack("<HH2sHL", 0x7FE0, 0x0010, vr, 0, length)

    def _uid(self, what: str) -> str:
        return f"2.25.{uuid5(_NAMESPACE, f'{what}/{self.name}/{self.n_frames}').int}"


def _rle(frame: bytes) -> bytes:
    """Return a frame in RLE (PS3.5 Annex G), as literal runs alone: noise does not get smaller."""
    # Segments hold the bytes of the samples, the most significant ones first.
    planes = np.frombuffer(frame, np.uint8).reshape(-1, 2).T[::-1].reshape(2, -1, _RUN_BYTES)
    segments = np.insert(planes, 0, _RUN_BYTES - 1, axis=2).tobytes()
    header = struct.pack("<3L", 2, _RLE_HEADER_BYTES, _RLE_HEADER_BYTES + len(segments) // 2)
    return header.ljust(_RLE_HEADER_BYTES, b"\0") + segments
