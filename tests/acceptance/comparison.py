"""Whether an object that came back is the one that was sent, however it is encoded now."""

import numpy as np
from pydicom import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.uid import ExplicitVRBigEndian


def differences(original: Dataset, retrieved: Dataset) -> list[str]:
    """Return the elements, pixel data apart, that are not the same."""
    for ds in (original, retrieved):
        ds.decode()
        correct_ambiguous_vr(ds, ds.original_encoding[1] is not False)
    tags = (set(original.keys()) | set(retrieved.keys())) - {0x7FE00010}
    return sorted(str(tag) for tag in tags if tag not in original or original.get(tag) != retrieved.get(tag))


def pixels(ds: Dataset) -> bytes:
    """Return the bytes of the pixel data in little endian."""
    if "PixelData" not in ds:
        return b""
    data: bytes = ds.PixelData
    if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        return np.frombuffer(data, dtype=">u2").astype("<u2").tobytes()
    return data
